"""One run of the checks: its probes, which start early, what is still worth checking, and its results."""

import inspect
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain
from types import ModuleType
from typing import Any

import pytest

from labenv.checks import interface
from labenv.checks.evidence import Waits
from labenv.checks.interface import Complaint
from labenv.checks.machine import Machine, Site
from labenv.checks.restarts import Stale, all_stale
from labenv.checks.results import CheckResult, in_chains, needed
from labenv.errors import EngineError
from labenv.lab.model import Lab

Probe = Callable[..., Any]

# Seconds from the beginning of a run, and at least, that a check waits for its probes although a step that it needs has failed.
_SOON, _BEHIND = 5, 0.1
_TOGETHER = 32  # probes, so that none that hangs keeps another from starting

# Each probe's fixture, and its work: a lab has the probes that are in its modules. By identity, as two labs may use one name.
_PROBES: list[tuple[object, Probe]] = []


def probe(work: Probe) -> Probe:
    """Make a session fixture of `work` that starts, in a thread, before the first check runs, if any check needs it.

    It takes the site, and by their names what it wants of that which the lab's kits bring. What it raises fails each check that
    uses it.
    """

    @pytest.fixture(scope="session", name=work.__name__)
    def outcome(request: pytest.FixtureRequest) -> Any:
        return request.config.stash[RUN].outcome(work.__name__)

    _PROBES.append((outcome, work))
    return outcome


@dataclass
class Run:
    """One run of the checks on one environment: what it works on, and its results.

    With `first`, it ends at the first step that fails: after that only steps for a person are looked at that need none that fails.
    """

    site: Site
    lab: Lab
    steps: frozenset[str]
    heard: Callable[[CheckResult], None] = lambda _: None
    results: list[CheckResult] = field(default_factory=list)
    waits: dict[str, set[str]] = field(default_factory=dict)
    blamed: dict[tuple[str, str], str] = field(default_factory=dict)
    first: bool = False
    is_looked_on: bool = False

    def __post_init__(self) -> None:
        """Open nothing yet. Raises UsageError for a lab with a kit that there is not."""
        self.began = time.monotonic()
        self.is_cut = False  # whether what probes still show does not matter
        kits = interface.of(self.lab)
        self.parts = [one.part(self.site) for one in kits]
        self._services = [service for one in kits for service in one.services]
        self._pool = ThreadPoolExecutor(_TOGETHER)
        self._later: list[Callable[[], None]] = []
        self._known: dict[str, Probe] = {}
        self._probes: dict[str, Future[Any]] = {}

    @property
    def brings(self) -> dict[str, object]:
        """What the lab's kits bring, by name."""
        return {name: thing for part in self.parts for name, thing in part.brings.items()}

    def learn(self, modules: Iterable[ModuleType]) -> set[str]:
        """Know the probes in these modules, and return their names."""
        mine = {id(fixture): work for fixture, work in _PROBES}
        found = {work.__name__: work for m in modules for value in vars(m).values() if (work := mine.get(id(value)))}
        self._known |= found
        return set(found)

    def start(self, names: Collection[str]) -> None:
        """Start the probes of these names, unless they have been started."""
        for name, work in self._known.items():
            if name in names and name not in self._probes:
                wanted = inspect.signature(work).parameters
                there = {each: thing for each, thing in self.brings.items() if each in wanted}
                self._probes[name] = self._pool.submit(work, self.site, **there)

    def beside(self, work: Callable[[], None]) -> None:
        """Do something in a thread while the checks run; the run ends only when it has ended.

        Where somebody looks on, it begins only once the checks have to wait: it would keep the machines from answering them.
        """
        self._later.append(work)
        if not self.is_looked_on:
            self.begin_beside()

    def begin_beside(self) -> None:
        """Begin what is to go on beside the checks, unless it has begun."""
        while self._later:
            self._pool.submit(self._later.pop(0))

    def outcome(self, name: str) -> Any:
        """The result of a probe. Raises what it raised."""
        return self._probes[name].result()

    def await_probes(self, step: str, names: Iterable[str]) -> None:
        """Wait for the probes that a check of that step uses: only a moment once it can no more than wait for another step.

        Raises Waits if they take longer than that; then the end of the run does not wait for them.
        """
        first = self._behind(step)
        if first and wait(self._pending(names), max(_BEHIND, self.began + _SOON - time.monotonic())).not_done:
            self.is_cut = True
            raise Waits(first)

    def first_ready(self, ahead: Sequence[tuple[str, Iterable[str]]], patience: float) -> int | None:
        """The place of the first of several checks, each a step and what it uses, that need not wait now (`await_probes`).

        If there is none, it waits that many seconds for a probe to end, and returns None.
        """
        is_late = time.monotonic() > self.began + _SOON
        pending = [self._pending(names) for _, names in ahead]
        for place, (step, _) in enumerate(ahead):
            if not pending[place] or (is_late and self._behind(step)):
                return place
        wait(chain.from_iterable(pending), patience, FIRST_COMPLETED)
        return None

    def _pending(self, names: Iterable[str]) -> list[Future[Any]]:
        """The probes among these names that have not ended."""
        return [probe for name in names if (probe := self._probes.get(name)) and not probe.done()]

    def _behind(self, step: str) -> str:
        """The first step on the sheet that a step waits for, as it fails; "" if none does."""
        failed = {result.step for result in self.results if result.status == "fail"}
        ahead = failed & needed(step, self.lab, self.waits) if failed else failed
        return next((name for name in self.lab.steps if name in ahead), "")

    def is_idle(self, step: str, ahead: Collection[str]) -> bool:
        """Whether a step need not be checked, of those that are `ahead`.

        It need not if it waits for one that fails; nor if the first that fails is found, and neither waits for one that is ahead nor
        comes after it on the sheet.
        """
        failing = {result.step for result in self.results if result.status == "fail"}
        if not self.first or not failing:
            return False
        place = {name: number for number, name in enumerate(self.lab.steps)}

        def waits(name: str) -> bool:
            return bool(needed(name, self.lab, self.waits) & failing)

        judged = in_chains(self.results, self.lab, self.waits, self.blamed)
        found = min((result.step for result in judged if result.status == "fail"), key=place.__getitem__, default="")
        before = {name for name in ahead if found and place[name] < place[found] and not waits(name)}
        is_over = bool(found) and not before and not needed(found, self.lab, self.waits) & set(ahead)
        self.is_cut |= is_over
        return waits(step) or (is_over and not self.lab.steps[step].is_for_a_person)

    def takes(self, result: CheckResult) -> bool:
        """Whether a result counts: not the failure of a step that may wait for one that was passed over."""
        if not (self.first and self.is_cut and result.status == "fail"):
            return True
        return needed(result.step, self.lab, self.waits) <= {other.step for other in self.results}

    def explained(self, machine: Machine) -> Complaint | None:
        """What the servers of a machine logged against themselves since the run began, if that explains anything."""
        seconds = round(time.monotonic() - self.began) + 1
        try:
            return next((told for part in self.parts if (told := part.explained(machine, seconds))), None)
        except EngineError:  # the check says already that the machine is not there
            return None

    def stale(self, machine: Machine) -> list[Stale]:
        """The services of a machine that have not read their files since one was changed."""
        try:
            return all_stale(machine, self._services)
        except EngineError:  # as above
            return []

    def finish(self) -> None:
        """Wait for the probes, have the kits remove what they left in the machines, close the channels."""
        if self.is_cut:
            for part in self.parts:
                part.give_up()
            self._hang_up()
        self._pool.shutdown(cancel_futures=True)
        self._hang_up()  # what the servers log of that is to be in the logs before they are tidied
        try:
            for part in self.parts:
                part.clean()
        finally:
            self.site.close()

    def _hang_up(self) -> None:
        for machine in self.site.machines.values():
            machine.hang_up()


RUN = pytest.StashKey[Run]()


def needs_first(lab: Lab) -> list[str]:
    """The steps in the order of the sheet, but each behind those that it needs."""
    found: dict[str, None] = {}
    for name in lab.steps:
        ahead = needed(name, lab, {})
        while ahead:
            ready = [other for other in lab.steps if other in ahead and not needed(other, lab, {}) & ahead]
            found |= dict.fromkeys(ready)
            ahead -= set(ready)
        found[name] = None
    return list(found)
