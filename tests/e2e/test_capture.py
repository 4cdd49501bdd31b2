"""What passes a machine, seen by `labenv capture` while the machine goes on: real logins, real files of packets, and every end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from labenv.checks.machine import Site
from labenv.engine import Engine
from labenv.engine.labels import LABEL
from tests.e2e.conftest import Cli

LOGIN = "printf 'a1 LOGIN %s %s\\r\\n' {student} {password}; sleep 0.5; printf 'a2 LOGOUT\\r\\n'"
READY = "Press Ctrl-C to end."


class Listening:
    """A `labenv capture` that runs beside the test."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "labenv", "capture", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.said = ""
        assert self.process.stderr is not None
        while READY not in self.said:
            line = self.process.stderr.readline().decode()
            assert line, f"labenv capture ended: {self.said}"
            self.said += line

    def ended(self, sign: signal.Signals | None = None) -> bytes:
        """What it had written on stdout when it ended; `said` is then all of stderr."""
        if sign:
            self.process.send_signal(sign)
        out, errors = self.process.communicate(timeout=60)
        self.said += errors.decode()
        return out


@contextmanager
def listening(*arguments: str) -> Iterator[Listening]:
    """A capture during the block."""
    there = Listening(*arguments)
    try:
        yield there
    finally:
        there.process.kill()
        there.process.communicate()


def log_in(cli: Cli, environment: dict[str, Any]) -> None:
    """Log in on vm3's port 143 from vm2, as the sheet has it."""
    student, password = environment["student"], environment["password"]
    says = LOGIN.format(student=student, password=password)
    answer = cli.inside(student, "vm2", f"({says}) | nc -q 1 vm3 143")
    assert "a2 OK" in answer, answer


def taps(engine: Engine, student: str) -> list[str]:
    """The containers that captures of a student have."""
    there = engine.api.containers(all=True, filters={"label": f"{LABEL}={student}"})
    return [container["Id"] for container in there if "-tap-" in container["Names"][0]]


def soon(fact: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def read_again(cli: Cli, student: str, file: Path) -> str:
    """What tcpdump reads in a file of packets."""
    command = [sys.executable, "-m", "labenv", "exec", "-s", student, "host", "--", "tcpdump", "-nnAr", "-"]
    done = subprocess.run(command, input=file.read_bytes(), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"truncated" not in done.stderr
    return done.stdout.decode(errors="replace")


def test_a_login_is_shown_with_the_password_and_the_machine_does_not_tell(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    look = "ps -eo args | sort -u; dpkg-query -W; ls /usr/sbin /usr/bin"
    before = cli.inside(student, "vm3", look)
    with listening("vm3", "-s", student, "--port", "143", "--text") as there:
        log_in(cli, finished)
        during = cli.inside(student, "vm3", look)
        shown = there.ended(signal.SIGINT).decode()
    assert there.process.returncode == 0, there.said
    assert re.search(
        rf"^\d\d:\d\d:\d\d\.\d\d\d  vm2:\d+ → vm3:imap  a1 LOGIN {student} {finished['password']}$", shown, re.MULTILINE
    ), shown
    assert re.search(r"vm3:imap → vm2:\d+  a1 OK ", shown), shown
    assert "tcpdump" not in re.sub(r"^(tcpdump|tcpdump\s.*)$", "", during, flags=re.MULTILINE)
    # Dovecot starts and ends processes with a login; nothing else has come.
    new = set(during.splitlines()) - set(before.splitlines())
    assert not [line for line in new if not line.startswith(("dovecot/", "ps ", "sort ", "sh -c"))], new
    assert re.search(r"\d+ packets, \d+ bytes", there.said)


def test_it_works_on_a_machine_without_tcpdump(cli: Cli, student: str) -> None:
    environment = cli.json("up", student, "--no-check")
    cli.inside(student, "vm3", "dpkg --purge --force-depends tcpdump && ! command -v tcpdump")
    with listening("-s", student, "--text") as there:  # the account's machine, the lab's ports
        log_in(cli, environment)
        assert environment["password"] in there.ended(signal.SIGINT).decode()
    assert "Capturing on vm3, ports 25, 53, 143" in there.said


def test_packets_in_a_pipe_and_in_a_file_are_read_by_tcpdump(
    cli: Cli, finished: dict[str, Any], tmp_path: Path
) -> None:
    student = finished["student"]
    file, piped = tmp_path / "a.pcap", tmp_path / "b.pcap"
    file.touch(0o644)
    file.write_text("something older that is longer than a header" * 100)
    with (
        listening("vm3", "-s", student, "--port", "143", "--write", str(file)) as first,
        listening("vm3", "-s", student, "--port", "143") as second,
    ):
        log_in(cli, finished)
        first.ended(signal.SIGINT)
        piped.write_bytes(second.ended(signal.SIGINT))
    assert f"{file}: " in first.said
    assert file.stat().st_mode & 0o777 == 0o600
    for each in (file, piped):
        assert f"LOGIN {student} {finished['password']}" in read_again(cli, student, each)


def test_json_is_one_document_after_the_time_is_over(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    with listening("vm3", "-s", student, "--port", "143", "--for", "4s", "--json") as there:
        log_in(cli, finished)
        document = json.loads(there.ended())
    assert there.process.returncode == 0
    assert document.keys() == {"student", "machine", "ports", "packets", "bytes", "turns"}
    assert (document["machine"], document["ports"]) == ("vm3", [143])
    said = [line for turn in document["turns"] for line in turn["says"]]
    assert f"a1 LOGIN {student} {finished['password']}" in said


def test_what_labenv_itself_says_is_left_out(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    with listening("vm3", "-s", student, "--port", "143", "--text") as there:
        cli("check", "35", "-s", student)
        log_in(cli, finished)
        shown = there.ended(signal.SIGINT).decode()
    assert shown.count("asks for a connection") == 1, shown


def test_what_a_firewall_rejects_and_names_are_told(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    with listening("host", "-s", student, "--text") as there:
        cli.inside(student, "vm2", f"host -t MX {student}.ops")
        shown = there.ended(signal.SIGINT).decode()
    assert re.search(rf"vm2:\d+ → host:dns  asks MX {student}\.ops", shown), shown
    assert f"answers MX {student}.ops: MX 10 vm3.{student}.ops" in shown
    rule = "INPUT 1 -p tcp --dport 143 -j REJECT"
    cli.inside(student, "vm3", f"iptables -I {rule}")
    with listening("vm3", "-s", student, "--text") as there:
        cli.inside(student, "vm2", "! nc -w 2 vm3 143 </dev/null")
        shown = there.ended(signal.SIGINT).decode()
    cli.inside(student, "vm3", f"iptables -D {rule.replace(' 1 ', ' ')}")
    assert re.search(r"vm3 → vm2  ICMP port unreachable, about vm2:\d+ → vm3:imap", shown), shown


def test_tls_is_named_and_the_password_is_not_in_it(cli: Cli, finished: dict[str, Any]) -> None:
    student, password = finished["student"], finished["password"]
    with listening("vm3", "-s", student, "--port", "143", "--text") as there:
        login = f"(sleep 1; printf 'a1 LOGIN {student} {password}\\r\\n'; sleep 1; printf 'a2 LOGOUT\\r\\n')"
        client = f"openssl s_client -quiet -connect vm3:143 -starttls imap -servername vm3.{student}.ops"
        assert "a1 OK" in cli.inside(student, "vm2", f"{login} | {client} 2>/dev/null", rc=None)
        shown = there.ended(signal.SIGINT).decode()
    assert f"TLS ClientHello, SNI vm3.{student}.ops" in shown, shown
    assert re.search(r"TLS application data, \d+ bytes", shown)
    assert password not in shown


def test_a_check_sees_what_passes_while_something_is_done(
    cli: Cli, engine: Engine, finished: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    [environment] = engine.environments(finished["student"])
    site = Site(engine, environment)
    try:
        with site.captured("vm3", 143) as packets, site["vm2"].dial("vm3", 143) as talk:
            talk.sendall(f"a1 LOGIN {environment.student.id} {environment.student.password}\r\n".encode())
            answer = b""
            while b"a1 OK" not in answer:
                answer += talk.recv(4096)
        said = b"".join(packet.payload for packet in packets if packet.target.port == 143)
        assert environment.student.password.encode() in said
        with site.captured("vm3", 143) as packets:
            pass
        assert not packets
    finally:
        site.close()
    assert not taps(engine, environment.student.id)


def test_a_machine_that_stops_ends_it_and_the_file_stays_whole(
    cli: Cli, engine: Engine, student: str, tmp_path: Path
) -> None:
    environment = cli.json("up", student, "--no-check")
    file = tmp_path / "a.pcap"
    with listening("vm3", "-s", student, "--write", str(file)) as there:
        log_in(cli, environment)
        engine.api.stop(f"labenv-{student}-vm3", timeout=20)
        there.ended()
    assert there.process.returncode == 3, there.said
    assert "vm3 was switched off, so the capture ended." in there.said
    assert f"LOGIN {student}" in read_again(cli, student, file)
    refused = cli("capture", "vm3", "-s", student, rc=3)
    assert f"vm3 is exited. Start it: labenv up {student}" in refused.stderr
    cli("up", student, "--no-check")
    with listening("vm3", "-s", student, "--text") as there:
        cli("reboot", "vm3", "-s", student)
        there.ended()
    assert there.process.returncode == 3, there.said
    assert f"Continue with: labenv capture vm3 -s {student}" in there.said
    with listening("vm2", "-s", student, "--text") as there:
        cli("down", "-s", student)
        there.ended()
    assert there.process.returncode == 3, there.said
    assert "vm2 was switched off" in there.said
    assert not taps(engine, student)


def test_a_command_that_is_killed_leaves_nothing(
    cli: Cli, engine: Engine, finished: dict[str, Any], tmp_path: Path
) -> None:
    student, file = finished["student"], tmp_path / "a.pcap"
    with listening("vm3", "-s", student, "--port", "143", "--write", str(file)) as there:
        log_in(cli, finished)
        assert soon(lambda: file.stat().st_size > 500)
        assert len(taps(engine, student)) == 1
        there.ended(signal.SIGKILL)
    assert soon(lambda: not taps(engine, student))
    assert "LOGIN" in read_again(cli, student, file)


def test_a_file_that_is_there_is_asked_about_in_a_terminal(finished: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "a.pcap"
    file.write_text("mine")
    arguments = ["-m", "labenv", "capture", "vm3", "-s", finished["student"], "--write", str(file)]
    person = pexpect.spawn(sys.executable, arguments, encoding="utf-8", timeout=30, env={**os.environ, "TERM": "xterm"})
    person.expect(r"Replace\s.*a\.pcap.*N")  # a long path stands on a line of its own
    person.sendline("n")
    person.expect("Nothing was captured")
    person.expect(pexpect.EOF)
    assert file.read_text() == "mine"


def test_a_person_sees_the_dialogue_in_a_terminal_until_ctrl_c(cli: Cli, finished: dict[str, Any]) -> None:
    arguments = ["-m", "labenv", "capture", "vm3", "-s", finished["student"], "--port", "143"]
    person = pexpect.spawn(sys.executable, arguments, encoding="utf-8", timeout=30, env={**os.environ, "TERM": "xterm"})
    person.expect("Press Ctrl-C to end")
    log_in(cli, finished)
    person.expect(f"LOGIN {finished['student']} {finished['password']}")
    person.sendintr()
    person.expect(r"\d+ packets, \d+ bytes")
    person.expect(pexpect.EOF)
    person.close()
    assert person.exitstatus == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vm9"], "has no machine 'vm9'. Its machines are: host, vm2, vm3"),
        (["vm3", "--all", "--port", "25"], "--all cannot be combined with --port"),
        (["vm3", "--text", "--json"], "--write, --text and --json cannot be combined"),
        (["vm3", "--write", "/nosuch/x.pcap"], "/nosuch/x.pcap cannot be written: No such file or directory"),
        (["vm3", "--for", "0s"], "--for needs a time such as 30s, 5m or 1h, and 0s is none"),
        (["vm3", "--port", "70000"], "70000"),
    ],
)
def test_what_cannot_be_is_a_sentence(cli: Cli, finished: dict[str, Any], arguments: list[str], said: str) -> None:
    assert said in cli("capture", "-s", finished["student"], *arguments, rc=2).stderr
