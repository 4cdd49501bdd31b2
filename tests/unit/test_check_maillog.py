"""Following a message through Postfix's log lines."""

import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from labenv.engine.channel import Result
from labenv.mail.follow import Maillog
from labenv.mail.maillog import hops, read, settled, with_notices

VM2 = """\
Nov 22 20:22:40 vm2 postfix/pickup[50]: 5C1A41A40F8: uid=0 from=<root>
Nov 22 20:22:40 vm2 postfix/cleanup[51]: 5C1A41A40F8: message-id=<one@anna.ops>
Nov 22 20:22:40 vm2 postfix/pickup[50]: 5D2B41A40F9: uid=0 from=<root>
Nov 22 20:22:40 vm2 postfix/cleanup[51]: 5D2B41A40F9: message-id=<other@anna.ops>
Nov 22 20:22:40 vm2 postfix/qmgr[47]: 5C1A41A40F8: from=<root@anna.ops>, size=380, nrcpt=1 (queue active)
Nov 22 20:22:40 vm2 postfix/smtp[53]: 5C1A41A40F8: to=<anna@anna.ops>, relay=vm3.anna.ops[192.168.90.4]:25, delay=0.08, \
delays=0.02/0.01/0.02/0.03, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 6E3C41A4101)
Nov 22 20:22:40 vm2 postfix/qmgr[47]: 5C1A41A40F8: removed
"""
VM3 = """\
Nov 22 20:22:40 vm3 postfix/smtpd[60]: 6E3C41A4101: client=vm2.anna.ops[192.168.90.3]
Nov 22 20:22:40 vm3 postfix/cleanup[61]: 6E3C41A4101: message-id=<one@anna.ops>
Nov 22 20:22:40 vm3 postfix/qmgr[57]: 6E3C41A4101: from=<root@anna.ops>, size=580, nrcpt=1 (queue active)
Nov 22 20:22:40 vm3 postfix/local[62]: 6E3C41A4101: to=<anna@anna.ops>, orig_to=<root@anna.ops>, relay=local, delay=0.1, \
delays=0.01/0.01/0/0.08, dsn=2.0.0, status=sent (delivered to command: /usr/libexec/dovecot/dovecot-lda -f "$SENDER")
Nov 22 20:22:40 vm3 postfix/qmgr[57]: 6E3C41A4101: removed
"""
BOUNCED = """\
Nov 22 20:23:00 vm2 postfix/cleanup[51]: 7F4D41A40F8: message-id=<lost@anna.ops>
Nov 22 20:23:00 vm2 postfix/qmgr[47]: 7F4D41A40F8: from=<root@anna.ops>, size=380, nrcpt=1 (queue active)
Nov 22 20:23:00 vm2 postfix/smtp[53]: 7F4D41A40F8: to=<x@anna.ops>, relay=none, delay=0.01, delays=0/0/0/0, dsn=5.4.4, \
status=bounced (Host or domain name not found. Name service error for name=anna.ops type=A: Host found (sic))
Nov 22 20:23:00 vm2 postfix/cleanup[51]: 805E41A40FA: message-id=<20261122202300.805E41A40FA@vm2.anna.ops>
Nov 22 20:23:00 vm2 postfix/bounce[55]: 7F4D41A40F8: sender non-delivery notification: 805E41A40FA
Nov 22 20:23:00 vm2 postfix/qmgr[47]: 7F4D41A40F8: removed
"""


def test_a_hop_over_the_network() -> None:
    [hop] = hops(VM2, "one@anna.ops")
    assert (hop.sender, hop.removed, hop.client) == ("root@anna.ops", True, "")
    [delivery] = hop.deliveries
    assert (delivery.to, delivery.relay, delivery.status) == ("anna@anna.ops", "vm3.anna.ops[192.168.90.4]:25", "sent")
    assert str(delivery).endswith("status=sent (250 2.0.0 Ok: queued as 6E3C41A4101)")


def test_a_local_delivery_by_an_alias() -> None:
    [hop] = hops(VM3, "one@anna.ops")
    assert hop.client == "vm2.anna.ops[192.168.90.3]"
    assert hop.deliveries[0].orig_to == "root@anna.ops"
    assert hop.deliveries[0].words.startswith("delivered to command: /usr/libexec/dovecot/dovecot-lda")


def test_a_message_that_was_never_there() -> None:
    assert hops(VM2, "nobody@anna.ops") == []


def test_a_message_that_has_just_come() -> None:
    [hop] = hops(VM2, "other@anna.ops")
    assert (hop.sender, hop.deliveries, hop.settled) == (None, [], False)


def test_an_empty_sender_is_not_no_sender() -> None:
    [hop] = hops(VM2.replace("from=<root@anna.ops>", "from=<>"), "one@anna.ops")
    assert hop.sender == ""


def test_a_bounce_belongs_to_the_message() -> None:
    notice = "20261122202300.805E41A40FA@vm2.anna.ops"
    assert with_notices({"vm2": BOUNCED}, {"lost@anna.ops"}) == {"lost@anna.ops", notice}
    assert with_notices({"vm2": VM2}, {"one@anna.ops"}) == {"one@anna.ops"}


def test_settled_once_every_machine_is_done() -> None:
    assert settled({"vm2": VM2, "vm3": VM3}, {"one@anna.ops"})
    assert not settled({"vm2": VM2, "vm3": ""}, {"one@anna.ops"}), "vm3's log lags behind"
    assert not settled({"vm2": VM2, "vm3": VM3}, {"one@anna.ops", "other@anna.ops"})


def test_a_deferred_message_has_come_to_rest() -> None:
    deferred = VM2.replace("status=sent (250 2.0.0 Ok: queued as 6E3C41A4101)", "status=deferred (timeout)")
    assert settled({"vm2": deferred.replace("5C1A41A40F8: removed", "")}, {"one@anna.ops"})


def test_a_client_that_sends_nothing_after_all_is_no_message() -> None:
    log = """\
Nov 22 20:22:40 vm3 postfix/smtpd[60]: connect from vm2.anna.ops[192.168.90.3]
Nov 22 20:22:40 vm3 postfix/smtpd[60]: 6E3C41A4101: client=vm2.anna.ops[192.168.90.3]
Nov 22 20:22:40 vm3 postfix/smtpd[60]: 6E3C41A4101: reject: RCPT from vm2.anna.ops[192.168.90.3]: 454 4.7.1 \
<b@elsewhere.test>: Relay access denied; from=<a@anna.ops> to=<b@elsewhere.test> proto=ESMTP helo=<vm2.anna.ops>
Nov 22 20:22:40 vm3 postfix/smtpd[60]: disconnect from vm2.anna.ops[192.168.90.3] ehlo=1 mail=1 rcpt=1/2 quit=1
"""
    found = read(log)
    assert found.hops == []
    [refusal] = found.refusals
    assert (refusal.to, refusal.reply, len(refusal.lines)) == (
        "b@elsewhere.test",
        "454 4.7.1 <b@elsewhere.test>: Relay access denied",
        3,
    )


def test_a_queue_id_is_used_again() -> None:
    first, second = hops(VM2 + VM2.replace("Nov 22 20:22:40", "Nov 22 20:25:00"), "one@anna.ops")
    assert [len(hop.deliveries) for hop in (first, second)] == [1, 1]


def test_last_years_lines_are_last_years() -> None:
    late = VM2.replace("Nov 22 20:22:40", "Dec 31 23:59:59")
    log = read(late + VM2.replace("Nov 22 20:22:40", "Jan  1 00:00:03"), datetime(2027, 1, 1, 0, 5))
    assert {hop.lines[0].time.year for hop in log.hops} == {2026, 2027}
    assert {hop.lines[0].time.year for hop in read(late, datetime(2026, 12, 31, 23, 59, 59)).hops} == {2026}


def seconds(work: Callable[[], object]) -> float:
    """Processor time, which does not depend on what else runs on the computer."""
    start = time.process_time()
    work()
    return time.process_time() - start


DELIVERED = "Nov 22 20:22:40 vm2 postfix/smtp[53]: ABCDEF: to=<a@b.c>, relay="


@pytest.mark.parametrize(
    "line",
    [
        "Nov 22 20:22:40 vm3 postfix/smtpd[60]: NOQUEUE: reject: RCPT from x: 550 " + "; from=<" * 12_000,
        DELIVERED + "x, " + " dsn=1, status=a (" * 6_000,
        DELIVERED + "x, " + " dsn=" * 20_000,
    ],
)
def test_a_long_line_takes_no_longer_than_short_ones(line: str) -> None:
    assert seconds(lambda: read(line)) < 0.1
    shorter = line[:8000] + "\n"
    assert seconds(lambda: read(shorter * 100)) < 0.5, "nor do the longest lines that rsyslogd writes"


def test_a_relay_without_an_end_is_soon_known_to_have_no_address() -> None:
    [hop] = read(f"{DELIVERED}{'[' * 8000}, dsn=2.0.0, status=sent (ok)").hops
    assert seconds(lambda: [hop.deliveries[0].address for _ in range(20)]) < 0.5


def test_what_the_delivery_agent_said_before_a_message_came_is_not_about_it() -> None:
    early = "Nov 22 20:22:39 vm3 dovecot: lda(6650): Fatal: Namespace '': Mail storage autodetection failed with home=/root\n"
    came = "Nov 22 20:22:40 vm3 postfix/pickup[78]: 5F2EFA2BF9: uid=0 from=<root>\n"
    own = "Nov 22 20:22:40 vm3 dovecot: lda(root)<7461><a>: Error: chdir(/root/) failed: Permission denied\n"
    done = (
        "to=<root@anna.ops>, relay=local, delay=0.1, delays=0/0/0/0.1, dsn=4.3.0, status=deferred (temporary failure)"
    )
    log = f"{early}{came}{own}Nov 22 20:22:40 vm3 postfix/local[79]: 5F2EFA2BF9: {done}\n"
    [hop] = read(log).hops
    assert [line.raw for line in hop.lines if line.daemon == "dovecot"] == [own.rstrip("\n")]


def test_delivery_agents_that_nobody_waits_for_do_not_slow_the_reading_down() -> None:
    agents = "".join(
        f"Nov 22 20:22:40 vm3 dovecot: lda(x)<{n}><{n}>: msgid=<{n}>: saved mail to INBOX\n" for n in range(25_000)
    )
    lines = f"{DELIVERED}local, delay=0.1, dsn=2.0.0, status=sent (ok)\n" * 25_000
    assert len(agents + lines) > 4_000_000
    assert seconds(lambda: read(agents + lines)) < 4


def test_one_agent_without_an_end_does_not_slow_the_reading_down() -> None:
    agent = "".join(f"Nov 22 20:22:40 vm3 dovecot: lda(x): msgid=<{n}>: saved mail to INBOX\n" for n in range(10_000))
    assert seconds(lambda: read(agent + f"{DELIVERED}local, delay=0.1, dsn=2.0.0, status=sent (ok)\n" * 10_000)) < 2


def test_refused_recipients_do_not_slow_down_the_lines_after_them() -> None:
    refused = "Nov 22 20:22:40 vm2 postfix/smtpd[60]: ABCDEF: reject: x\n" * 10_000
    assert seconds(lambda: read(refused + "Nov 22 20:22:40 vm2 postfix/qmgr[47]: ABCDEF: from=<a@b.c>\n" * 10_000)) < 2


class Here:
    """Stands for a machine and its channel: runs the commands here, with another file as /var/log/maillog."""

    def __init__(self, log: Path) -> None:
        self.channel, self._log = self, log

    def run(self, command: str) -> Result:
        done = subprocess.run(
            ["sh", "-c", command.replace("/var/log/maillog", str(self._log))], capture_output=True, check=False
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def output(self, command: str) -> str:
        return self.run(command).text


def test_a_log_that_begins_again_and_again_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "maillog"
    path.write_text("")
    log = Maillog(Here(path))  # type: ignore[arg-type]
    lines = VM2 * 1000
    for n in range(8):
        path.write_text(lines * (1 + n % 2) + f"{n}\n")
        text = log.read()
    assert len(lines) * 12 > 2 * len(text)
    assert text.endswith(f"{VM2}7\n"), "the newest is kept"
