"""The gate, with a real OpenSSH client: `labenv class serve`, and students who come in over SSH."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pexpect
import pytest

from labenv.classroom.folder import load
from labenv.classroom.running import timers
from labenv.classroom.running.timers import Timer
from labenv.classroom.serving.rounds import WARNINGS, Rounds
from labenv.computer import Computer
from labenv.engine import Engine, apt
from labenv.events import Event, silent
from labenv.gate import marks
from labenv.gate.commands import COMMANDS, NOT_HERE
from tests.e2e.conftest import Cli, alone

_PATIENCE = 240  # a computer that is short of processor time


@dataclass(frozen=True)
class Gate:
    """A class that is served, and how its students come in."""

    folder: Path
    port: int
    amy: str
    bob: str
    ssh: str

    def options(self, *more: str) -> list[str]:
        """The client's options: amy's key, and a file of known hosts of the test's own."""
        mine = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": f"{self.folder}/known",
            "LogLevel": "ERROR",
        }
        mine |= {"IdentityFile": f"{self.folder}/key", "IdentitiesOnly": "yes", "Port": str(self.port)}
        return [*(word for name, value in mine.items() for word in ("-o", f"{name}={value}")), *more]

    def run(
        self, user: str, *command: str, stdin: str = "", options: tuple[str, ...] = ()
    ) -> "subprocess.CompletedProcess[str]":
        """One command, without a terminal."""
        return subprocess.run(
            [self.ssh, *self.options("-o", "BatchMode=yes", *options), f"{user}@127.0.0.1", *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )

    def copy(self, *words: str, program: str = "scp") -> "subprocess.CompletedProcess[str]":
        """scp or sftp."""
        return subprocess.run(
            [program, *self.options("-o", "BatchMode=yes"), *words],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )

    def terminal(self, user: str, *options: str) -> "pexpect.spawn[str]":
        """A person at a terminal of 24 lines and 80 columns, which knows no colours."""
        return pexpect.spawn(
            self.ssh,
            self.options(*options, f"{user}@127.0.0.1"),
            encoding="utf-8",
            timeout=_PATIENCE,
            dimensions=(24, 80),
            env={**os.environ, "TERM": "dumb"},
        )


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> str:
    """OpenSSH's client; a computer that has none gets it where labenv may install packages."""
    with alone(tmp_path_factory, "ssh"):
        if not shutil.which("ssh"):
            apt.install(["openssh-client"], "ssh", silent, Computer())
    return shutil.which("ssh") or "ssh"


@pytest.fixture(scope="module")
def gate(
    cli: Cli, new_student: Callable[[], str], ssh: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("ops")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    amy, bob = new_student(), new_student()
    (folder / "class.yaml").write_text(
        f"name: OPS\nid: {amy}-class\ntimezone: America/Toronto\nlimits: {{at once: 1}}\n"
        "labs: [{lab: lab4b, at: lab4a, due: 2037-01-26, attempts: 1}]\n"
    )
    (folder / "roster.csv").write_text(
        f"id,name,key\n{amy},Amy,{(folder / 'key.pub').read_text().strip()}\n{bob},Bob,\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "labenv",
        "class",
        "serve",
        "--no-page",
        "-c",
        str(folder),
        "--port",
        str(port),
        "--address",
        "127.0.0.1",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        said = server.stderr.readline()
        assert "the gate is open" in said, said
        key = subprocess.run(
            ["ssh-keygen", "-lf", folder / "records" / "gate_host_key"], capture_output=True, text=True, check=True
        )
        assert key.stdout.split()[1] in said
        there = Gate(folder, port, amy, bob, ssh)
        assert "You have no machines yet. Make them: start" in there.run(f"{amy}+vm3", "id").stderr
        started = there.run(amy, "start")
        assert (started.returncode, "1 of 1 student up" in started.stdout) == (0, True), started
        yield there
        server.send_signal(signal.SIGTERM)
        rest = server.stderr.read()
        assert (server.wait(30), "Traceback" in rest) == (0, False), rest


def test_a_student_works_through_the_menu_and_a_dropped_line_ends_nothing(gate: Gate, cli: Cli) -> None:
    prompt = f"{gate.amy}> "
    person = gate.terminal(gate.amy)
    person.expect_exact("Your machines run: ")
    person.expect_exact(prompt)
    person.send("shelf\x7fl vm3\r")
    person.expect(r"\[root@vm3 ~\]# ")
    person.setwinsize(40, 120)
    person.send("until [ \"$(stty size)\" = '40 120' ]; do sleep .1; done; echo as wide as $COLUMNS; sleep 600\r")
    person.expect_exact("as wide as 120")
    person.send("\x03")
    person.expect(r"\[root@vm3 ~\]# ")
    person.send("(sleep 1; echo went on) & mine=kept\r")
    person.expect(r"\[root@vm3 ~\]# ")
    person.kill(signal.SIGKILL)

    person = gate.terminal(gate.amy)
    person.expect_exact("Still running: 1 shell vm3")
    person.expect_exact(prompt)
    person.sendline("back")
    person.expect_exact("went on")
    person.send("echo $mine; exit 3\r")
    person.expect_exact("kept")
    person.expect_exact(prompt)
    person.sendline("hint 17; rm")
    person.expect_exact("After hint one word can stand")
    person.sendline("shell vm3")
    person.expect(r"\[root@vm3 ~\]# ")
    person.kill(signal.SIGKILL)

    person = gate.terminal(f"{gate.amy}+vm3")
    person.expect_exact("Return to it? [Y/n]")
    person.send("y\rexit 7\r")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 7

    said = [entry["what"] for entry in cli.json("class", "audit", "-c", str(gate.folder))["entries"]]
    assert {"login", "start", "shell", "back"} <= set(said)


def test_commands_and_files_go_where_they_are_the_students_own(gate: Gate, tmp_path: Path) -> None:
    vm3 = f"{gate.amy}+vm3"
    done = gate.run(vm3, "cat; hostname >&2; exit 7", stdin="ä and more\n")
    assert (done.stdout, done.stderr, done.returncode) == ("ä and more\n", f"vm3.{gate.amy}.ops\n", 7)
    assert json.loads(gate.run(gate.amy, "status", "--json").stdout)["environments"][0]["student"] == gate.amy
    for words, reason in {
        "check --html /tmp/x": "no option --html",
        "check -s x": "no student is named",
        "sh": "no command sh",
    }.items():
        refused = gate.run(gate.amy, words)
        assert (refused.returncode, reason in refused.stderr) == (2, True), refused
    assert "no machine vm9" in gate.run(f"{gate.amy}+vm9", "id").stderr

    (tmp_path / "there").write_bytes(os.urandom(300_000))
    for option in ("-s", "-O"):
        sent = gate.copy(option, str(tmp_path / "there"), f"{vm3}@127.0.0.1:/root/there")
        got = gate.copy(option, f"{vm3}@127.0.0.1:/root/there", str(tmp_path / "back"))
        assert (sent.returncode, got.returncode) == (0, 0), (sent, got)
        assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()

    forward = gate.run(gate.amy, options=("-o", "ExitOnForwardFailure=yes", "-N", "-R", "9:127.0.0.1:9"))
    assert "forwarding failed" in forward.stderr
    assert "forwarding failed" in gate.run(gate.amy, options=("-W", "127.0.0.1:22")).stderr
    assert gate.run(vm3, 'echo "$SSH_AUTH_SOCK$DISPLAY"', options=("-A", "-X")).stdout == "\n"


@pytest.mark.soak
def test_no_command_of_the_menu_names_another_without_a_mark(gate: Gate) -> None:
    another = rf"labenv (?:{'|'.join(NOT_HERE)})\b"
    lines = {name: name for name in COMMANDS} | {"check": "check 3", "hint": "hint 3", "submit": "submit --dry-run"}
    with ThreadPoolExecutor(4) as pool:
        said = dict(zip(lines, pool.map(lambda line: gate.run(gate.amy, line), lines.values()), strict=True))
    marked = 0
    for name, done in said.items():
        text = done.stdout + done.stderr
        rest, stars = re.subn(rf"{another}[^*\n]*?[*]", "", text)
        assert not re.search(another, rest), (name, rest)
        assert marks.NOTE in text or not stars, text
        marked += stars
    assert marked, "without the desktop, nobody can do step 3"
    assert "desktop is not in your menu. Ask your teacher" in gate.run(gate.amy, "desktop").stderr
    assert gate.run(gate.amy, "reboot vm3").returncode == 0


def test_a_student_sees_what_is_on_the_wire_and_writes_no_file_of_the_server(gate: Gate) -> None:
    there = [gate.ssh, *gate.options("-o", "BatchMode=yes"), f"{gate.amy}@127.0.0.1", "capture vm2 --port 25 --for 1s"]
    packets = subprocess.run(there, capture_output=True, timeout=_PATIENCE, check=True)
    assert packets.stdout[:4] == b"\xd4\xc3\xb2\xa1"
    assert b"Capturing on vm2, ports 25." in packets.stderr
    assert "capture has no option --write here" in gate.run(gate.amy, "capture", "vm2", "--write", "x.pcap").stderr
    person = gate.terminal(gate.amy)
    person.expect("> ")
    person.sendline("capture vm2 --port 25")
    person.expect("Press Ctrl-C to end")
    gate.run(f"{gate.amy}+vm3", "(sleep 1; echo QUIT; sleep 1) | nc -w 3 vm2 25")
    person.expect(r"vm2:smtp.*vm3:\d+  220 vm2")
    person.sendintr()
    person.expect(r"\d+ packets")
    person.expect("> ")
    person.close()


def test_a_hand_in_is_kept_by_the_server_and_only_its_owner_fetches_it(gate: Gate, tmp_path: Path) -> None:
    done = gate.run(gate.amy, "submit", "--without", "history")
    assert "Handed in: lab4b" in done.stdout, done
    assert "in time, due 2037-01-26 23:59 (America/Toronto). Attempt 1 of 1." in done.stdout
    (file,) = (gate.folder / "records" / "handins" / "lab4b" / gate.amy).iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "1 are allowed" in gate.run(gate.amy, "submit").stderr

    assert gate.copy(f"{gate.amy}@127.0.0.1:lab4b/{file.name}", str(tmp_path)).returncode == 0
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()
    book = tmp_path / "logbook.md"
    assert gate.copy(f"{gate.amy}@127.0.0.1:logbook.md", str(book)).returncode == 0
    book.write_text(book.read_text() + "\nWritten at home.\n")
    assert gate.copy(str(book), f"{gate.amy}@127.0.0.1:").returncode == 0
    assert gate.run(gate.amy, "logbook").stdout.endswith("Written at home.\n")

    batch = tmp_path / "batch"
    for line in (
        "get /etc/passwd x",
        f"get ../{gate.bob}/x x",
        f"put {batch} x",
        "rm logbook.md",
        "mkdir x",
        "ln -s / x",
        "df",
    ):
        batch.write_text(f"{line}\n")
        assert gate.copy("-b", str(batch), f"{gate.amy}@127.0.0.1", program="sftp").returncode == 1, line
    assert not (tmp_path / "x").exists()


def test_a_one_time_password_lets_in_once_and_a_stranger_looks_like_a_student(gate: Gate, cli: Cli) -> None:
    made = cli.json("class", "passwords", "-c", str(gate.folder), "--only", gate.bob)["passwords"][gate.bob]
    by_hand = ("-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password")
    person = gate.terminal(gate.bob, *by_hand)
    person.expect_exact("assword:")
    person.sendline(made[0])
    person.expect_exact(f"{gate.bob}> ")
    person.sendline("start")
    person.expect_exact("1 environments run")  # as many as class.yaml allows
    person.sendline("check")
    person.expect_exact("You have no machines yet")
    person.sendline(f"key add {(gate.folder / 'key.pub').read_text()}")
    person.expect_exact("Added")
    person.sendline("exit")
    person.expect(pexpect.EOF)
    assert gate.run(gate.bob, "key").stdout.startswith("1  ssh-ed25519 SHA256:")

    seen = []
    for user, word in ((gate.bob, made[0]), ("nobody", made[1])):
        person = gate.terminal(user, *by_hand)
        for _ in range(3):
            person.expect_exact("assword:")
            person.sendline(word)
        person.expect(pexpect.EOF)
        person.close()
        seen.append((str(person.before).replace(user, "X"), person.exitstatus))
    assert seen[0] == seen[1]
    assert "denied" in seen[0][0]


def test_time_that_is_over_stops_an_environment_after_its_student_was_told(gate: Gate, engine: Engine) -> None:
    of = load.load(gate.folder)
    said: list[Event] = []
    person = gate.terminal(f"{gate.amy}+vm2")
    person.expect(r"\[root@vm2 ~\]# ")
    person.send("touch /root/kept\r")
    person.expect(r"\[root@vm2 ~\]# ")
    ahead = 0.0
    rounds = Rounds(engine, said.append, {}, lambda student, text: None, clock=lambda: time.time() + ahead)
    timers.set_(of, Timer(gate.amy, idle=timedelta(minutes=45)))
    ahead = 30 * 60
    rounds.go(of)  # there is time
    ahead = 45 * 60 - WARNINGS[0] + 60
    rounds.go(of)
    person.expect(r"\*\*\* In \d minutes your machines are stopped: nobody has worked in them. Your work is kept.")
    ahead = 46 * 60
    rounds = Rounds(engine, said.append, {}, lambda student, text: None, clock=lambda: time.time() + ahead)
    rounds.go(of)  # another process, which comes late, tells before it stops
    person.expect(r"\*\*\* In 2 minutes")
    assert engine.environments(gate.amy)[0].machines[0].state == "running"
    ahead = 48 * 60
    rounds.go(of)
    person.expect(pexpect.EOF)
    assert {machine.state for machine in engine.environments(gate.amy)[0].machines} == {"exited"}
    assert [event.message for event in said if event.step == gate.amy][-1].startswith("was stopped at")
    assert gate.amy not in timers.get_all(of)
    assert "vm2 is exited. Start your machines: start" in gate.run(f"{gate.amy}+vm2", "id").stderr
    assert gate.run(gate.amy, "start").returncode == 0
    assert gate.run(f"{gate.amy}+vm2", "ls /root/kept").stdout == "/root/kept\n"


def test_purging_a_student_leaves_nothing_and_lists_it_first(gate: Gate, cli: Cli, engine: Engine) -> None:
    cli("save", "one", "-s", gate.amy)
    where = ("class", "purge", gate.amy, "-c", str(gate.folder))
    listed = cli(*where, "--dry-run")
    for what in ("environment of lab4b (3 machines)", "save one", "handins/lab4b", "audit log"):
        assert what in listed.stderr
    assert "--yes" in cli(*where, rc=2).stderr
    assert engine.environments(gate.amy)
    cli(*where, "--yes")
    assert not engine.environments(gate.amy)
    # (client.images.list inspects each image, and another test may have removed one of them meanwhile.)
    assert not [image for image in engine.api.images() if any(gate.amy in tag for tag in image["RepoTags"] or [])]
    assert "Nothing is kept" in cli(*where, "--yes").stdout
    kept = [
        file
        for file in (gate.folder / "records").rglob("*")
        if file.is_file() and gate.amy.encode() in file.read_bytes()
    ]
    assert [file.name for file in kept] == []
