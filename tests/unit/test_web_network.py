"""The drawing of the network: what a machine says of itself never becomes markup."""

from datetime import UTC, datetime
from xml.etree import ElementTree

from labenv.environment import Environment, Machine
from labenv.mail.trace import End, Moment, Trace
from labenv.student import Student
from labenv.web import drawing
from labenv.web.drawing import drawn
from labenv.web.services import Service, parsed

MARKUP = '"><script>window.pwned=1</script>'


def environment(*machines: Machine) -> Environment:
    return Environment(Student("asmith15", 15, "alice", "secret"), "lab4b", "done", machines)


def machine(name: str, address: str, state: str = "running", **more: object) -> Machine:
    return Machine(name, f"{name}.asmith15.ops", address, state, f"labenv-asmith15-{name}", **more)  # type: ignore[arg-type]


def test_markup_in_any_word_of_a_machine_is_text() -> None:
    there = environment(machine(MARKUP, MARKUP, MARKUP), machine("vm3", "192.168.15.4"))
    moments = (Moment(datetime.now(UTC), MARKUP, MARKUP, (MARKUP,)), Moment(datetime.now(UTC), "vm3", "", ()))
    way = Trace(MARKUP, MARKUP, moments, (End(MARKUP, "bounced", MARKUP, MARKUP),))
    svg = drawn(there, {MARKUP: [Service(MARKUP, (25,)), Service(MARKUP, down=MARKUP)]}, way)
    assert "<script" not in svg
    tree = ElementTree.fromstring(svg)
    shown = {text.text for text in tree.iter("text") if text.text and text.text.startswith('"><script')}
    assert shown, "the name is cut, and there"
    assert all(len(text) < 30 for text in shown)


def test_the_message_moves_over_its_machines_to_where_it_stopped() -> None:
    there = environment(machine("vm2", "192.168.15.3"), machine("vm3", "192.168.15.4", "exited"))
    moments = tuple(Moment(datetime.now(UTC), name, "", ()) for name in ("vm2", "vm2", "vm3"))
    tree = ElementTree.fromstring(drawn(there, {}, Trace("x", "", moments, (End("r", "bounced", "vm3"),))))
    assert [circle.get("class") for circle in tree.iter("circle")] == ["message"]
    [way] = [path.get("d") for path in tree.iter("path")]
    assert way == "M 100 60 Q 190.0 0 280 60"
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


def test_a_refused_message_is_drawn_to_the_machine_that_refused_it_and_told_in_words() -> None:
    there = environment(machine("vm2", "192.168.15.3"), machine("vm3", "192.168.15.4"))
    moments = (Moment(datetime.now(UTC), "vm2", "", ()),)
    refused = Trace("x", "", moments, (End("r", "refused", "vm3", "vm3 does not know r"),))
    assert drawing.way(refused) == ["vm2", "vm3"]
    services = {"vm2": [Service("postfix", (25,))], "vm3": [Service("dovecot", down="stopped")]}
    assert list(drawing.told(there, services, refused)) == [
        "vm2 (192.168.15.3) runs. Services: postfix on 25.",
        "vm3 (192.168.15.4) runs. But dovecot is stopped.",
        "The message: vm2 → vm3. It was stopped on vm3: refused, because vm3 does not know r.",
    ]


def test_services_have_the_names_of_their_units_and_those_that_should_run_and_do_not_are_named() -> None:
    told = """\
LISTEN 0 100 0.0.0.0:25 0.0.0.0:* users:(("smtpd",pid=40,fd=6),("master",pid=32,fd=13))
LISTEN 0 100 [::]:143 [::]:* users:(("dovecot",pid=16,fd=35))
LISTEN 0 100 0.0.0.0:993 0.0.0.0:* users:(("dovecot",pid=16,fd=36))
LISTEN 0 4096 *:22 *:* users:(("systemd",pid=1,fd=30))
LISTEN 0 100 127.0.0.1:953 0.0.0.0:* users:(("named",pid=9,fd=1))
LISTEN 0 100 0.0.0.0:8080 0.0.0.0:* users:(("python3",pid=77,fd=3))
LISTEN 0 100 0.0.0.0:80 0.0.0.0:*
--
1
16 dovecot.service
32 postfix.service
40 postfix.service
77
--
[::]:22 ssh.socket ssh.service
--
Type=forking
Id=named.service
TriggeredBy=
ActiveState=failed
UnitFileState=disabled

Type=oneshot
Id=iptables.service
TriggeredBy=
ActiveState=inactive
UnitFileState=enabled

Type=notify
Id=ssh.service
TriggeredBy=ssh.socket
ActiveState=inactive
UnitFileState=enabled

Type=simple
Id=rsyslog.service
TriggeredBy=
ActiveState=inactive
UnitFileState=enabled
"""
    assert list(map(str, parsed(told))) == [
        "a program 80",
        "dovecot 143, 993",
        "postfix 25",
        "python3 8080",
        "ssh 22",
        "named failed",
        "rsyslog stopped",
    ]


def test_a_machine_that_says_nonsense_has_no_services() -> None:
    for told in ("", "--", "--\n--\n--\n--\n", "LISTEN", "ActiveState=failed\n--\n" * 9, "x=" * 1000):
        parsed(told)
