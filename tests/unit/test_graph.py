"""The environment as a graph: what machines say is read as what it is, and never becomes markup in a drawing."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from labenv.computer import Computer
from labenv.dns import exchangers
from labenv.engine import apt
from labenv.events import silent
from labenv.graph import dot, drawing, firewall, mermaid, record
from labenv.graph.reach import Reach
from labenv.graph.record import Door, Graph, Mx, Node
from labenv.graph.services import parsed
from labenv.mail import relayhost
from labenv.mail.trace import End, Moment, Trace

SVG = "{http://www.w3.org/2000/svg}"
MARKUP = '"><script>window.pwned=1</script>\\" end; %%{init}%% `x` [b](javascript:1) & &lt; #35; \\N --> {{ }} | é'


def machine(name: str, address: str, *doors: Door, state: str = "running", **more: object) -> Node:
    known = {"networks": ("",), **more}
    return Node(name, f"{name}.asmith15.ops", (address,), state=state, doors=doors, **known)  # type: ignore[arg-type]


def graph(*nodes: Node, **more: object) -> Graph:
    return Graph("asmith15", "lab4b", "done", "asmith15.ops", "192.168.15.0/24", nodes, **more)  # type: ignore[arg-type]


def traced(*machines: str, end: End) -> Trace:
    return Trace("x", "", tuple(Moment(datetime.now(UTC), name, "", ()) for name in machines), (end,))


def hostile() -> Graph:
    """A graph in which each word is as bad as can be."""
    bad = machine(MARKUP, MARKUP, Door(25, MARKUP, (MARKUP,), (("vm3", "open"),)), state=MARKUP)
    bad = replace(bad, down=((MARKUP, MARKUP),), relay=MARKUP, firewall=firewall.Firewall((), MARKUP, others=(MARKUP,)))
    other = machine("vm3", "192.168.15.4", Door(25, "", (), ((MARKUP, "no answer"),)))
    return replace(
        graph(bad, replace(other, relay=MARKUP, relays_to=MARKUP)),
        domain=MARKUP,
        mx=(Mx(10, MARKUP, (MARKUP,)),),
        reaches=(Reach("vm3", MARKUP, 25, "open"), Reach(MARKUP, "vm3", 25, "no answer")),
        message=traced(MARKUP, "vm3", end=End(MARKUP, "bounced", MARKUP, MARKUP)),
        notes=(MARKUP,),
    )


@pytest.mark.parametrize("form", [drawing.drawn, drawing.as_file])
def test_markup_in_any_word_of_a_machine_is_text_in_a_drawing(form: Callable[[Graph], str]) -> None:
    svg = form(hostile())
    assert "<script" not in svg
    tree = ElementTree.fromstring(svg)
    assert any((text.text or "").startswith('"><script') for text in tree.iter(f"{SVG}text"))
    assert {element.tag.removeprefix(SVG) for element in tree.iter()} <= {
        *("svg", "style", "rect", "text", "line", "circle", "g", "path", "title")
    }


def test_any_word_of_a_machine_is_text_in_mermaid() -> None:
    text = mermaid.written(hostile())
    lines = text.splitlines()
    assert lines[0] == "flowchart LR"
    words = re.compile(
        r'  (\w+\(?\["[\w .,:/()#;<>-]*"\]\)?|\w+ (-->|==>|-\.->)\|"[\w .,:/()#;-]*"\| \w+|linkStyle .*|class(Def)? .*)',
        re.ASCII,
    )
    assert [line for line in lines[1:] if not words.fullmatch(line)] == []
    assert set(re.findall(r"<\w+>?", text)) == {"<br>"}


@pytest.mark.skipif(not (shutil.which("dot") or apt.can_install(Computer())), reason="Graphviz is not here")
def test_graphviz_itself_reads_any_word_of_a_machine_as_text() -> None:
    if not shutil.which("dot"):
        apt.install(["graphviz"], "graphviz", silent, Computer())
    done = subprocess.run(["dot", "-Tsvg"], input=dot.written(hostile()), capture_output=True, text=True, check=True)
    tree = ElementTree.fromstring(done.stdout)
    said = ["".join(text.itertext()).replace("\xa0", " ") for text in tree.iter(f"{SVG}text")]
    assert any(line.startswith('"><script>window.pwned=1</script>\\" end;') for line in said)
    assert not list(tree.iter(f"{SVG}script"))
    assert len([group for group in tree.iter(f"{SVG}g") if group.get("class") == "node"]) == 6
    assert done.stderr == ""


def test_the_message_moves_over_its_machines_to_where_it_stopped() -> None:
    there = graph(machine("vm2", "192.168.15.3"), machine("vm3", "192.168.15.4", state="exited"))
    message = traced("vm2", "vm2", "vm3", end=End("r", "bounced", "vm3"))
    tree = ElementTree.fromstring(drawing.drawn(replace(there, message=message), turn=3))
    assert tree.get("data-turn") == "3"
    assert [circle.get("class") for circle in tree.iter(f"{SVG}circle")][-1] == "message"
    [way] = [path.get("d") for path in tree.iter(f"{SVG}path")]
    assert way == "M 128 60 Q 246.0 0 364 60"
    boxes = {group.findtext(f"{SVG}text[@class='name']"): group.get("class") for group in tree.iter(f"{SVG}g")}
    assert boxes == {"vm2": "node up", "vm3": "node down stopped"}


def test_a_machine_of_two_networks_hangs_on_both() -> None:
    there = graph(
        machine("router", "192.168.15.1", networks=("", "lan")), machine("web", "10.0.0.2", networks=("lan",))
    )
    tree = ElementTree.fromstring(drawing.drawn(there))
    names = [text.text for text in tree.iter(f"{SVG}text") if text.get("class") == "bus-name"]
    assert names == ["192.168.15.0/24", "lan"]
    assert len([line for line in tree.iter(f"{SVG}line") if line.get("x1") == line.get("x2")]) == 3


def test_a_drawing_in_a_file_has_all_its_colours_and_runs_without_variables() -> None:
    svg = drawing.as_file(graph(machine("vm2", "192.168.15.3")))
    assert "var(" not in svg
    assert "prefers-color-scheme: dark" in svg


def test_a_refused_message_is_drawn_to_the_machine_that_refused_it_and_told_in_words() -> None:
    doors = Door(25, "postfix", ("*",), (("vm3", "open"), ("host", "no answer"))), Door(953, "named", is_local=True)
    there = graph(
        machine("vm2", "192.168.15.3", *doors), machine("vm3", "192.168.15.4", down=(("dovecot", "stopped"),))
    )
    refused = traced("vm2", end=End("r", "refused", "vm3", "vm3 does not know r"))
    shown = replace(there, message=refused)
    assert shown.way == ["vm2", "vm3"]
    handed_on = traced("vm2", "vm3", "vm2", "vm3", end=End("r", "delivered", "vm3"))
    assert replace(there, message=handed_on).way == ["vm2", "vm3"], "that it was taken is no way back"
    assert list(record.told(shown)) == [
        "vm2 (192.168.15.3) runs. Services: named on 953 (local); postfix on 25.",
        "Ports of vm2, as measured: 25 is open to vm3; closed to host (no answer).",
        "vm3 (192.168.15.4) runs. But dovecot is stopped.",
        "The message: vm2 → vm3. It was stopped on vm3: refused, because vm3 does not know r.",
    ]


def test_arrows_go_from_each_machine_to_each_other_and_name_the_ports() -> None:
    there = graph(
        machine("vm2", "192.168.15.3", relay="[vm3.asmith15.ops]", relays_to="vm3"),
        machine("vm3", "192.168.15.4"),
        mx=(Mx(10, "vm3.asmith15.ops", ("host",), "vm3"), Mx(20, "mail.example.com", ("host",))),
        reaches=(
            Reach("vm2", "vm3", 25, "open"),
            Reach("vm2", "vm3", 143, "no answer"),
            Reach("vm2", "vm3", 22, "open"),
        ),
    )
    assert mermaid.written(there).splitlines() == [
        "flowchart LR",
        '  m0["vm2<br>192.168.15.3"]',
        '  m1["vm3<br>192.168.15.4"]',
        '  domain(["asmith15.ops"])',
        '  x1(["mail.example.com<br>no machine of this lab"])',
        '  m0 -->|"22, 25"| m1',
        '  m0 -.->|"#10007; 143 no answer"| m1',
        '  domain ==>|"MX 10, says host"| m1',
        '  domain ==>|"MX 20, says host"| x1',
        '  m0 ==>|"relayhost #91;vm3.asmith15.ops#93;"| m1',
        "  linkStyle 1 stroke:#b3261e",
    ]


RULES = """\
*filter
:INPUT DROP [0:0]
:MYSSH - [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j MYSSH
-A INPUT -p udp -m udp --dport 53 -j ACCEPT
-A INPUT -s 192.168.15.0/24 -p tcp -m multiport --dports 80,443 -m comment --comment "a -j DROP" -m state --state NEW -j ACCEPT
-A INPUT ! -s 10.0.0.0/8 -i eth0 -p icmp -m limit --limit 1/sec -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A INPUT -p tcp -m tcp --dport 143 -j ACCEPT
-A MYSSH -s 192.168.15.0/24 -j ACCEPT
-A MYSSH -j DROP
COMMIT
--
table ip filter
table inet mine
"""


def test_what_a_firewall_accepts_is_said_in_words_and_what_comes_too_late() -> None:
    there = firewall.parsed(RULES)
    assert [str(one) for one in there.rulings] == [
        "22/tcp from 192.168.15.0/24",
        "53/udp",
        "80,443/tcp from 192.168.15.0/24",
        "icmp on eth0 ! -s 10.0.0.0/8 --limit 1/sec",
        "143/tcp (too late: a rule before it refuses everything)",
    ]
    assert [one.ports for one in there.rulings] == [(22,), (), (80, 443), (), (143,)]
    assert (there.rest, there.others) == ("rejects the rest", ("table inet mine",))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("", "accepts everything"),
        (":INPUT ACCEPT [0:0]", "accepts everything"),
        (":INPUT DROP [0:0]", "accepts nothing; drops the rest"),
        (":INPUT DROP [0:0]\n-A INPUT -j ACCEPT", "accepts everything"),
        (":INPUT DROP [0:0]\n-A INPUT -s 10.0.0.1/32 -j ACCEPT", "accepts everything from 10.0.0.1/32; drops the rest"),
        (
            ":INPUT DROP [0:0]\n-A INPUT -p tcp --dport 143 -j DROP\n-A INPUT -p tcp --dport 143 -j ACCEPT",
            "refuses 143/tcp; accepts 143/tcp; drops the rest",
        ),
        (
            ":INPUT DROP [0:0]\n-A INPUT -s 10.0.0.1/32 -p tcp --dport 22 -j ACCEPT\n-A INPUT -p tcp --dport 22 -j DROP",
            "accepts 22/tcp from 10.0.0.1/32; refuses 22/tcp; drops the rest",
        ),
        (":INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 143 -j DROP", "refuses 143/tcp; accepts the rest"),
        (
            ":INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1/32 -j A\n-A A -j REJECT",
            "refuses everything from 10.0.0.1/32; accepts the rest",
        ),
        (":INPUT DROP [0:0]\n-A INPUT -j A\n-A A -j B\n-A B -j A", "accepts nothing; drops the rest"),
    ],
)
def test_a_firewall_in_one_line(rules: str, words: str) -> None:
    assert str(firewall.parsed(f"*filter\n{rules}\nCOMMIT\n--\n")) == words


def test_nonsense_from_a_machine_is_no_error() -> None:
    for told in (
        "",
        "--",
        "--\n" * 9,
        "*filter\n-A\n-A INPUT\n-A INPUT -j\n-A INPUT --dport -j ACCEPT",
        '-A INPUT "',
        MARKUP,
    ):
        firewall.parsed(told)
        exchangers.parsed(told)
        relayhost.parsed(told)
        parsed(told)


def test_mx_records_are_those_of_the_answer() -> None:
    told = """\
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 36595
asmith15.ops.\t259200\tIN\tMX\t20 mail.example.com.
asmith15.ops.\t259200\tIN\tMX\t10 vm3.asmith15.ops.
vm3.asmith15.ops.\t259200\tIN\tA\t192.168.15.4
"""
    answer = exchangers.parsed(told)
    assert answer
    assert answer.exchangers == (
        exchangers.Exchanger(10, "vm3.asmith15.ops", "192.168.15.4"),
        exchangers.Exchanger(20, "mail.example.com"),
    )
    assert exchangers.parsed(";; status: NXDOMAIN,") == exchangers.Answer("NXDOMAIN")
    assert exchangers.parsed("\n") is None


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("[vm3.asmith15.ops]", ("vm3.asmith15.ops", True)),
        ("[192.168.15.4]:587", ("192.168.15.4", True)),
        ("Asmith15.ops.", ("asmith15.ops", False)),
        ("vm3.asmith15.ops:submission", ("vm3.asmith15.ops", False)),
    ],
)
def test_a_relayhost_is_a_place(value: str, place: tuple[str, bool]) -> None:
    assert relayhost.place(value) == place


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
    there = parsed(told)
    assert [(s.name, {x.port for x in s.sockets if not x.is_local}, s.down) for s in there] == [
        ("a program", {80}, ""),
        ("dovecot", {143, 993}, ""),
        ("named", set(), ""),
        ("postfix", {25}, ""),
        ("python3", {8080}, ""),
        ("ssh", {22}, ""),
        ("rsyslog", set(), "stopped"),
    ]


def test_a_machine_that_says_nonsense_has_no_services() -> None:
    for told in ("", "--", "--\n--\n--\n--\n", "LISTEN", "ActiveState=failed\n--\n" * 9, "x=" * 1000):
        parsed(told)
