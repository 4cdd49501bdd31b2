"""Which lines of a mail log are labenv's own, and how they are taken out of the file (labenv/mail/follow.pl)."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labenv.mail import follow
from labenv.mail.office import PROBE
from labenv.mail.sessions import _NOTHING

PROGRAM = follow.PROGRAM
TOKEN = f"{PROBE}-cbccee7a682b"
HOST, VM2, STRANGER, DOMAIN = "192.168.226.1", "192.168.226.3", "203.0.113.1", "elsewhere.test"


def stamped(*lines: str, machine: str = "vm3") -> list[str]:
    return [f"Nov 29 16:17:50 {machine} {line}\n" for line in lines]


def kept(lines: list[str], runs: Path = Path("/nonexistent")) -> list[str]:
    """What stays of these lines; `runs` is the folder of what labenv knows of its runs."""
    done = subprocess.run(
        [
            "perl",
            "-we",
            PROGRAM.replace("/run/labenv-checks", str(runs)),
            "select",
            TOKEN,
            f"{HOST} {VM2}",
            STRANGER,
            DOMAIN,
        ],
        input="".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout.splitlines(keepends=True)


def message(queue_id: str, message_id: str, smtpd: int, client: str = f"vm2[{VM2}]") -> list[str]:
    return stamped(
        f"postfix/smtpd[{smtpd}]: {queue_id}: client={client}",
        f"postfix/cleanup[88]: {queue_id}: message-id=<{message_id}>",
        f"postfix/qmgr[26]: {queue_id}: from=<root@qq1.ops>, size=617, nrcpt=1 (queue active)",
        f"dovecot: lda(qq1)<{smtpd}7><oEpBBjBQDGvL{queue_id}>: msgid=<{message_id}>: saved mail to INBOX",
        f"postfix/local[194]: {queue_id}: to=<qq1@qq1.ops>, relay=local, delay=0.02, delays=0/0/0/0.02, dsn=2.0.0, "
        "status=sent (delivered to command: /usr/libexec/dovecot/dovecot-lda)",
        f"postfix/qmgr[26]: {queue_id}: removed",
    )


def session(smtpd: int, *inside: list[str], end: str = "ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5") -> list[str]:
    [first] = stamped(f"postfix/smtpd[{smtpd}]: connect from vm2[{VM2}]")
    [last] = stamped(f"postfix/smtpd[{smtpd}]: disconnect from vm2[{VM2}] {end}")
    return [first, *(line for lines in inside for line in lines), last]


OURS = message("29F34B461A1", f"{TOKEN}.user@qq1.ops", 82)
THEIRS = message("2FF34B461A2", "20261129161750.2FF34B461A2@vm2.qq1.ops", 82)


def test_a_message_of_labenvs_goes_with_its_session_and_the_students_stays() -> None:
    theirs = session(83, message("3FF34B461A2", "student@vm2", 83))
    mixed = [line for pair in zip(session(82, OURS), theirs, strict=True) for line in pair]
    assert kept(mixed) == theirs


def test_a_session_that_both_used_stays_without_labenvs_message() -> None:
    assert kept(session(82, OURS, THEIRS)) == session(82, THEIRS)
    assert kept(session(82, THEIRS, OURS)) == session(82, THEIRS)


def test_a_student_who_was_refused_in_labenvs_session_finds_it_in_the_log() -> None:
    refused = stamped(f"postfix/smtpd[82]: NOQUEUE: reject: RCPT from vm2[{VM2}]: 550 5.1.1 <x@qq1.ops>: unknown")
    assert kept(session(82, OURS, refused)) == session(82, refused)


def test_a_queue_id_that_is_used_again_is_another_message() -> None:
    again = message("29F34B461A1", "student@vm2", 83)
    assert kept([*session(82, OURS), *session(83, again)]) == session(83, again)


def test_a_client_that_does_nothing_three_times_is_labenvs() -> None:
    assert kept(session(82, end=f"ehlo=1 noop={_NOTHING} quit=1 commands={_NOTHING + 2}")) == []
    for end in ("noop=2 quit=1 commands=3", "quit=1 commands=1", "noop=13 quit=1 commands=14", "noop=0/3 commands=0/3"):
        assert kept(session(82, end=end)) == session(82, end=end)


def test_a_client_that_greets_as_labenv_takes_what_it_asked_for_along() -> None:
    asked = stamped(
        f"postfix/smtpd[82]: B3F05B460DA: client=vm2[{VM2}]",
        f"postfix/smtpd[82]: NOQUEUE: reject: RCPT from vm2[{VM2}]: 550 5.1.1 <{TOKEN}@qq1.ops>: unknown; from=<> "
        f"to=<{TOKEN}@qq1.ops> proto=ESMTP helo=<{PROBE}.vm2.qq1.ops>",
    )
    assert kept(session(82, asked)) == []


def test_what_a_machine_refuses_to_pass_on_for_labenv_goes(tmp_path: Path) -> None:
    (tmp_path / ".times").write_text("Nov 29 16:17:50\n")

    def refused(to: str, helo: str = "vm2") -> list[str]:
        reply = f"454 4.7.1 <{to}>: Relay access denied; from=<> to=<{to}> proto=ESMTP helo=<{helo}>"
        said = stamped(f"postfix/smtpd[82]: NOQUEUE: reject: RCPT from vm2[{VM2}]: {reply}")
        return session(82, said, end="ehlo=1 mail=1 rcpt=0/1 data=0/1 rset=1 quit=1 commands=4/6")

    assert kept(refused(f"somebody@{DOMAIN}"), tmp_path) == []
    later = [line.replace("16:17:50", "16:17:51") for line in refused(f"somebody@{DOMAIN}")]
    for theirs in (refused("root@qq1.ops"), refused(f"somebody@{DOMAIN}", "[192.168.226.1]"), later):
        assert kept(theirs, tmp_path) == theirs


def test_nobody_but_labenv_comes_from_a_strangers_address() -> None:
    lines = stamped(
        f"postfix/smtpd[79]: connect from unknown[{STRANGER}]",
        f"postfix/smtpd[79]: lost connection after CONNECT from unknown[{STRANGER}]",
        f"postfix/smtpd[79]: disconnect from unknown[{STRANGER}] commands=0/0",
        f"postfix/anvil[84]: statistics: max connection rate 1/60s for (smtp:{STRANGER}) at Nov 29 16:17:50",
        f"postfix/anvil[84]: statistics: max connection count 1 for (smtp:{STRANGER}) at Nov 29 16:17:50",
        "postfix/anvil[84]: statistics: max cache size 1 at Nov 29 16:17:50",
    )
    assert kept(lines) == []
    others = [line.replace(STRANGER, "198.51.100.1") for line in lines]
    assert kept(others) == others


def test_an_imap_session_is_labenvs_by_the_port_that_it_began_at() -> None:
    def login(session: str, address: str = HOST) -> list[str]:
        return stamped(
            f"dovecot: imap-login: Login: user=<qq1>, method=PLAIN, rip={address}, lip=192.168.226.4, mpid=190, session=<{session}>",
            f"dovecot: imap(qq1)<190><{session}>: Disconnected: Logged out in=50 out=891 deleted=0",
        )

    student, ours, gateway = "d72PomxhNtzAqOIB", "d72PomxhSO7AqOIB", "d72PomxhSO7AqOL+"
    theirs = login(student) + login(gateway, "192.168.226.254")
    assert kept(login(student) + login(ours) + login(gateway, "192.168.226.254")) == theirs


def test_postfix_counts_connections_that_labenv_caused(tmp_path: Path) -> None:
    (tmp_path / ".times").write_text("Nov 29 16:17:49\nNov 29 16:17:50\n")
    counted = stamped(
        "postfix/scache[205]: statistics: start interval Nov 29 16:17:50",
        "postfix/scache[205]: statistics: domain lookup hits=0 miss=1 success=0%",
        "postfix/scache[205]: statistics: address lookup hits=0 miss=1 success=0%",
        "postfix/scache[205]: statistics: max simultaneous domains=1 addresses=1 connection=1",
    )
    others = [line.replace("interval Nov 29 16:17:50", "interval Nov 29 16:17:48") for line in counted]
    assert kept(counted + others, tmp_path) == others


def test_named_looked_for_what_labenv_wrote_to_when_it_did(tmp_path: Path) -> None:
    (tmp_path / ".times").write_text("Nov 29 16:17:50\n")
    lost = stamped(
        "named[24]: network unreachable resolving 'elsewhere.test/MX/IN': 208.67.222.222#53",
        "named[24]: address not available resolving './NS/IN': 2001:500:12::d0d#53",
        "named[24]: resolver priming query complete: failure",
    )
    theirs = stamped(
        "named[24]: network unreachable resolving 'example.com/A/IN': 208.67.222.222#53",
        "named[24]: zone qq1.ops/IN: loaded serial 7",
    )
    before = [line.replace("16:17:50", "16:17:40") for line in lost]
    assert kept(before + lost + theirs, tmp_path) == before + theirs


def test_the_bounce_of_labenvs_message_goes_too() -> None:
    bounced = stamped(
        "postfix/pickup[25]: 29F34B461A1: uid=0 from=<root>",
        f"postfix/cleanup[88]: 29F34B461A1: message-id=<{TOKEN}.user@qq1.ops>",
        "postfix/smtp[53]: connect to vm3.qq1.ops[192.168.226.4]:25: Connection refused",
        "postfix/smtp[53]: 29F34B461A1: to=<x@qq1.ops>, relay=none, delay=0, delays=0/0/0/0, dsn=5.4.4, status=bounced (no)",
        "postfix/cleanup[88]: 805E41A40FA: message-id=<20261129161750.805E41A40FA@vm2.qq1.ops>",
        "postfix/bounce[55]: 29F34B461A1: sender non-delivery notification: 805E41A40FA",
        "postfix/qmgr[26]: 29F34B461A1: removed",
        "postfix/qmgr[26]: 805E41A40FA: from=<>, size=2000, nrcpt=1 (queue active)",
        "postfix/postsuper[307]: 805E41A40FA: removed",
        "postfix/postsuper[307]: Deleted: 1 message",
    )
    assert kept(bounced) == []
    students = [line.replace(TOKEN, "student") for line in bounced]
    assert kept(students) == students


def test_what_somebody_else_deletes_together_with_labenvs_message_is_told() -> None:
    queued = stamped(
        "postfix/pickup[25]: 29F34B461A1: uid=0 from=<root>",
        f"postfix/cleanup[88]: 29F34B461A1: message-id=<{TOKEN}.user@qq1.ops>",
        "postfix/postsuper[307]: 29F34B461A1: removed",
        "postfix/postsuper[307]: 2FF34B461A2: removed",
        "postfix/postsuper[307]: Deleted: 2 messages",
    )
    assert kept(queued) == queued[3:]


def test_lines_that_nobody_can_read_stay() -> None:
    odd = ["\n", "x\n", "Nov 29 16:17:50\n", "Nov 29 16:17:50 vm3 postfix/smtpd[1]: \n", f"{TOKEN}\n", "no end"]
    assert kept(odd) == odd


class File:
    """A file as a machine's log, and what writes it: a program of a rsyslogd's name that adds the lines of its input."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "maillog"
        self.path.write_text("".join(stamped("me: before") + session(82, OURS) + stamped("me: after")))
        self.runs = folder / "runs"
        self.runs.mkdir()
        writer = folder / "rsyslogd"
        writer.write_bytes(Path(os.path.realpath("/bin/cat")).read_bytes())
        writer.chmod(0o755)
        with self.path.open("ab") as log:
            self.writer = subprocess.Popen([writer], stdin=subprocess.PIPE, stdout=log)

    @property
    def command(self) -> list[str]:
        program = PROGRAM.replace("/run/labenv-checks", str(self.runs))
        return ["perl", "-we", program, "take", TOKEN, HOST, STRANGER, DOMAIN, "", str(self.path), "1"]

    def take(self) -> None:
        subprocess.run(self.command, check=True, timeout=20)

    def write(self, text: str) -> None:
        assert self.writer.stdin
        self.writer.stdin.write(text.encode())
        self.writer.stdin.flush()

    @property
    def state(self) -> str:
        return Path(f"/proc/{self.writer.pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    if not sys.platform.startswith("linux"):
        pytest.skip("it looks into /proc, as in a machine")
    made = File(tmp_path)
    yield made
    made.writer.kill()
    made.writer.communicate()


def test_the_file_stays_the_same_file_and_its_writer_goes_on(file: File) -> None:
    inode = file.path.stat().st_ino
    file.take()
    assert file.path.read_text() == "".join(stamped("me: before", "me: after"))
    file.write("one more\n")
    deadline = time.monotonic() + 5
    while not file.path.read_text().endswith("me: after\none more\n"):
        assert time.monotonic() < deadline, file.path.read_text()
        time.sleep(0.01)
    assert (file.path.stat().st_ino, file.state) == (inode, "S")


def test_nothing_is_taken_out_while_somebody_follows_the_file(file: File) -> None:
    before = file.path.read_text()
    with subprocess.Popen(["tail", "-f", file.path], stdout=subprocess.PIPE) as follower:
        assert follower.stdout
        follower.stdout.readline()
        file.take()
        assert file.path.read_text() == before
        follower.kill()
    file.take()
    deadline = time.monotonic() + 5
    while file.path.read_text() != "".join(stamped("me: before", "me: after")):  # the first may be at it still
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_line_is_lost_that_comes_meanwhile(file: File) -> None:
    lines = 0
    for _ in range(5):
        with file.path.open("a") as log:
            log.write("".join(session(82, OURS)))
        taking = subprocess.Popen(file.command)
        while taking.poll() is None:
            lines += 1
            file.write(f"line {lines}\n")
            time.sleep(0.0005)
    file.write("the last\n")
    deadline = time.monotonic() + 5
    while not file.path.read_text().endswith("the last\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    written = [f"line {number + 1}\n" for number in range(lines)]
    found = [line for line in file.path.read_text().splitlines(keepends=True) if line.startswith("line ")]
    assert found == written
