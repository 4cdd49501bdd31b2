"""What a machine's servers logged against themselves: the complaint that explains, and the setting that it is about."""

import json

import pytest

from labenv.mail import complaints
from labenv.mail.complaints import Complaint

_MAIN = "/etc/postfix/main.cf"


def entry(program: str, text: str, priority: object = "4", pid: str = "7") -> str:
    return json.dumps({"SYSLOG_IDENTIFIER": program, "_PID": pid, "PRIORITY": priority, "MESSAGE": text})


def told(*recent: str, failed: tuple[str, ...] = (), files: str = "") -> Complaint | None:
    parts = ("\n".join(failed), "\n".join(recent), files)
    return complaints.explained("\n== next ==\n".join(f"{part}\n" for part in parts))


def test_the_gravest_line_is_told_with_the_first_of_its_process() -> None:
    complaint = told(
        entry("postfix/smtpd", "warning: SASL: Connect to private/auth failed: No such file or directory"),
        entry("postfix/qmgr", "warning: something else", pid="9"),
        entry("postfix/smtpd", "fatal: no SASL authentication mechanisms", "2"),
        files=f"{_MAIN}:3:smtpd_sasl_path = private/auth",
    )
    assert str(complaint) == (
        "postfix/smtpd logs: SASL: Connect to private/auth failed: No such file or directory; no SASL authentication mechanisms "
        f"(smtpd_sasl_path, line 3 of {_MAIN})"
    )


@pytest.mark.parametrize(
    ("text", "files", "setting"),
    [
        (
            'non-null host address bits in "10.1.1.1/24"',
            f"{_MAIN}:9:mynetworks = 10.1.1.1/24, 127.0.0.0/8",
            "mynetworks, line 9",
        ),
        (
            "config variable inet_interfaces: host not found: eth0",
            f"{_MAIN}:2:inet_interfaces = eth0",
            "inet_interfaces, line 2",
        ),
        (
            "open database /etc/aliases2.db: No such file",
            f"{_MAIN}:1:alias_maps = hash:/etc/aliases2",
            "alias_maps, line 1",
        ),
        (
            'unknown style "relayhost" in "subnet  relayhost = vm3"',
            f"{_MAIN}:5:mynetworks_style = subnet\n{_MAIN}:6:\n{_MAIN}:7:# a comment\n{_MAIN}:8:  relayhost = vm3",
            "mynetworks_style, line 5 of /etc/postfix/main.cf, and the next line, relayhost, begins with a blank",
        ),
        (
            "Error in file /etc/dovecot/a.conf line 8: Invalid value: Yes",
            "/etc/dovecot/a.conf:8:ssl = Yes",
            "ssl, line 8",
        ),
        ("protocols: Unknown protocol: IMAP", "/etc/dovecot/dovecot.conf:4:  protocols = IMAP", "protocols, line 4"),
        (
            "users with UID 1000 not permitted",
            "/etc/dovecot/a.conf:1:first_valid_uid = 2000",
            "first_valid_uid, line 1",
        ),
    ],
)
def test_the_setting_that_a_complaint_is_about_is_named_with_its_line(text: str, files: str, setting: str) -> None:
    complaint = told(entry("a", text), files=files)
    assert complaint
    assert complaint.setting
    assert str(complaint.setting).startswith(setting)


def test_a_line_that_sets_nothing_is_about_no_setting() -> None:
    said = f"fatal: {_MAIN}, line 9: missing '=' after attribute name: \"relayhost vm3\""
    complaint = told(entry("postfix/master", said), files=f"{_MAIN}:5:relayhost = vm3\n{_MAIN}:9:relayhost vm3")
    assert complaint
    assert complaint.setting is None


def test_of_two_lines_that_set_it_the_last_counts() -> None:
    complaint = told(entry("a", "mynetworks: bad"), files=f"{_MAIN}:1:mynetworks = a\n{_MAIN}:2:mynetworks = b")
    assert complaint
    assert complaint.setting
    assert complaint.setting.line == 2


def test_what_a_service_logged_that_failed_comes_first() -> None:
    stderr = entry("dovecot", "doveconf: Fatal: Error in configuration", "6")
    assert (
        str(told(entry("named", "no memory", "3"), failed=(stderr,)))
        == "dovecot logs: doveconf: Error in configuration"
    )


def test_a_complaint_about_a_setting_explains_more_than_a_graver_one_about_none() -> None:
    complaint = told(
        entry("dovecot", "imap(anna): Error: out of memory", "3", pid="8"),
        entry("dovecot", "imap(anna): Warning: UID 1000 not permitted (see first_valid_uid)"),
        files="/etc/dovecot/a.conf:1:first_valid_uid = 2000",
    )
    assert complaint
    assert complaint.text == "imap(anna): UID 1000 not permitted (see first_valid_uid)"


def test_what_a_journal_hides_in_escapes_is_shown_as_such() -> None:
    assert str(told(entry("a\u202e", "no\x1b[2J\u202eway\n"))) == "a\\u202e logs: no\\x1b[2J\\u202eway "


def test_noise_and_nonsense_explain_nothing() -> None:
    lines = (
        "not json",
        "[1]",
        '{"MESSAGE": 1}',
        entry("postfix/master", "warning: process /usr/lib/postfix/sbin/smtpd pid 1 exit status 1"),
        entry("postfix/smtpd", "connect from unknown", "6"),
        entry("postfix/smtpd", "connect from unknown", {"a": 1}),
    )
    assert told(*lines) is None
    assert complaints.explained("") is None
