"""What clients were refused, from the logs: lines of real machines, with other names."""

from dataclasses import replace
from datetime import datetime

import pytest

from labenv.checks.results import CheckResult, with_remarks
from labenv.mail.attempts import Attempt, Place, open_attempts

NOW = datetime(2026, 11, 29, 17, 30)
MACHINES = {"192.168.90.1": "host", "192.168.90.3": "vm2", "192.168.90.4": "vm3"}
USERS = frozenset({"root", "asmith15", "ann"})
AT = "Nov 29 17:03:"
GONE = "Disconnected: Connection closed (auth failed, 1 attempts in 4 secs)"
PASSED_ON = "NOQUEUE: reject: RCPT from vm2.asmith15.ops[192.168.90.3]: 550 5.1.1 <bob@asmith15.ops>: Recipient address rejected: User unknown in local recipient table; from=<asmith15@asmith15.ops> to=<bob@asmith15.ops> proto=ESMTP helo=<vm2.asmith15.ops>"


def imap(second: int, what: str, user: str, session: str = "Tqsb4WxhzMfAqEcB", rest: str = "") -> str:
    return (
        f"{AT}{second:02} vm3 dovecot: imap-login: {what}: user=<{user}>, method=PLAIN, rip=192.168.90.1, lip=192.168.90.4, "
        f"{rest}session=<{session}>\n"
    )


def smtpd(second: int, text: str, machine: str = "vm3") -> str:
    return f"{AT}{second:02} {machine} postfix/smtpd[1466]: {text}\n"


def told(*logs: str, vm2: str = "", **place: object) -> list[str]:
    vm3 = replace(Place("vm3", "".join(logs), NOW, USERS), **place)  # type: ignore[arg-type]
    return [str(a) for a in open_attempts([Place("vm2", vm2, NOW, USERS), vm3], MACHINES, "asmith15", {})]


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("asmith15@asmith15.ops", "the user name on vm3 is asmith15, without the domain"),
        ("asmith15", "the password is not that of asmith15 on vm3 (labenv status shows it)"),
        ("ann", "the password is not that of ann on vm3"),
        ("Asmith15", "the user name on vm3 is asmith15, in small letters"),
        ("bob", "vm3 has no account bob"),
        ("bob@asmith15.ops", "vm3 has no account bob@asmith15.ops"),
    ],
)
def test_a_login_that_failed_is_explained(user: str, why: str) -> None:
    assert told(imap(25, GONE, user)) == [
        f"a client at 192.168.90.1 tried to log in as {user} at 17:03 and was refused: {why}"
    ]


def test_a_login_that_just_failed_is_known_before_the_client_leaves() -> None:
    line = f"{AT}21 vm3 auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser=asmith15@asmith15.ops rhost=192.168.90.1 \n"
    assert len(told(line)) == 1
    assert told(line, imap(25, GONE, "asmith15@asmith15.ops")) == told(imap(25, GONE, "asmith15@asmith15.ops"))


def test_a_client_that_got_in_later_is_not_told_of() -> None:
    assert told(imap(25, GONE, "asmith15@asmith15.ops"), imap(40, "Login", "asmith15", "later")) == []
    assert told(imap(25, "Login", "asmith15", "before"), imap(40, GONE, "asmith15@asmith15.ops"))


def test_labenvs_own_login_says_nothing_about_the_students_client() -> None:
    own = imap(40, "Login", "asmith15", "I2zw4GxhtsfAqEcB") + (
        f"{AT}41 vm3 dovecot: imap(asmith15)<1451><I2zw4GxhtsfAqEcB>: Disconnected: Logged out in=50 out=906 deleted=0 expunged=0 "
        "trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0\n"
    )
    assert len(told(imap(25, GONE, "asmith15@asmith15.ops"), own)) == 1
    read = own.replace("hdr_count=0", "hdr_count=1")
    assert told(imap(25, GONE, "asmith15@asmith15.ops"), read) == []


def test_what_was_repaired_since_is_not_told() -> None:
    later = datetime(2026, 11, 29, 17, 10)
    assert told(imap(25, GONE, "asmith15"), changed={"accounts": later}) == []
    assert told(imap(25, GONE, "asmith15"), changed={"dovecot": later}) == []
    plain = imap(25, "Disconnected: Aborted login (tried to use disallowed plaintext auth)", "")
    assert "vm3 takes no password without TLS" in told(plain)[0]
    assert told(plain, changed={"dovecot": later}) == []
    relay = smtpd(
        25,
        "NOQUEUE: reject: RCPT from host.asmith15.ops[192.168.90.1]: 454 4.7.1 <sam@example.com>: Relay access denied; "
        "from=<asmith15@asmith15.ops> to=<sam@example.com> proto=ESMTP helo=<[192.168.90.1]>",
    )
    assert "nor relays mail from host (mynetworks)" in told(relay)[0]
    assert told(relay, changed={"postfix": later}) == []


def test_what_is_an_hour_old_is_not_told() -> None:
    assert told(imap(25, GONE, "bob"), now=datetime(2026, 11, 29, 18, 4)) == []


def test_a_certificate_that_a_client_refuses_is_named() -> None:
    rest = "TLS handshaking: SSL_accept() failed: error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48, "
    [said] = told(imap(25, "Disconnected: Connection closed (no auth attempts in 0 secs)", "", rest=rest))
    assert "does not accept the certificate of vm3" in said


def test_a_recipient_that_nobody_is_is_told_with_who_passed_the_message_on() -> None:
    sent = (
        f"{AT}42 vm2 postfix/smtpd[3557]: 37DA3B4C006: client=host.asmith15.ops[192.168.90.1]\n"
        f"{AT}42 vm2 postfix/cleanup[3560]: 37DA3B4C006: message-id=<PROBE1@asmith15.ops>\n"
        f"{AT}43 vm2 postfix/smtp[3561]: 37DA3B4C006: to=<bob@asmith15.ops>, relay=vm3.asmith15.ops[192.168.90.4]:25, delay=0.09, "
        "delays=0/0/0/0, dsn=5.1.1, status=bounced (host vm3.asmith15.ops[192.168.90.4] said: 550 5.1.1 <bob@asmith15.ops>: "
        "Recipient address rejected: User unknown in local recipient table (in reply to RCPT TO command))\n"
    )
    there = smtpd(43, PASSED_ON)
    assert told(there, vm2=sent) == [
        "vm2 tried to pass on a message to bob@asmith15.ops at 17:03 and was refused: vm3 has no account bob"
    ]
    assert told(there, vm2=sent.replace("PROBE1", "labenv-check-1")) == []
    assert told(there, vm2=sent, aliases=frozenset({"bob"})) == []
    assert told(there, vm2=sent, accounts=USERS | {"bob"}) == []


def test_a_login_for_sending_at_a_machine_without_one_is_told() -> None:
    tried = smtpd(25, "disconnect from host.asmith15.ops[192.168.90.1] ehlo=1 auth=0/1 quit=1 commands=2/3", "vm2")
    [said] = told(vm2=tried)
    assert said.startswith("a client at 192.168.90.1 tried to log in at 17:03 and was refused: vm2 takes mail")
    later = smtpd(40, "6034EB4C006: client=host.asmith15.ops[192.168.90.1]", "vm2")
    assert told(vm2=tried + later) == []


def test_a_name_from_a_client_is_bounded_and_has_no_control_characters() -> None:
    [said] = told(imap(25, GONE, "\x1b[31m" + "x" * 5000))
    assert "\x1b" not in said
    assert len(said) < 400


def test_a_step_that_passes_warns_and_one_that_fails_is_left() -> None:
    one = CheckResult("37", "inbox_opens", "host", "", "pass", "fine", "", "fine", "fine")
    attempt = Attempt(NOW, "vm3", "login", "192.168.90.1", "bob", "vm3 has no account bob")
    [said] = with_remarks([one], [("37", str(attempt))])
    assert (said.status, said.evidence) == ("warn", str(attempt))
    [both] = with_remarks([replace(one, status="warn", evidence="a doubt")], [("37", str(attempt))])
    assert both.evidence == f"a doubt; {attempt}"
    failed = replace(one, status="fail")
    assert with_remarks([failed], [("37", str(attempt))]) == (failed,)
