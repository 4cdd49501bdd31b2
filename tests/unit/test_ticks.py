"""Steps that a person ticks: what is read from anywhere, and what a tick changes in results, progress and the next step."""

import base64
import json
import zlib

import pytest

from labenv.checks.results import Report, with_persons, with_ticks
from labenv.cli import tick as command
from labenv.environments import ticks
from labenv.environments.ticks import Tick
from labenv.errors import UsageError
from labenv.lab import labs
from labenv.sheet import guide, progress
from tests.unit.test_guide import found

LAB = labs.load("lab4b")
MADE = "2026-11-29T16:00:00+00:00"
SEEN = Tick("32", MADE, "Anybody could read it.")


def test_ticks_survive_a_label() -> None:
    assert ticks.unpacked(ticks.packed([SEEN, Tick("50", MADE, "")])) == {"32": SEEN, "50": Tick("50", MADE, "")}
    assert ticks.packed([]) == ""
    assert ticks.unpacked("") == {}


@pytest.mark.parametrize(
    "label",
    ["not base64!", base64.b64encode(b"nor zlib").decode()]
    + [
        base64.b64encode(zlib.compress(text)).decode()
        for text in (
            b"not json",
            b"[" * 90_000,
            b'{"step": "1"}',
            b'[1, null, {"step": "1"}]',
            b" " * 5_000_000 + b"[]",
        )
    ],
)
def test_a_label_that_says_anything_else_has_no_ticks(label: str) -> None:
    assert ticks.unpacked(label) == {}


def test_what_an_archive_says_is_bounded_and_made_visible() -> None:
    given = [{"step": "32", "time": MADE, "words": "\x1b[2J" + "x" * 1000}, {"step": "../x", "time": MADE, "words": ""}]
    [tick] = ticks.checked(json.loads(json.dumps(given))).values()
    assert len(tick.words) == ticks.LONGEST
    assert tick.words.startswith("\\x1b[2J")
    assert len(ticks.checked([{"step": f"{n}", "time": MADE, "words": ""} for n in range(1000)])) == 100
    assert ticks.checked([{"step": "1", "time": "soon", "words": ""}]) == {}


def report(*ticked: Tick) -> Report:
    results = with_persons([found("9", "pass"), found("7", "skip", "nothing there")], LAB, ["9", "32"])
    return Report("asmith15", "lab4b", with_ticks(results, LAB, {tick.step: tick for tick in ticked}))


def test_a_ticked_step_is_no_longer_left_and_keeps_its_status() -> None:
    before, after = report(), report(SEEN, Tick("7", MADE, ""))
    assert [r.status for r in before.results] == [r.status for r in after.results]
    assert guide.next_step(before, LAB).left == ("7", "32")
    assert guide.next_step(report(SEEN), LAB).left == ("7",)
    assert guide.next_step(after, LAB).left == ()
    assert guide.next_step(after, LAB).sentence == "All checks pass. What only you can judge is ticked."
    rows = {row.step.id: row for heading in progress.headings(after, LAB) for row in heading.rows}
    assert {step: row.mark for step, row in rows.items()} == {"7": "ticked", "9": "pass", "32": "ticked"}
    assert rows["32"].seen == ('"Anybody could read it."',)
    assert progress.counted(progress.headings(after, LAB)) == "1 step passes, 2 are ticked"
    told = {result["step"]: result for result in after.to_dict()["results"]}
    assert told["32"]["ticked"] == {"time": MADE, "words": "Anybody could read it."}
    assert "ticked" not in told["9"]


def test_a_tick_takes_the_place_of_an_earlier_one_and_goes_without_a_trace() -> None:
    ticked = report(SEEN, Tick("7", MADE, "done"))
    again = with_ticks(ticked.results, LAB, {"7": Tick("7", MADE, "better")})
    assert again == report(Tick("7", MADE, "better")).results
    assert with_ticks(ticked.results, LAB, {}) == report().results


def test_a_tick_changes_nothing_that_a_check_judges() -> None:
    judged = (found("9", "fail"), found("7", "pass"), found("17", "skip", "waits for step 9: x"))
    given = {step: Tick(step, MADE, "trust me") for step in ("9", "7", "17")}
    assert with_ticks(judged, LAB, given) == judged


def test_several_steps_at_once_are_not_taken_for_words() -> None:
    with pytest.raises(UsageError, match="one step at a time: labenv tick 7; labenv tick 14"):
        command._refuse_several("7", ["14", "17"], {"7", "14", "17"})
    command._refuse_several("7", ["14", "packets"], {"7", "14", "17"})
    command._refuse_several("7", [], {"7", "14", "17"})
