"""A run of the checks while somebody looks on: what need not wait for mail comes first, and a step is told as soon as it is certain."""

import time
from collections.abc import Collection, Sequence
from typing import Literal

import pytest

from labenv.checks.onlooker import Onlooker
from labenv.checks.results import CheckResult, in_chains, needed
from labenv.checks.running import Run
from labenv.checks.session import step_of

_OFTEN = 0.1  # seconds between two times that results are told


class Soonest:
    """A pytest plugin: runs the checks of a run in the order in which their probes end. `is_overtaken` is whether it was given up."""

    def __init__(self, run: Run, onlooker: Onlooker) -> None:
        """Tell nothing yet."""
        self.is_overtaken = False
        self._run = run
        self._onlooker = onlooker
        self._results: dict[pytest.Item, list[CheckResult]] = {}
        self._is_new = False  # whether there are results since the last time
        self._told: tuple[CheckResult, ...] = ()
        self._due = 0.0

    def pytest_runtestloop(self, session: pytest.Session) -> Literal[True] | None:
        """Run them; the results are then in the order of the sheet, as those of any other run."""
        if session.testsfailed:  # there are checks that Python cannot load
            return None
        left = [(item, step_of(item), getattr(item, "fixturenames", ())) for item in session.items]
        self._results = {item: [] for item, *_ in left}
        left.sort(key=lambda one: one[1] not in self._onlooker.urgent)
        while left:
            # Each run tells something, however often there is a next one.
            if self._run.results and self._onlooker.is_over():
                self.is_overtaken = self._run.is_cut = True
                return True
            place = self._run.first_ready([(name, uses) for _, name, uses in left], _OFTEN)
            if place is not None:
                item, *_ = left.pop(place)
                self._check(item, session if left else None)
            elif self._run.results:
                self._run.begin_beside()
            if self._is_new and (place is None or time.monotonic() > self._due):
                self._tell(certain(self._run, self._sorted(), {name for _, name, _ in left}))
        self._run.results[:] = self._sorted()
        self._run.begin_beside()
        return True

    def _check(self, item: pytest.Item, keep: pytest.Session | None) -> None:
        """Run one; what comes next is not known yet, so that pytest may keep only what belongs to all of them."""
        before = len(self._run.results)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=keep)
        self._results[item] = self._run.results[before:]
        self._is_new = True

    def _tell(self, results: tuple[CheckResult, ...]) -> None:
        if results != self._told:
            self._onlooker.tell(results)
        self._told, self._is_new, self._due = results, False, time.monotonic() + _OFTEN

    def _sorted(self) -> list[CheckResult]:
        return [result for results in self._results.values() for result in results]


def certain(run: Run, results: Sequence[CheckResult], ahead: Collection[str]) -> tuple[CheckResult, ...]:
    """The results of steps that are not ahead; of those that fail, only where nothing that they may wait for is ahead.

    A step that a person judges is not certain before the end, when its tick is known.
    """
    failing = {result.step for result in results if result.status == "fail"}

    def is_certain(name: str) -> bool:
        is_open = name in ahead or run.lab.steps[name].is_for_a_person
        return not is_open and not (name in failing and needed(name, run.lab, run.waits) & set(ahead))

    found = {name for name in {result.step for result in results} if is_certain(name)}
    return tuple(one for one in in_chains(results, run.lab, run.waits, run.blamed) if one.step in found)
