"""Ctrl-C: labenv says what holds then, in the words of the command."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labenv.cli import common
from labenv.cli.app import app
from labenv.cli.class_ import check
from labenv.errors import Interrupted


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up"], "What was made is kept; the same command continues from there."),
        (
            ["exec", "vm3", "--", "true"],
            "The command may have run in some of the machines. What it printed there is lost.",
        ),
        (["stop"], "What was stopped stays so, with all work; the same command continues from there."),
        (["grade"], "Nothing of this run is kept. The grades of earlier ones stay: labenv class grades"),
    ],
)
def test_what_is_said_is_true_of_the_command(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "class.yaml").write_text("name: A class\nid: a-class\nlabs:\n  - lab: lab4b\n")
    (tmp_path / "roster.csv").write_text("id\nann\n")
    monkeypatch.setenv("LABENV_CLASS", f"{tmp_path}")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(common, "open_engine", interrupted)
    ended = CliRunner().invoke(app, ["class", *words]).exception
    assert isinstance(ended, Interrupted)
    assert str(ended) == f"interrupted. {said}"


def test_a_class_check_says_where_the_results_so_far_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labenv.environments.history.has_git", lambda: True)
    assert check._left_off(0, 30) == "Checks change nothing. 0 of 30 environments were checked."
    assert check._left_off(5, 30).endswith("5 of 30 environments were checked: labenv class status has their results.")
    monkeypatch.setattr("labenv.environments.history.has_git", lambda: False)
    assert check._left_off(5, 30).endswith(
        "5 of 30 environments were checked: their results are lost, as git is missing."
    )
