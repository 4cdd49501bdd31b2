"""What `up` says in the end: the verdict, and what to type next."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from labenv.checks.results import CheckResult, Report
from labenv.cli import summary
from labenv.lab import labs

if TYPE_CHECKING:
    from labenv.environment import Environment


@pytest.mark.parametrize(
    ("lab", "stage", "machine"),
    [
        ("lab3", "lab2b", "host"),
        ("lab3", "client", "host"),
        ("lab3", "done", "vm3"),
        ("lab4b", "lab4a", "vm3"),
        ("lab4b", "domain", "vm2"),
    ],
)
def test_the_shell_that_is_named_is_of_a_machine_of_the_next_step(lab: str, stage: str, machine: str) -> None:
    there = tuple(SimpleNamespace(name=name) for name in ("host", "vm1", "vm2", "vm3"))
    environment = cast("Environment", SimpleNamespace(stage=stage, regular=there))
    assert summary._where_to_begin(environment, labs.load(lab)) == machine


def test_where_nothing_is_checked_yet_it_does_not_say_that_all_passed(capsys: pytest.CaptureFixture[str]) -> None:
    summary.verdict(Report("asmith15", "mylab", ()))
    assert capsys.readouterr().out == "nothing to check yet\n"
    summary.verdict(Report("asmith15", "mylab", (CheckResult("1", "answers", "server", "", "pass", "seen", ""),)))
    assert capsys.readouterr().out.endswith(" all 1 checks passed\n")
