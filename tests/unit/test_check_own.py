"""What the logs say about the student's own messages, for steps that leave no other trace."""

from datetime import datetime

from labenv.checks.own import OwnMail
from labenv.mail.office import Office
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
