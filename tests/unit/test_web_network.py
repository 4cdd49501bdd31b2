"""The drawing of the network: what a machine says of itself never becomes markup."""

from datetime import UTC, datetime
from xml.etree import ElementTree

from labenv.environment import Environment, Machine
from labenv.mail.trace import End, Moment, Trace
from labenv.student import Student
from labenv.web.network import drawn

MARKUP = '"><script>window.pwned=1</script>'


def environment(*machines: Machine) -> Environment:
    return Environment(Student("asmith15", 15, "alice", "secret"), "lab4b", "done", machines)


def machine(name: str, address: str, state: str = "running", **more: object) -> Machine:
    return Machine(name, f"{name}.asmith15.ops", address, state, f"labenv-asmith15-{name}", **more)  # type: ignore[arg-type]


def test_markup_in_any_word_of_a_machine_is_text() -> None:
    there = environment(machine(MARKUP, MARKUP, MARKUP), machine("vm3", "192.168.15.4"))
    moments = (Moment(datetime.now(UTC), MARKUP, MARKUP, (MARKUP,)), Moment(datetime.now(UTC), "vm3", "", ()))
    way = Trace(MARKUP, MARKUP, moments, (End(MARKUP, "bounced", MARKUP, MARKUP),))
    svg = drawn(there, {MARKUP: [MARKUP]}, way)
    assert "<script" not in svg
    tree = ElementTree.fromstring(svg)
    assert MARKUP in {text.text for text in tree.iter("text")}


def test_the_message_moves_over_its_machines_to_where_it_stopped() -> None:
    there = environment(machine("vm2", "192.168.15.3"), machine("vm3", "192.168.15.4", "exited"))
    moments = tuple(Moment(datetime.now(UTC), name, "", ()) for name in ("vm2", "vm2", "vm3"))
    tree = ElementTree.fromstring(drawn(there, {}, Trace("x", "", moments, (End("r", "bounced", "vm3"),))))
    assert len(list(tree.iter("animateMotion"))) == 1
    boxes = {group.findtext("text[@class='name']"): group.get("class") for group in tree.iter("g")}
    assert boxes == {"vm2": "node up", "vm3": "node down stopped"}


def test_a_machine_of_two_networks_hangs_on_both() -> None:
    attached = frozenset({"labenv-asmith15", "labenv-asmith15.lan"})
    there = environment(
        machine("router", "192.168.15.1", attached_to=attached), machine("web", "10.0.0.2", network="lan")
    )
    tree = ElementTree.fromstring(drawn(there, {}))
    assert [text.text for text in tree.iter("text") if text.get("class") == "bus-name"] == ["192.168.15.0/24", "lan"]
    assert len([line for line in tree.iter("line") if line.get("x1") == line.get("x2")]) == 3
