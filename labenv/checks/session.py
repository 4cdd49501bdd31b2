"""What pytest does in a run of the checks: which checks it takes, in which order, and what becomes of their outcomes."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.mistakes import sentence
from labenv.checks.results import CheckResult, Status, waiting
from labenv.checks.running import RUN, Run, needs_first
from labenv.lab.model import Step

# Where only the first step that fails is wanted: how many steps ahead probes are started, at least, and for each step that has passed.
_AHEAD, _MORE = 6, 2
_LONGEST = 10_000  # characters of what a check says


class _Idle(Exception):
    """A check that is passed over: it has no result."""


EVIDENCE = pytest.StashKey[Evidence]()


class Session:
    """The part of the plugin that needs a run."""

    def __init__(self, run: Run) -> None:
        """Work for this run."""
        self._run = run
        self._probes: set[str] = set()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Give the run to the fixtures, and make fixtures of what the lab's kits bring."""
        config.stash[RUN] = self._run
        brought = ModuleType("labenv-kits")
        for name, thing in self._run.brings.items():
            setattr(brought, name, _fixture(name, thing))
        config.pluginmanager.register(brought)

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """If all steps are wanted, start all the lab's probes at once: collecting the checks takes a while."""
        self._probes |= self._run.learn(_conftests(session))
        if self._run.steps == frozenset(self._run.lab.steps) and not self._run.first:
            self._run.start(self._probes)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect the checks of steps that are not wanted, and sort the others in the order of the sheet.

        With `first`, what a step needs comes before it.
        """
        names = needs_first(self._run.lab) if self._run.first else self._run.lab.steps
        order = {name: place for place, name in enumerate(names)}
        wanted = [item for item in items if step_of(item) in self._run.steps]
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = sorted(wanted, key=lambda item: order[step_of(item)])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start the probes that the chosen checks need.

        With `first`, those that none needs and those of the steps for a person, which are looked at in any case; others come later.
        """
        modules = [item.module for item in session.items if isinstance(item, pytest.Function)]
        self._probes |= self._run.learn(
            [*_conftests(session), *dict.fromkeys(modules)]
        )  # under plain pytest, both are new
        needed_here = _fixtures(session.items)
        own = _fixtures(item for item in session.items if self._run.lab.steps[step_of(item)].is_for_a_person)
        self._run.start((self._probes - needed_here) | own if self._run.first else needed_here)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Pass over what is not wanted any more, and do not wait for what can no longer make a difference."""
        if self._run.first:
            steps = _steps(item.session.items)
            here = steps.index(step_of(item))
            if self._run.is_idle(steps[here], steps[here:]):
                raise _Idle
            soon = steps[here : here + (1 if self._run.is_cut else max(_AHEAD, _MORE * here))]
            self._run.start(_fixtures(other for other in item.session.items if step_of(other) in soon))
        self._run.await_probes(step_of(item), getattr(item, "fixturenames", ()))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
        """Keep the outcome as a result."""
        report = yield
        if call.excinfo and isinstance(call.excinfo.value, _Idle):
            return report
        if call.when == "call" or (call.when == "setup" and call.excinfo):
            result = self._result(item, call.excinfo.value if call.excinfo else None)
            if self._run.takes(result):
                self._run.results.append(result)
                self._run.heard(result)
        return report

    def pytest_sessionfinish(self) -> None:
        """Clean up."""
        self._run.finish()

    def _result(self, item: pytest.Item, error: BaseException | None) -> CheckResult:
        mark = _step(item)
        bound = self._run.lab.steps[mark.args[0]]
        evidence = item.stash.get(EVIDENCE, Evidence())
        status: Status = "warn" if evidence.doubts else "pass"
        text, seen, expected = str(evidence), evidence.seen, evidence.expected
        machine = _machine_of(item, mark.kwargs["machine"])
        if isinstance(error, CheckFailed):
            error = self._with_cause(error, bound)
        if error is not None:
            status = "skip" if isinstance(error, pytest.skip.Exception) else "fail"
            text = seen = sentence(error, machine, self._run.lab.folder, self._run.site.machines)
            expected = ""
        if isinstance(error, CheckFailed):
            seen, expected = error.saw, error.wanted
        if isinstance(error, Waits):
            self._run.waits.setdefault(bound.id, set()).add(error.step)
            text = seen = waiting(self._run.lab, error.step)  # the other step says whether that is a failure or a skip
        return CheckResult(
            step=bound.id,
            check=getattr(item, "originalname", item.name).removeprefix("test_"),
            machine=machine,
            title=bound.title,
            status=status,
            evidence=_cut(text),
            hint=bound.hints[0] if bound.hints else "",
            seen=_cut(seen),
            expected=_cut(expected),
        )

    def _with_cause(self, failure: CheckFailed, bound: Step) -> Exception:
        """The failure with what the server that erred says about it, or the step to wait for, whose setting it is about."""
        machine = self._run.site.machines.get(failure.by)
        if not machine:
            return failure
        complaint = self._run.explained(machine)
        if not complaint:
            return self._with_restarts(failure, machine)
        told = f"on {machine.name}, {complaint}"
        owner = self._run.lab.owner(complaint.setting.name, machine.name) if complaint.setting else None
        if owner and owner.id != bound.id and owner.id in self._run.steps:
            self._run.blamed.setdefault((owner.id, machine.name), told[0].upper() + told[1:])
            return Waits(owner.id)
        if complaint.words in failure.saw:
            told = str(complaint.setting or "")
        return self._with_restarts(CheckFailed("; ".join(filter(None, (failure.saw, told))), failure.wanted), machine)

    def _with_restarts(self, failure: CheckFailed, machine: Machine) -> CheckFailed:
        """The failure with the restarts that are missing on the machine that erred, unless it has them already."""
        told = [f"{found}" for found in self._run.stale(machine) if found.remedy not in failure.saw]
        return CheckFailed("; ".join([failure.saw, *told]), failure.wanted)


def _fixture(name: str, thing: object) -> Any:
    return pytest.fixture(scope="session", name=name)(lambda: thing)


def _conftests(session: pytest.Session) -> list[ModuleType]:
    """The lab's conftest, if it has been loaded yet."""
    plugins = session.config.pluginmanager.get_plugins()
    return [
        p
        for p in plugins
        if isinstance(p, ModuleType) and Path(getattr(p, "__file__", None) or "").name == "conftest.py"
    ]


def step_of(item: pytest.Item) -> str:
    """The step that a check is bound to. Raises pytest.UsageError if it is bound to none."""
    name: str = _step(item).args[0]
    return name


def _step(item: pytest.Item) -> pytest.Mark:
    mark = item.get_closest_marker("step")
    if mark is None:
        raise pytest.UsageError(f"{item.nodeid} is not bound to a step. Add @step(ID, machine=…).")
    return mark


def _steps(items: Iterable[pytest.Item]) -> list[str]:
    return list(dict.fromkeys(step_of(item) for item in items))


def _fixtures(items: Iterable[pytest.Item]) -> set[str]:
    return {name for item in items for name in getattr(item, "fixturenames", ())}


def _machine_of(item: pytest.Item, named: str | tuple[str, ...]) -> str:
    if isinstance(named, str):
        return named
    chosen: str = item.callspec.params["machine"]  # type: ignore[attr-defined]
    return chosen


def _cut(text: str) -> str:
    """A text of a check that is short enough to be shown and kept: a check may quote a whole file."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… (cut: {len(text)} characters)"
