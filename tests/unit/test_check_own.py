"""What the logs say about the student's own messages, for steps that leave no other trace."""

import time
from datetime import datetime

import pytest

from labenv.mail import maillog
from labenv.mail.office import Office
from labenv.mail.own import OwnMail
from labenv.mail.postroom import Postroom
from tests.unit.test_trace import ANNA, MACHINES, rooms

EARLY, LATE = datetime(2026, 11, 22, 20), datetime(2026, 11, 22, 23, 59)
ROOT = "root@asmith15.ops"


def own(case: str, changed: datetime = EARLY) -> OwnMail:
    there = {name: room for name, room in rooms(case).items() if isinstance(room, Postroom)}
    return OwnMail(Office(there, MACHINES), {"vm2": changed, "vm3": changed})


def test_a_message_that_crossed() -> None:
    found = own("user").crossed("vm2", "vm3", to=ANNA, sender=ROOT)
    assert found
    station, delivery = found
    assert (station.machine, station.hop.sender, delivery.relay) == ("vm3", ROOT, "vm3.asmith15.ops[192.168.90.4]:25")


def test_other_recipients_senders_and_directions_do_not_count() -> None:
    assert own("user").crossed("vm2", "vm3", to=ROOT) is None
    assert own("user").crossed("vm2", "vm3", sender="root@vm2.asmith15.ops") is None
    assert own("user").crossed("vm3", "vm2") is None


def test_a_message_from_before_the_last_change_proves_nothing() -> None:
    assert own("user", LATE).crossed("vm2", "vm3") is None


def test_a_client_on_another_machine_is_not_the_command_line() -> None:
    assert own("client").crossed("vm2", "vm3") is None


def test_a_message_that_stopped_did_not_cross() -> None:
    assert own("denied").crossed("vm2", "vm3") is None


def test_a_message_that_was_kept() -> None:
    kept = own("mbox", LATE).kept("vm3", ANNA, ROOT)
    assert kept
    assert kept.hop.deliveries[0].words == "delivered to mailbox"
    assert own("alias").kept("vm3", ROOT, ROOT), "by the address that it was for"
    assert own("two").kept("vm3", ROOT, ROOT) is None, "it was deferred"


SAME = """\
Nov 22 20:22:40 vm2 postfix/cleanup[51]: ABCDEF: message-id=<{0}@b.c>
Nov 22 20:22:40 vm2 postfix/smtp[53]: ABCDEF: to=<a@b.c>, relay=local, dsn=2.0.0, status=sent (queued as ABCDEF)
Nov 22 20:22:40 vm2 postfix/qmgr[47]: ABCDEF: removed
"""
REFUSED = """\
Nov 22 20:22:40 vm2 postfix/smtpd[60]: NOQUEUE: reject: RCPT from x[y]: 550 {0}x; from=<a@b.c> to=<a@b.c> proto=SMTP
Nov 22 20:22:40 vm2 postfix/smtp[53]: ABCDEF: to=<a@b.c>, relay=local, dsn=5.0.0, status=bounced (550 {0}y)
"""
CHAIN = """\
Nov 22 20:22:40 vm2 postfix/cleanup[51]: A{0:06X}: message-id=<one@b.c>
Nov 22 20:22:40 vm2 postfix/smtp[53]: A{0:06X}: to=<a@b.c>, relay=local, dsn=2.0.0, status=sent (queued as A{1:06X})
Nov 22 20:22:40 vm2 postfix/bounce[55]: A{0:06X}: sender non-delivery notification: A{1:06X}
"""


@pytest.mark.parametrize("lines", [SAME, REFUSED, CHAIN], ids=["one queue id", "one recipient", "a chain of notices"])
def test_a_log_of_all_the_same_is_joined_in_time(lines: str) -> None:
    """In processor time, which does not depend on what else runs on the computer."""
    log = maillog.read("".join(lines.format(n, n + 1) for n in range(10_000)), datetime(2026, 11, 23))
    start = time.process_time()
    Office({"vm2": Postroom(log)}, MACHINES)
    assert time.process_time() - start < 4


def test_of_messages_with_one_queue_id_the_nearest_in_time_is_meant() -> None:
    """Of two as near, the earlier one."""
    times = (10, 20, 20, 30)
    there = "".join(SAME.format(f"{n}").replace("20:22:40", f"20:22:{at}") for n, at in enumerate(times))
    log = maillog.read(there.replace("queued as ABCDEF", "ok"), datetime(2026, 11, 23))
    office = Office({"vm2": Postroom(log)}, MACHINES)
    for at, expected in (
        (1, "0@b.c"),
        (15, "0@b.c"),
        (16, "1@b.c"),
        (20, "1@b.c"),
        (25, "1@b.c"),
        (26, "3@b.c"),
        (59, "3@b.c"),
    ):
        [found] = office._at("vm2", "ABCDEF", datetime(2026, 11, 22, 20, 22, at))
        assert found.id == expected, at


def test_where_a_message_without_an_id_began_is_found_in_time() -> None:
    """In processor time, which does not depend on what else runs on the computer."""
    chain = CHAIN.replace("message-id=<one@b.c>", "message-id=<>")
    log = maillog.read("".join(chain.format(n, n + 1) for n in range(3000)), datetime(2026, 11, 23))
    office = Office({"vm2": Postroom(log)}, MACHINES)
    start = time.process_time()
    [first] = office.find("A000BB7")
    assert first.hop.queue_id == "A000000"
    assert time.process_time() - start < 1
