"""Causes that are asked again: what is typed for which words of a log, and what is said then. The machines' part is in tests/e2e."""

from collections.abc import Callable

import pytest

from labenv.mail.again import Now, now
from labenv.mail.trace import End

GIVEN = {"to": "bob@asmith15.ops", "user": "bob", "sender": "root@asmith15.ops"}


def answers(*told: tuple[str, int, str]) -> tuple[list[str], Callable[[str], tuple[int, str]]]:
    """What was typed, and a machine that answers to the first of some words in it; everything else fails."""
    typed: list[str] = []

    def run(script: str) -> tuple[int, str]:
        typed.append(script)
        return next(((code, text) for word, code, text in told if word in script), (1, ""))

    return typed, run


@pytest.mark.parametrize(
    ("said", "word", "printed", "fixed"),
    [
        (
            "Host or domain name not found. Name service error for name=vm33.asmith15.ops type=A: Host not found",
            "relayhost",
            "vm3.asmith15.ops\n",
            "its relay host is vm3.asmith15.ops now",
        ),
        (
            "Host or domain name not found. Name service error for name=vm3.asmith15.ops type=A: Host not found, try again",
            "has address",
            "",
            "the DNS knows vm3.asmith15.ops now",
        ),
        (
            "connect to vm3.asmith15.ops[192.168.90.4]:25: Connection refused",
            "nc -z",
            "",
            "vm3.asmith15.ops answers on port 25 now",
        ),
        (
            "host vm3.asmith15.ops[192.168.90.4] said: 454 4.7.1 <bob@asmith15.ops>: Relay access denied",
            "RCPT TO",
            "",
            "vm3.asmith15.ops accepts mail for bob@asmith15.ops now",
        ),
        ('unknown user: "bob"', "getent passwd", "", "it has the account bob now"),
        (
            "Error: chdir(/home/bob/) failed: Permission denied (euid=1001(bob) egid=1001(bob) missing +x perm: /home/bob)",
            "runuser",
            "",
            "bob may use /home/bob/ now",
        ),
        (
            'Command died with status 127: "/usr/lib/lda -f',
            "mailbox_command",
            "not set\n",
            "mailbox_command is not set now",
        ),
    ],
)
def test_what_is_right_by_now_is_said(said: str, word: str, printed: str, fixed: str) -> None:
    typed, run = answers((word, 0, printed), ("qmgr", 0, ""))
    assert now(said, GIVEN, run) == Now(fixed)
    nothing, fails = answers()
    assert now(said, GIVEN, fails) == Now()
    assert typed
    assert nothing


def test_a_setting_that_postfix_has_not_read_is_not_in_force() -> None:
    _, run = answers(("relayhost", 0, "vm3"))
    assert now("Name service error for name=vm33 type=A: Host not found", GIVEN, run) == Now(
        "its relay host is vm3 now", False
    )
    end = End("bob", "deferred", "vm2", "why", fixed="its relay host is vm3 now", in_force=False, due="at 17:25")
    assert str(end).endswith(
        "; its relay host is vm3 now, but Postfix on vm2 was not restarted since: systemctl restart postfix"
    )


def test_words_of_a_log_are_no_command() -> None:
    typed, run = answers()
    now("Name service error for name=$(reboot)'; type=A: Host not found", GIVEN, run)
    assert all("'name=$(reboot)'\"'\"';'" in script for script in typed)


def test_a_message_says_when_it_is_tried_again() -> None:
    waits = End("bob", "deferred", "vm2", "the cable is cut", due="at 17:25")
    assert str(waits) == "stopped on vm2: deferred, because the cable is cut; the next try is at 17:25"
    fixed = End("bob", "deferred", "vm2", "the cable is cut", fixed="it is whole now", due="at 17:25")
    assert str(fixed).endswith(
        "; that is fixed (it is whole now): vm2 tries again at 17:25, or at once after: postqueue -f"
    )
    gone = End("bob", "refused", "vm2", "no", fixed="it is whole now")
    assert str(gone).endswith("; that is fixed (it is whole now): send it again")
