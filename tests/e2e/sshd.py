"""An SSH server of a test's own on 127.0.0.1, and a client that knows no user's keys and settings."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")


@dataclass
class Node:
    """A computer with an SSH server. `folder` has the client's files: its key, its settings and the hosts that it knows."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, *settings: str) -> None:
        """Start the server, with further lines of sshd_config(5)."""
        (self.folder / "sshd_config").write_text("\n".join([self._usual, *settings, ""]))
        with (self.folder / "sshd.log").open("ab") as log:
            before = log.tell()
            self.process = subprocess.Popen(
                [SSHD or "sshd", "-D", "-e", "-f", self.folder / "sshd_config", "-p", str(self.port)], stderr=log
            )
        deadline = time.monotonic() + 10
        while b"Server listening" not in (self.folder / "sshd.log").read_bytes()[before:]:
            assert self.process.poll() is None, (self.folder / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server, and what it serves."""
        if self.process:
            for session in self.sessions():
                os.kill(session, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            self.process = None

    def sessions(self) -> list[int]:
        """The server's processes for its clients, each with a process of its own if it changes its user."""
        assert self.process
        found, above = [], [self.process.pid]
        while above:
            words = (Path(f"/proc/{pid}/task/{pid}/children").read_text() for pid in above)
            above = [int(pid) for each in words for pid in each.split()]
            found += above
        return found

    @property
    def logins(self) -> int:
        """How many clients have come in."""
        return (self.folder / "sshd.log").read_text().count("Accepted publickey")

    @property
    def _usual(self) -> str:
        return f"""\
ListenAddress 127.0.0.1
HostKey {self.folder}/host_key
AuthorizedKeysFile {self.folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no"""


def key(file: Path) -> str:
    """A new key pair; returns its public half."""
    file.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_suffix(".pub").read_text()


@contextmanager
def node(folder: Path) -> Iterator[Node]:
    """A server that lets in who has the key of the client, `folder`/bin/ssh."""
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        there = Node(folder, free.getsockname()[1])
    host = key(folder / "host_key")
    (folder / "authorized_keys").write_text(key(folder / "user_key"))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{there.port} {host}")
    (folder / "ssh_config").write_text(
        f"Host 127.0.0.1\n  User {getpass.getuser()}\n  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
    )
    (folder / "bin").mkdir()
    (folder / "bin/ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    (folder / "bin/ssh").chmod(0o755)
    there.start()
    try:
        yield there
    finally:
        there.stop()
