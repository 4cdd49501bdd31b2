"""What `up` says in the end: the verdict, and where to begin."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from labenv.checks.results import CheckResult, Report
from labenv.cli import summary
from labenv.environment import Environment
from labenv.lab import model

STARTER = Path(model.__file__).parent / "starter"


@pytest.mark.parametrize(("stage", "machine"), [("start", "server"), ("open", "server"), ("done", "client")])
def test_the_shell_to_begin_with_is_that_of_the_next_step(tmp_path: Path, stage: str, machine: str) -> None:
    for name in ("lab.yaml", "steps.yaml"):
        (tmp_path / name).write_text((STARTER / name).read_text().replace("id: NAME", "id: mylab"))
    there = [SimpleNamespace(name=name) for name in ("server", "client")]
    environment = cast(Environment, SimpleNamespace(stage=stage, regular=there))
    assert summary.place_of_work(environment, model.read(tmp_path)) == machine


def test_where_nothing_is_checked_yet_it_does_not_say_that_all_passed(capsys: pytest.CaptureFixture[str]) -> None:
    summary.verdict(Report("asmith15", "mylab", ()))
    assert capsys.readouterr().out == "nothing to check yet\n"
    summary.verdict(Report("asmith15", "mylab", (CheckResult("1", "answers", "server", "", "pass", "seen", ""),)))
    assert capsys.readouterr().out.endswith(" all 1 checks passed\n")
