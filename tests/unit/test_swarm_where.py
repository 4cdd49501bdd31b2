"""All nodes of a swarm as one engine: what they tell of students, and who is on the way from one to another."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labenv.engine import Engine, swarm
from labenv.engine.swarm import Node
from labenv.environment import Environment, Machine
from labenv.errors import EngineError
from labenv.events import Event, silent
from labenv.student import Student
from labenv.swarm import leases, setup, where, words
from labenv.swarm.leases import Leases
from labenv.swarm.where import AwayError, Fleet, Nodes

NODES = [
    Node(f"id{number}", f"n{number}", f"10.0.0.{number}", "ready", "active", number == 1, "", 2, 0)
    for number in (1, 2, 3)
]
VM3 = Machine("vm3", "vm3.anna.ops", "192.168.5.4", "running", "labenv-anna-vm3")


class OneNode(Engine):
    """The engine of a node: students with a machine each. It does not answer while it is `dead`."""

    def __init__(self, *students: str) -> None:
        self.there: dict[str, tuple[Machine, ...]] = dict.fromkeys(students, (VM3,))
        self.dead = False
        self._connection: Any = SimpleNamespace(endpoint=object())

    def environments(self, student_id: str | None = None) -> list[Environment]:
        if self.dead:
            raise EngineError("The engine stopped answering.")
        return [
            Environment(Student(who, 5, who, "secret"), "lab4b", "done", machines, "lab4b.yaml")
            for who, machines in self.there.items()
            if student_id in (None, who)
        ]


class ThreeNodes(Fleet):
    """Three nodes, without any engine."""

    def __init__(self, engines: Mapping[str, OneNode]) -> None:
        self.engines = engines
        self.nodes = Nodes(engines["id1"])
        self.nodes.__dict__["here"] = "id1"
        self.nodes._engines = dict(engines)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """What Swarm says of the nodes."""
    told = list(NODES)
    monkeypatch.setattr(swarm, "nodes", lambda _: list(told))
    monkeypatch.setattr(swarm, "tasks", lambda *_, **__: ["a task"])
    monkeypatch.setattr(where, "_FRESH", -1.0)
    return told


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leases:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "labenv" / "swarm").mkdir(parents=True)
    (setup.folder() / words.CERTIFICATE).touch()
    made = Leases()
    for student, node in (("anna", "2"), ("ben", "3")):
        made.begin(student, "ops", f"id{node}", f"n{node}")
        made.came_up(student, 1, {})
    return made


@pytest.fixture
def fleet(there: list[Node], held: Leases) -> ThreeNodes:
    return ThreeNodes({"id1": OneNode(), "id2": OneNode("anna"), "id3": OneNode("ben")})


def lost(there: list[Node], number: int) -> None:
    there[number - 1] = replace(there[number - 1], state="down")


def test_of_two_nodes_that_tell_of_a_student_the_one_counts_that_has_the_environment(fleet: ThreeNodes) -> None:
    fleet.engines["id3"].there["anna"] = ()
    assert [(name, each.student.id, len(each.machines)) for name, each in fleet.located()] == [
        ("n2", "anna", 1),
        ("n3", "ben", 1),
    ]
    assert [each.student.id for each in fleet.environments("anna")] == ["anna"]
    told = fleet.gathered(lambda one: {each.student.id: one for each in one.environments()})
    assert told == {"anna": fleet.engines["id2"], "ben": fleet.engines["id3"]}


def test_a_node_that_does_not_answer_hides_nobody_elses_environments(fleet: ThreeNodes, there: list[Node]) -> None:
    fleet.engines["id2"].dead = True
    assert [each.student.id for each in fleet.environments()] == ["ben"]
    lost(there, 2)
    assert [name for name, _ in fleet.named()] == ["n1", "n3"]
    fleet.engines["id1"].dead = True
    with pytest.raises(EngineError, match="stopped answering"):
        fleet.environments()


def test_what_is_for_one_student_goes_to_the_node_that_has_the_environment(fleet: ThreeNodes) -> None:
    assert fleet.holding("anna") is fleet.engines["id2"]
    assert fleet.holding("nobody") is fleet.engines["id1"]
    assert fleet.away("anna") is fleet.away("nobody") is None


def test_who_is_on_the_way_is_said_with_the_time_of_the_last_copy(
    fleet: ThreeNodes, there: list[Node], held: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "is on its way from n2 to another server" in str(fleet.away("anna", is_there=False))
    assert "n2 does not answer" in str(fleet.away("anna", is_there=None))
    stamp = "20261129T120000000000-00000000"
    held.pushed("anna", 1, stamp)
    kept = leases.clock((leases.read("anna") or pytest.fail("there is no lease")).pushed)
    lost(there, 2)
    with pytest.raises(AwayError, match=f"The server n2 does not answer.* as it was at {kept}"):
        fleet.holding("anna")
    held.end("anna", 1)
    with pytest.raises(AwayError, match=f"on its way to a server that has room. It goes on as it was at {kept}"):
        fleet.holding("anna")
    monkeypatch.setattr(swarm, "tasks", lambda *_, **__: [])
    assert "nothing brings it up" in str(fleet.away("anna"))
    held.begin("anna", "ops", "id3", "n3")
    assert str(fleet.away("anna")) == "anna's environment comes up on n3 just now."
    held.failed("anna", 2, "n3: the disk is full.")
    assert str(fleet.away("anna")) == "anna's environment comes up on n3: n3: the disk is full. It is tried again."
    held.forget("anna")
    assert fleet.away("anna") is None


def test_a_machine_that_goes_is_told_from_one_whose_environment_goes(
    fleet: ThreeNodes, held: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, "_GOING", 0.0)
    assert where.moving(fleet, "anna", VM3) is None
    fleet.engines["id2"].there["anna"] = ()
    assert where.moving(fleet, "anna", VM3) is None, "one machine was removed, and the environment is there"
    del fleet.engines["id2"].there["anna"]
    assert "on its way from n2" in str(where.moving(fleet, "anna", VM3))
    assert where.moving(fleet, "nobody", VM3) is None
    held.begin("anna", "ops", "id3", "n3")
    held.came_up("anna", 2, {})
    fleet.engines["id3"].there["anna"] = (replace(VM3, made=9),)
    assert str(where.moving(fleet, "anna", VM3)) == "anna's environment is on n3 by now."


def test_whoever_watches_goes_on_where_the_environment_is_by_then(
    fleet: ThreeNodes, held: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, "_GOING", 0.0)
    was: Any = fleet.engines["id2"]
    assert where.followed(fleet, "anna", was, silent) is None, "it went nowhere"
    held.begin("anna", "ops", "id3", "n3")
    said: list[Event] = []

    def listen(event: Event) -> None:
        said.append(event)
        fleet.engines["id3"].there["anna"] = (VM3,)
        held.came_up("anna", 2, {})

    monkeypatch.setattr(where, "_AGAIN", 0.0)
    found: Any = where.followed(fleet, "anna", was, listen)
    assert found is fleet.engines["id3"]
    assert [event.message for event in said] == [
        "anna's environment comes up on n3 just now.",
        "anna's environment goes on.",
    ]
    assert where.followed(fleet, "anna", was, silent) is found, "it went while nobody looked"
    held.end("anna", 2)
    held.forget("anna")
    assert where.followed(fleet, "anna", found, silent) is None


def test_one_engine_stands_for_itself_and_nobody_is_on_the_way() -> None:
    alone = Engine.__new__(Engine)
    assert alone.gathered(lambda one: {"anna": one}) == {"anna": alone}
    assert (alone.holding("anna"), alone.away("anna", is_there=None)) == (alone, None)
