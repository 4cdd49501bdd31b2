"""Steps that only a person can do: ticked, listed, shown by every command that tells of steps, and refused for others."""

from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine, records
from tests.e2e.conftest import Cli

WORDS = "Anybody on the way could read the password."


@pytest.fixture
def student(finished: dict[str, Any], engine: Engine) -> Any:
    """A student with nothing ticked."""
    yield finished["student"]
    records.remove(engine, finished["student"], "ticks")


def test_a_tick_is_shown_wherever_steps_are(cli: Cli, student: str, tmp_path: Path) -> None:
    assert f'is ticked: "{WORDS}"' in cli("tick", "32", *WORDS.split(), "-s", student).stdout
    steps = {entry["step"]: entry["ticked"] for entry in cli.json("tick", "-s", student)["steps"]}
    assert [step for step, tick in steps.items() if tick] == ["32"]
    assert steps["32"]["words"] == WORDS
    assert WORDS in cli("tick", "-s", student).stdout
    page, paper = tmp_path / "x.html", tmp_path / "x.xml"
    document = cli.json("check", "32", "36", "-s", student, "--html", str(page), "--junit", str(paper))
    ticked, other = document["results"][0], document["results"][-1]
    assert (ticked["status"], ticked["ticked"]["words"]) == ("skip", WORDS)
    assert "ticked" not in other
    assert WORDS in page.read_text()
    assert WORDS in paper.read_text()
    assert "32" not in cli.json("next", "-s", student)["left"]
    assert cli.json("status", "-s", student)["environments"][0]["ticked"] == ["32"]
    cli("tick", "32", "--remove", "-s", student)
    assert "32" in cli.json("next", "-s", student)["left"]
    assert "not ticked" in cli("tick", "32", "--remove", "-s", student, rc=2).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("99",), "no step 99"),
        (("17", "done"), "is judged by labenv: labenv check 17"),
        (("32", "x" * 301), "at most 300"),
        (("--remove",), "needs a step"),
    ],
)
def test_what_cannot_be_ticked_is_a_sentence(cli: Cli, student: str, arguments: tuple[str, ...], said: str) -> None:
    assert said in cli("tick", *arguments, "-s", student, rc=2).stderr
    assert not any(entry["ticked"] for entry in cli.json("tick", "-s", student)["steps"])
