"""Running the checks of an environment's lab: pytest in process, apart from whatever the user's folder configures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from labenv import lab as labs
from labenv.checks.results import CheckResult, Report, in_chains
from labenv.environment import Environment
from labenv.errors import LabenvError, UsageError
from labenv.events import Event, Listener, silent
from labenv.lab import Lab

if TYPE_CHECKING:
    from labenv.engine import Engine

# Not needed here, and each costs time, writes into the user's folder, or prints.
_WITHOUT = "cacheprovider terminal logging doctest unittest junitxml pastebin debugging faulthandler stepwise capture"


def run_checks(
    environment: Environment,
    engine: "Engine",
    *,
    steps: list[str] | None = None,
    reached_only: bool = False,
    listen: Listener = silent,
) -> Report:
    """Check the steps of the environment's lab and return what was found, in the order of the sheet.

    `steps` limits it to these step numbers, `reached_only` to the steps of the stages up to the environment's own.
    Each result is announced to `listen` as it comes. Raises UsageError for a step that the lab has not. A machine that
    does not run is no error: the checks that need it fail, and say so.
    """
    lab = labs.load(environment.lab)
    wanted = _wanted(lab, environment.stage, steps, reached_only)

    import pytest  # it and testinfra take a quarter of a second, which a wrong step number need not wait for

    from labenv.checks.plugin import Run, Session

    run = Run(environment, lab, engine.api, wanted, lambda result: listen(_event(result)))
    folder = lab.folder / "checks"
    arguments = [str(folder), "-c", os.devnull, f"--rootdir={folder}", f"--confcutdir={folder}"]
    arguments += ["--import-mode=importlib", "--assert=plain", "-p", "labenv.checks.plugin"]
    arguments += [word for name in _WITHOUT.split() for word in ("-p", f"no:{name}")]
    with _own_environment():
        code = pytest.main(arguments, plugins=[Session(run)])
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise LabenvError(f"The checks of {lab.id} could not be run: pytest ended with '{pytest.ExitCode(code).name}'.")
    return Report(environment.student.id, lab.id, in_chains(run.results, lab))


def _wanted(lab: Lab, stage: str, steps: list[str] | None, reached_only: bool) -> frozenset[str]:
    unknown = [step for step in steps or [] if step not in lab.steps]
    if unknown:
        raise UsageError(f"{lab.id} has no step {', '.join(unknown)}. Its steps are: {', '.join(lab.steps)}.")
    return frozenset(
        step.id for step in lab.steps.values() if not reached_only or lab.reached(step.stage, stage)
    ) & frozenset(steps or lab.steps)


def _event(result: CheckResult) -> Event:
    said = f"{result.machine}: {result.status}: {result.evidence}"
    return Event(f"check {result.step}", said, "warn" if result.status == "fail" else "log")


@contextmanager
def _own_environment() -> Iterator[None]:
    """Let nothing that the user has set for their own pytest reach ours."""
    before = dict(os.environ)
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
