"""The warden of a node, look by look: each environment gets its copies, whatever is wrong with another one.

The keeper is a real one; copies of real machines are in tests/e2e.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labenv.engine import Engine
from labenv.environment import ALONE, Belonging
from labenv.errors import EngineError
from labenv.swarm import copies, keeper, warden
from labenv.swarm.client import Keeper
from labenv.swarm.warden import Warden


class Clock:
    """The time, as a test has it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Node:
    """An engine that has environments, and what was pushed of them."""

    def __init__(self) -> None:
        self.there: dict[str, str] = {}
        self.off: set[str] = set()
        self.pushed: list[str] = []
        self.aside: list[str] = []
        self.harm: dict[str, Callable[[], Exception]] = {}

    def environments(self) -> list[Any]:
        return [
            SimpleNamespace(
                student=SimpleNamespace(id=who),
                belongs=Belonging(of) if of else ALONE,
                replays=False,
                machines=[SimpleNamespace(state="exited" if who in self.off else "running")],
            )
            for who, of in self.there.items()
        ]

    def apart(self) -> "Node":
        return self


@pytest.fixture(autouse=True)
def state(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    there = Clock()
    monkeypatch.setattr(warden, "time", there)
    return there


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    there = Node()

    def push(_engine: object, student: str, _keeper: object, generation: int) -> bool:
        if student in there.harm:
            raise there.harm[student]()
        there.pushed.append(f"{student} {generation}")
        return True

    def keep_aside(
        _engine: object, student: str, _keeper: object, _name: str, is_stale: Callable[[], bool], _listen: object
    ) -> str | None:
        if student in there.harm:
            raise there.harm[student]()
        if not is_stale():
            return None
        there.aside.append(student)
        return "aside-n1"

    monkeypatch.setattr(copies, "push", push)
    monkeypatch.setattr(copies, "keep_aside", keep_aside)
    return there


class Direct:
    """A keeper that is asked without a network."""

    def __init__(self) -> None:
        self.keeper = keeper.Keeper()
        self.away = False
        self.meanwhile: Callable[[], object] = lambda: None

    def say(self, what: str, **told: Any) -> dict[str, Any]:
        if self.away:
            raise EngineError("The keeper does not answer.")
        answer: dict[str, Any] = getattr(self.keeper, what)(told)
        self.meanwhile()
        return answer


@pytest.fixture
def asked() -> Direct:
    return Direct()


@pytest.fixture
def there(node: Node, asked: Direct, clock: Clock) -> Warden:
    return Warden(cast(Engine, node), cast(Keeper, asked), "id1", "n1", 300.0)


def begin(asked: Direct, student: str, node: str = "id1", of: str = "ops") -> None:
    asked.say("begin", student=student, node=node, name=node.replace("id", "n"), **{"class": of})


def test_an_environment_is_pushed_as_often_as_it_is_wanted(
    there: Warden, node: Node, asked: Direct, clock: Clock
) -> None:
    begin(asked, "anna")
    node.there = {"anna": "ops", "own": ""}
    for seconds, pushed in ((0, 0), (299, 0), (1, 1), (10, 1), (289, 1), (1, 2)):
        clock.now += seconds
        there.look()
        assert len(node.pushed) == pushed
    assert node.pushed == ["anna 1", "anna 1"]


def test_one_that_rests_is_pushed_once(there: Warden, node: Node, asked: Direct, clock: Clock) -> None:
    begin(asked, "anna")
    node.there, node.off = {"anna": "ops"}, {"anna"}
    for _ in range(4):
        there.look()
        clock.now += 300
    assert len(node.pushed) == 1
    node.off = set()
    there.look()
    assert len(node.pushed) == 2


@pytest.mark.parametrize("fault", [EngineError, AssertionError])
def test_one_that_cannot_be_copied_leaves_the_others_theirs(
    there: Warden, node: Node, asked: Direct, clock: Clock, fault: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    for who in ("anna", "bob", "zoe"):
        begin(asked, who)
        node.there[who] = "ops"
    node.harm["anna"] = lambda: fault("what is wrong with it")
    there.look()
    clock.now += 300
    for _ in range(3):
        there.look()
        clock.now += 60
    assert node.pushed == ["bob 1", "zoe 1"]
    said = capsys.readouterr().err
    assert said.count("what is wrong with it") == 1, "it is said once"
    del node.harm["anna"]
    there.look()
    assert node.pushed[2:] == ["anna 1"], "it is tried again before its turn"


def test_what_another_node_has_is_kept_aside(
    there: Warden, node: Node, asked: Direct, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(asked, "anna")
    node.there = {"anna": "ops", "bob": "sec"}
    there.look()
    begin(asked, "anna", "id2")
    begin(asked, "bob", "id2")
    there.look()
    assert node.aside == ["anna"], "the other one is no environment of the swarm's"
    assert "anna: another node has the environment; what was here is the save aside-n1" in capsys.readouterr().out


def test_one_that_is_not_kept_aside_does_not_keep_the_others(there: Warden, node: Node, asked: Direct) -> None:
    for who in ("anna", "bob"):
        begin(asked, who, "id2")
        node.there[who] = "ops"
    node.harm["anna"] = lambda: EngineError("the disk is full")
    there.look()
    assert node.aside == ["bob"]


def test_what_came_back_to_the_node_meanwhile_is_left_alone(there: Warden, node: Node, asked: Direct) -> None:
    begin(asked, "anna", "id2")
    node.there = {"anna": "ops"}

    def back() -> None:
        asked.meanwhile = lambda: None
        begin(asked, "anna")

    asked.meanwhile = back
    there.look()
    assert node.aside == []


def test_a_keeper_that_is_away_is_said_once_and_delays_no_push(
    there: Warden, node: Node, asked: Direct, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(asked, "anna")
    node.there = {"anna": "ops"}
    there.look()
    asked.away = True
    for _ in range(3):
        clock.now += 200
        there.look()
    assert capsys.readouterr().err == "The keeper does not answer.\n"
    asked.away = False
    there.look()
    assert node.pushed == ["anna 1"]
    asked.away = True
    there.look()
    assert capsys.readouterr().err == "The keeper does not answer.\n", "it is away again"
