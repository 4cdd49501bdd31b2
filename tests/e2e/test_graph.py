"""The environment as a graph, on real machines: what is shown is what the machines do, whatever their files say."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from labenv.engine import Engine
from labenv.environment import Environment, container_name
from labenv.graph import dot, drawing, mermaid
from labenv.graph.look import look
from tests.e2e.conftest import Cli
from tests.e2e.test_command_line import in_a_terminal

ROUTER = Path(__file__).parents[1] / "labs" / "router"
RESTORED = "iptables-restore /etc/sysconfig/iptables"


@dataclass(frozen=True)
class Lab:
    """A student's machines at the end of the default lab, and their graph."""

    cli: Cli
    engine: Engine
    student: str

    def on(self, machine: str, script: str) -> str:
        with self.engine.shell(self.there.machine(machine)) as shell:
            return shell.run(script, timeout=60).text

    @property
    def there(self) -> Environment:
        return self.engine.environments(self.student)[0]

    def graph(self, *, probe: bool = True, latest: bool = False) -> Any:
        return look(self.engine, self.there, probe=probe, latest=latest).to_dict()

    def reach(self) -> dict[tuple[str, str, int], str]:
        return {(one["from"], one["to"], one["port"]): one["result"] for one in self.graph()["reach"]}


@pytest.fixture(scope="module")
def lab(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[Lab]:
    student = new_student()
    cli("up", student, "--no-check")
    yield Lab(cli, engine, student)
    cli("down", "-s", student, rc=None)


def machine(graph: Any, name: str) -> Any:
    return next(each for each in graph["machines"] if each["name"] == name)


def test_all_is_shown_as_it_is_and_no_server_notices(lab: Lab) -> None:
    before = lab.on("vm3", "wc -c </var/log/maillog; journalctl -u ssh | wc -l")
    there = lab.cli.json("graph", "-s", lab.student)
    assert lab.on("vm3", "wc -c </var/log/maillog; journalctl -u ssh | wc -l") == before
    open_to = {(one["from"], one["to"], one["port"]) for one in there["reach"] if one["result"] == "open"}
    assert open_to >= {("vm2", "host", 53), ("host", "vm2", 25), ("vm2", "vm3", 25), ("host", "vm3", 143)}
    assert ("vm2", "vm3", 993) not in open_to, "Dovecot listens there, and the firewall does not let it in"
    domain = f"{lab.student}.ops"
    assert there["mx"] == [{"preference": 10, "name": f"vm3.{domain}", "servers": ["host"], "machine": "vm3"}]
    assert machine(there, "vm2")["relayhost"]["machine"] == "vm3"
    listening = {(one["program"], one["port"], one["local"]) for one in machine(there, "host")["listening"]}
    assert listening == {("ssh", 22, False), ("named", 53, False), ("named", 953, True)}
    assert "25/tcp" in [one["words"] for one in machine(there, "vm3")["firewall"]["rulings"]]
    assert there["message"] is None
    assert there["notes"] == []
    assert lab.graph(probe=False)["reach"] == []


@pytest.mark.parametrize(
    ("target", "result"),
    [("DROP", "no answer"), ("REJECT", "rejected"), ("REJECT --reject-with tcp-reset", "refused")],
)
def test_a_port_that_a_rule_closes_is_closed_as_measured(lab: Lab, target: str, result: str) -> None:
    lab.on("vm3", f"iptables -I INPUT -p tcp --dport 143 -j {target}")
    try:
        there = lab.reach()
        assert (there["vm2", "vm3", 143], there["vm2", "vm3", 25]) == (result, "open")
    finally:
        lab.on("vm3", RESTORED)


def test_a_machine_that_drops_everything_reaches_nobody_and_nobody_reaches_it(lab: Lab) -> None:
    lab.on("vm2", "iptables -F; iptables -P INPUT DROP")
    try:
        there = lab.reach()
        assert {result for (*ends, _), result in there.items() if "vm2" in ends} == {"no answer"}
        assert there["host", "vm3", 25] == "open"
        shown = lab.cli("graph", "-s", lab.student).stdout
        assert "firewall accepts nothing; drops the rest" in shown
        assert re.search(r"25 +postfix +closed to host, vm3 \(no answer\)", shown)
    finally:
        lab.on("vm2", RESTORED)


def test_without_a_name_server_there_is_no_mx(lab: Lab) -> None:
    lab.on("host", "systemctl stop named")
    try:
        there = lab.graph()
        assert there["mx"] == []
        assert there["notes"] == [f"No name server runs, so nobody knows where mail for {lab.student}.ops goes."]
        assert machine(there, "host")["down"] == [{"service": "named", "state": "stopped"}]
        assert {one["result"] for one in there["reach"] if (one["to"], one["port"]) == ("host", 53)} == {"refused"}
    finally:
        lab.on("host", "systemctl start named")


def test_a_relayhost_is_what_postconf_says_and_only_text_in_every_form(lab: Lab, tmp_path: Path) -> None:
    was = lab.on("vm2", "postconf -h relayhost").strip()
    address = machine(lab.graph(probe=False), "host")["addresses"][0]
    try:
        lab.on("vm2", f"postconf -e 'relayhost = [{address}]'")
        assert machine(lab.graph(probe=False), "vm2")["relayhost"] == {"value": f"[{address}]", "machine": "host"}
        lab.on("vm2", """postconf -e 'relayhost = "]><script>alert(1)</script>'""")
        there = look(lab.engine, lab.there, probe=False, latest=False)
        svg, graphviz = drawing.as_file(there), dot.written(there)
        assert "<script" not in svg
        ElementTree.fromstring(svg)
        assert "#34;#93;#62;#60;script#62;alert(1)#60;/script#62;" in mermaid.written(there)
        assert '"relayhost \\"]><script>alert(1)</script>"' in graphviz
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg"], input=graphviz, check=True, text=True, capture_output=True)
        assert (
            lab.cli("graph", "-s", lab.student, "--no-probe", "--write", str(tmp_path / "x.svg")).stderr
            == f"Wrote {tmp_path}/x.svg\n"
        )
        assert (tmp_path / "x.svg").read_text().startswith("<svg xmlns=")
    finally:
        lab.on("vm2", f"postconf -e 'relayhost = {was}'")


def test_the_last_message_is_shown_on_its_way(lab: Lab) -> None:
    lab.on("vm2", f"echo hello | mail -s graph {lab.student}@{lab.student}.ops")
    lab.on("vm3", "timeout 20 sh -c 'until grep -q \"saved mail to\" /var/log/maillog; do sleep 0.1; done'")
    there = lab.graph(probe=False, latest=True)
    assert there["message"]["way"] == ["vm2", "vm3"]
    assert there["message"]["verdict"].startswith("delivered to /home/")
    shown = lab.cli("graph", "-s", lab.student, "--no-probe", "--format", "mermaid").stdout
    assert 'm1 ==>|"message 2"| m2' in shown


def test_a_terminal_has_a_tree_and_a_screen_reader_words(lab: Lab) -> None:
    shown, status = in_a_terminal("graph", "-s", lab.student, columns=80)
    plain, _ = in_a_terminal("graph", "-s", lab.student, "--plain", columns=80)
    assert status == 0
    assert "├── " in shown
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in shown.splitlines()) <= 80
    assert plain.isascii()
    assert "\x1b" not in plain
    assert re.search(r"143 +dovecot +open to host, vm2", plain)


def test_what_cannot_be_shown_is_said(lab: Lab) -> None:
    wrong = {
        ("--write", "x.jpg"): "x.jpg does not say which form it is to have.",
        ("--json", "--format", "dot"): "--json cannot be combined with --format and --write",
        ("--write", "/nowhere/x.svg"): "/nowhere/x.svg cannot be written",
    }
    for options, words in wrong.items():
        assert words in lab.cli("graph", "-s", lab.student, *options, rc=2).stderr


def test_a_stopped_machine_is_shown_and_the_others_are_measured(lab: Lab, engine: Engine) -> None:
    engine.api.kill(container_name(lab.student, "vm2"))
    there = lab.graph()
    assert machine(there, "vm2")["state"] == "exited"
    assert machine(there, "vm2")["listening"] == []
    assert {(one["from"], one["to"]) for one in there["reach"]} == {("host", "vm3"), ("vm3", "host")}
    assert re.search(r"vm2  [0-9.]+  ✗ exited", lab.cli("graph", "-s", lab.student, "--no-probe").stdout)


def test_a_lab_of_somebody_elses_has_a_graph_too(cli: Cli, new_student: Callable[[], str]) -> None:
    student = new_student()
    cli("lab", "trust", str(ROUTER))
    cli("up", student, "--lab", str(ROUTER), "--no-check")
    there = cli.json("graph", "-s", student)
    assert there["message"] is None
    assert there["mx"] == []
    assert there["notes"] == []
    assert {one["result"] for one in there["reach"]} & {"open"}
    cli("down", "-s", student)
