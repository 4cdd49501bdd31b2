"""The benchmark says what it needs before it makes anything."""

import importlib.util
import shutil
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from labenv.bench import pages, swarm, timing
from labenv.cli.app import app
from labenv.engine import Engine
from labenv.engine import swarm as engines
from labenv.engine.labels import SWARM
from labenv.errors import UsageError
from labenv.swarm import leases, words
from labenv.swarm.leases import Lease
from labenv.swarm.where import Fleet


@pytest.mark.parametrize("module", ["playwright", "nicegui", "asyncssh"])
def test_what_is_missing_to_measure_pages_is_said_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else there(name))
    with pytest.raises(UsageError, match=f"needs {module}. Install it: pip install "):
        pages.check_there()


def test_a_browser_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="apt-get install chromium-headless-shell"):
        pages.check_there()


@pytest.mark.parametrize(("manages", "ours"), [(False, True), (True, False)])
def test_a_swarm_is_measured_by_whoever_manages_it(monkeypatch: pytest.MonkeyPatch, manages: bool, ours: bool) -> None:
    monkeypatch.setattr(engines, "is_manager", lambda _: manages)
    monkeypatch.setattr(leases, "is_kept", lambda: ours)
    with pytest.raises(UsageError, match="on the server that manages it"):
        swarm.check_there(cast(Engine, None))


def test_only_one_thing_is_measured_at_a_time() -> None:
    done = CliRunner().invoke(app, ["bench", "--class", "3", "--swarm", "3"])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "Only one of --class, --pages and --swarm can be given."


@dataclass
class Node:
    """A node of a swarm, for the choice of one."""

    id: str
    takes: bool = True


def held(monkeypatch: pytest.MonkeyPatch, *there: Lease) -> None:
    monkeypatch.setattr(
        leases,
        "everything",
        lambda class_id=None: {each.student: each for each in there if class_id in (None, each.class_id)},
    )


def fleet(*nodes: Node, manager: Any = None) -> Fleet:
    known = {node.id: node for node in nodes}
    return cast(Fleet, SimpleNamespace(nodes=SimpleNamespace(all=nodes, here="1", named=known.get, manager=manager)))


def test_the_bench_drains_no_node_with_somebody_elses_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = [Lease(f"bench-{number}", "bench", node=node) for number, node in enumerate("1112233334")]
    held(monkeypatch, *mine, Lease("anna", "ops", node="3"))
    nodes = [Node("1"), Node("2"), Node("3"), Node("4"), Node("5")]
    chosen = swarm._to_drain(fleet(*nodes), "bench")
    assert chosen
    assert chosen.id == "2"
    assert swarm._to_drain(fleet(Node("1"), Node("2", takes=False), Node("3")), "bench") is None


def test_what_takes_the_time_is_told_by_one_clock_each(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = "2026-11-30T12:00:{}+00:00".format
    seconds = {words.TURN: 1.0, words.START: 0.5, words.ASKED: 0.1}
    held(
        monkeypatch,
        Lease("a", "bench", node="1", begun=moment("03.000"), up=moment("05.100"), parts=seconds | {words.UP: 2.0}),
        Lease("b", "bench", node="2", begun=moment("04.500"), up=moment("08.600"), parts=seconds | {words.UP: 4.0}),
        Lease("c", "bench", node="2"),  # not up yet
    )

    def told(engine: object, *labels: str) -> list[dict[str, Any]]:
        assert labels == (f"{words.OF_CLASS}=bench",)
        made = {"a": "2026-11-30T12:00:01.123456789Z", "b": "2026-11-30T12:00:02.000000000Z"}
        return [
            {"Spec": {"Labels": {SWARM: "supervisor", words.SUPERVISED: who}}, "CreatedAt": at}
            for who, at in made.items()
        ]

    monkeypatch.setattr(engines, "services", told)
    found = swarm._parts(fleet(), "bench", swarm._seconds(moment("10.000")))
    assert {part: round(value, 3) for part, value in found.items()} == {
        "scheduling": 0.688,  # the middle of 0.377 and 1
        words.TURN: 1.0,
        words.START: 0.5,
        words.ASKED: 0.1,
        words.UP: 3.0,
        "verified": 1.4,
    }


def test_the_memory_of_a_process_that_is_gone_is_none() -> None:
    assert timing.pss(1 << 30) == 0
