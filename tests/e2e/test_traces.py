"""A check leaves nothing behind that a student sees: no line in the mail logs, no message, and no line of theirs is lost."""

import imaplib
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.conftest import Cli
from tests.e2e.webdriver import until

CHECKS = 3
LATE = "sleep 3; "  # Postfix ends a connection that it kept open two seconds after the last message (postconf(5))


@pytest.fixture
def student(finished: dict[str, Any]) -> str:
    return str(finished["student"])


class Waiting:
    """A mail client that has the student's inbox open and waits for new messages (RFC 2177); `before` is how many there were."""

    def __init__(self, environment: dict[str, Any]) -> None:
        [vm3] = [machine for machine in environment["machines"] if machine["name"] == "vm3"]
        self._session = imaplib.IMAP4("127.0.0.1", vm3["published"]["143"], timeout=30)
        self._session.login(environment["student"], environment["password"])
        _, [number] = self._session.select("INBOX")
        self.before = int(number or b"0")
        self._session.send(b"w IDLE\r\n")

    def told(self) -> list[str]:
        """What the server has told it until now. It does not wait any longer."""
        self._session.send(b"DONE\r\n")
        lines = [self._session.readline().decode().strip()]
        while not lines[-1].startswith("w "):
            lines.append(self._session.readline().decode().strip())
        self._session.shutdown()
        return [line for line in lines if line.endswith(("EXISTS", "EXPUNGE"))]


def logs(cli: Cli, student: str, first: str = "") -> dict[str, list[str]]:
    return {
        name: cli.inside(student, name, f"{first} stat -c %i /var/log/{log}; cat /var/log/{log}").splitlines()
        for name, log in (("vm2", "maillog"), ("vm3", "maillog"), ("host", "messages"))
    }


def probes(cli: Cli, student: str) -> str:
    """The files on vm2 and vm3 that have a message of labenv's."""
    find = "grep -rl --exclude='dovecot*' 'Message-ID: <labenv-check' /var/mail /home /root /var/spool/postfix 2>/dev/null; true"
    return "".join(cli.inside(student, name, find) for name in ("vm2", "vm3"))


def test_checks_leave_the_mail_logs_as_they_were_but_for_what_the_student_wrote(
    cli: Cli, student: str, finished: dict[str, Any]
) -> None:
    client = Waiting(finished)
    before = logs(cli, student)
    for number in range(CHECKS):
        checking = subprocess.Popen(
            [sys.executable, "-m", "labenv", "check", "-s", student],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        cli.inside(student, "vm3", f"logger -p mail.info -t me line {number}")
        if number == 1:
            cli.inside(student, "vm2", f"echo hello | mail -s own {student}@{student}.ops")
        assert checking.wait() == 0
    after = logs(cli, student, LATE)
    assert client.told() == [f"* {client.before + 1} EXISTS"], "the student's own message"
    assert after.pop("host") == before.pop("host")
    for name, lines in before.items():
        assert after[name][: len(lines)] == lines, "the same file, with the same beginning"
        new = "\n".join(after[name][len(lines) :])
        assert "labenv" not in new
        assert "203.0.113.1" not in new
        assert new.count(f"to=<{student}@{student}.ops>") == 1, new
    came = after["vm3"][len(before["vm3"]) :]
    told = [line.partition(" me: ")[2] for line in came if " me: " in line]
    assert told == [f"line {number}" for number in range(CHECKS)]
    # Of the student's own message: its way through Postfix, the agent, and its connection, which labenv's may have begun.
    assert len(came) - CHECKS in (7, 8), "\n".join(came)
    assert "Subject: own" in cli.inside(student, "vm3", f"cd /home/{student}/Maildir; grep -rh Subject: new cur")
    assert not probes(cli, student)


@pytest.fixture
def killed(cli: Cli, student: str) -> dict[str, list[str]]:
    """A check was killed while its messages were on their way; the logs before it."""
    before = logs(cli, student)
    checking = subprocess.Popen(
        [sys.executable, "-m", "labenv", "check", "-s", student], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    sees = "grep -q labenv-check.*elsewhere /var/log/maillog && echo yes; true"
    until("its messages are on their way", lambda: cli.inside(student, "vm3", sees))
    os.kill(checking.pid, signal.SIGKILL)
    checking.wait()
    return before


def test_the_next_check_takes_out_what_a_killed_one_left(cli: Cli, student: str, killed: dict[str, list[str]]) -> None:
    assert logs(cli, student) != killed
    cli("check", "-s", student)
    assert logs(cli, student, LATE) == killed
    assert not probes(cli, student)


def test_somebody_who_follows_the_log_sees_no_line_twice(cli: Cli, student: str) -> None:
    before = logs(cli, student)
    seen: list[str] = []
    following = [sys.executable, "-m", "labenv", "logs", "vm3", "-f", "-n", "1", "-s", student]
    with subprocess.Popen(following, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        follower.stdout.readline()
        cli("check", "-s", student, "24")
        cli.inside(student, "vm3", "logger -p mail.info -t me the last")
        while not seen or "me: the last" not in seen[-1]:
            seen.append(follower.stdout.readline())
        follower.send_signal(signal.SIGINT)
    assert "labenv-check" in "".join(seen)
    assert len(seen) == len(set(seen))
    cli("check", "-s", student, "24")
    after = logs(cli, student, LATE)
    assert after["vm2"] == before["vm2"]
    assert [line.partition(" me: ")[2] for line in after["vm3"][len(before["vm3"]) :]] == ["the last"]
