"""A lost node in words: to the student at the gate and on the page until it is read, to the teacher in each row."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labenv.classroom.folder import load
from labenv.classroom.folder.model import Class
from labenv.classroom.running import row_words
from labenv.classroom.running.board import Row
from labenv.classroom.serving import losses
from labenv.cli.class_ import grid
from labenv.errors import EngineError
from labenv.gate import menu, moves
from labenv.gate.state import Gate
from labenv.gate.visit import Visit
from labenv.lab import labs
from labenv.swarm import leases, setup, words
from labenv.swarm.leases import Lease, Move
from labenv.swarm.where import AwayError

NOW = datetime.now(UTC)


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat(timespec="milliseconds")


LOST = Move("n2", "n3", ago(minutes=2), ago(minutes=9), lost=True, seen=ago(minutes=3))
ANNA = Lease("anna", "ops", 3, "id3", "n3", ago(minutes=2), ago(minutes=1), {}, "", ago(minutes=9), "", (LOST,))


@pytest.fixture
def of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Class:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    setup.folder().mkdir(parents=True)
    (setup.folder() / words.CERTIFICATE).touch()
    (tmp_path / "class.yaml").write_text("name: OPS\nid: ops\nlabs: [lab: lab4b]\n")
    (tmp_path / "roster.csv").write_text("id,name\nanna,Anna\n")
    return load.load(tmp_path)


def test_a_student_is_told_of_a_loss_until_they_have_read_it(of: Class) -> None:
    assert losses.unread(of, "anna") == ""
    leases._write(ANNA)
    assert "up to 6 minutes of your work may be missing" in losses.unread(of, "anna")
    losses.read(of, "anna")
    assert losses.unread(of, "anna") == ""
    leases._write(replace(ANNA, moves=(LOST, replace(LOST, at=ago(minutes=1)))))
    assert losses.unread(of, "anna"), "the next one is news again"
    old = replace(LOST, at=ago(hours=13))
    leases._write(replace(ANNA, moves=(old,)))
    assert losses.unread(of, "anna") == ""
    leases._write(replace(ANNA, class_id="other"))
    assert losses.unread(of, "anna") == ""


def test_a_teacher_sees_where_each_is_and_what_was_lost() -> None:
    row = Row("anna", "Anna", "runs", lease=ANNA)
    told = row.to_dict()
    assert (told["node"], told["pushed"]) == ("n3", ANNA.pushed)
    assert told["lost"] == {"node": "n2", "at": LOST.at, "minutes": 6, "save": ""}
    at = leases.clock(LOST.seen)
    assert row_words.losses([row, Row("ben", "", "runs")]) == [f"anna lost up to 6 minutes with n2 at {at}."]
    aside = replace(row, lease=replace(ANNA, moves=(replace(LOST, pushed="", aside="aside-n2"),)))
    assert row_words.lost(aside) == [f"lost everything with n2 at {at}; what was there is the save aside-n2"]
    calm = replace(row, lease=replace(ANNA, moves=(), name="n1"))
    assert (row_words.lost(calm), calm.to_dict()["lost"]) == ([], None)
    assert row_words.changes(calm, row) == ["went from n1 to n3"]


def test_only_a_class_on_a_swarm_has_a_column_for_the_node() -> None:
    lab = labs.load("lab4b")
    alone, there = Row("anna", "", "runs"), Row("anna", "", "runs", lease=ANNA)
    assert set(there.to_dict()) - set(alone.to_dict()) == {"node", "pushed", "lost"}
    for row, has in ((alone, False), (there, True)):
        head, line = (block[0].plain for block in grid.lines([row], lab, None))
        assert (head.endswith("node"), line.rstrip().endswith("n3")) == (has, has)
        assert ("on n3" in grid.lines([row], lab, 40)[1][-1].plain) == has


def test_the_menu_says_why_the_machines_are_away(of: Class) -> None:
    assert menu.top(of, None, None, "They are on their way.")[1] == "They are on their way."
    assert "To make them: start" in menu.top(of, None, None)[1]


def test_who_went_to_another_server_is_told_as_of_when_it_goes_on() -> None:
    before = replace(ANNA, generation=2, name="n2", moves=())
    moved = replace(ANNA, moves=(replace(LOST, lost=False),))
    kept = leases.clock(ANNA.pushed)
    assert moves.said(before, moved) == f"Your machines went from n2 to n3, as they were at {kept}. Nothing was lost."
    assert moves.said(before, ANNA) == " ".join(leases.told(ANNA))
    assert moves.said(ANNA, ANNA) == ""
    assert moves.said(replace(ANNA, generation=2), ANNA) == "", "it was only started again there"
    assert moves.said(replace(before, name=""), moved) == "", "it was made just now"


class Seen(Visit):
    """Somebody who is at the gate."""

    def __init__(self, student: str) -> None:
        self.student = student
        self.heard: list[tuple[str, bool]] = []

    async def tell(self, text: str, *, in_shells: bool = False) -> None:
        self.heard.append((text, in_shells))


def test_who_is_in_a_shell_of_a_lost_server_hears_it_there_once() -> None:
    anna, ben = Seen("anna"), Seen("ben")

    def away(student: str) -> EngineError | None:
        return AwayError("n2 does not answer.") if student == "anna" else None

    gate: Any = SimpleNamespace(visits={anna, ben}, shared=SimpleNamespace(away=away))
    told = asyncio.run(moves._tell_of_silence(gate, set()))
    assert asyncio.run(moves._tell_of_silence(gate, told)) == {"anna"}
    assert (anna.heard, ben.heard) == ([("n2 does not answer.", True)], [])


def test_whoever_asks_for_machines_that_are_away_hears_why(of: Class) -> None:
    asked: list[bool | None] = []

    class Shared:
        def holding(self, _: str) -> Any:
            return SimpleNamespace(apart=lambda: SimpleNamespace(environments=self.environments))

        def environments(self, _: str) -> list[Any]:
            if asked:
                raise EngineError("The engine stopped answering.")
            return []

        def away(self, _: str, *, is_there: bool | None) -> EngineError:
            asked.append(is_there)
            return AwayError("They are on their way.")

    gate = Gate(Shared(), of, lambda _: None)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(AwayError, match="on their way"):
            gate.find("anna")
    assert asked == [False, None]
