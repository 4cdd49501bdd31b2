"""Where rows are judged: a finished environment that is as `up` makes it for each row, and others at any stage."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from labenv.checks.results import CheckResult
from labenv.checks.run import run_checks
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments.changing import changing
from labenv.environments.down import down
from labenv.environments.machines import remake_machine
from labenv.environments.plan import Request
from labenv.environments.settle import settle
from labenv.environments.up import up
from labenv.errors import LabenvError
from labenv.events import silent
from labenv.lab.model import Lab
from labenv.proof.verdict import names, open_

_FIRST = "ada"  # the students' first name: the same in each environment, so that two can be compared
_PATIENCE = 120  # seconds that what is typed into a machine may take


class Untypeable(LabenvError):
    """What a row types into a machine failed there, so that nothing can be said about the row."""


class Place:
    """The environments that one row after the other is judged in. `lab` is loaded by `source`, its name or folder.

    A machine that a row has typed into is made again before the next row. The others stay, because nothing was typed there.
    """

    def __init__(self, engine: Engine, lab: Lab, source: str, new_student: Callable[[], str]) -> None:
        self.engine = engine
        self.lab = lab
        self.source = source
        self._new_student = new_student
        self._student = ""
        self._typed_into: set[str] = set()
        self._fixed: set[str] = set()
        # About the row that is being judged: the checks that were seen to fail or to wait, and what decides nothing.
        self.failed: set[str] = set()
        self.notes: list[str] = []

    def finished(self, *, whole: bool = True) -> Environment:
        """The environment at the last stage. Unless `whole`, machines stay that a drill was fixed on. Raises EngineError."""
        if not self._student:
            self._student = self._new_student()
            try:
                return self._up(self._student, self.lab.last_stage, None)
            except LabenvError:  # what has come up stays for a person to look at, and is no place for the next row
                self.remove()
                raise
        again = self._typed_into | (self._fixed if whole else set())
        if not again:
            return self._environment(self._student)
        with changing(self.engine, self._student, silent) as change:
            for name in sorted(again):
                remake_machine(self.engine, change.environment, change.plan, name, silent)
            there = change.environment
            settle(self.engine, there, [there.machine(name) for name in again], silent)
        self._typed_into -= again
        self._fixed -= again
        return there

    def typed_into(self, machines: Iterable[str]) -> None:
        """Have these machines of the finished environment made again before the next row."""
        self._typed_into |= set(machines)

    def fixed(self, machines: Iterable[str]) -> None:
        """What was typed into these machines of the finished environment was fixed."""
        self._typed_into -= set(machines)
        self._fixed |= set(machines)

    @contextmanager
    def at(self, stage: str, like: Environment | None = None) -> Iterator[Environment]:
        """Another environment, at a stage, during the block; `like` one that was removed, with its student and network.

        Raises UsageError, EngineError.
        """
        student, x = (like.student.id, like.student.x) if like else (self._new_student(), None)
        try:
            yield self._up(student, stage, x)
        finally:
            self._down(student)

    def remove(self) -> None:
        """Remove the finished environment, if there is one. Raises EngineError."""
        if self._student:
            self._down(self._student)
        self._student, self._typed_into, self._fixed = "", set(), set()

    def checked(self, environment: Environment, steps: list[str] | None = None) -> tuple[CheckResult, ...]:
        """What the checks say about an environment: all, or those of these steps. Raises LabenvError."""
        results = run_checks(self.engine, environment, steps=steps).results
        self.failed |= names(open_(results))
        return results

    def type(self, environment: Environment, machines: Iterable[str], script: str) -> None:
        """Type a script as root on each of these machines. Raises `Untypeable` if it fails there, EngineError."""
        for name in machines:
            with self.engine.shell(environment.machine(name)) as shell:
                done = shell.run(script, timeout=_PATIENCE)
            if done.rc:
                raise Untypeable(f"it could not be typed on {name} (status {done.rc}): {done.complaint}")

    def _up(self, student: str, stage: str, x: int | None) -> Environment:
        profiles = frozenset(self.lab.profiles)
        request = Request(student, x=x, first=_FIRST, stage=stage, lab=self.source, profiles=profiles)
        return up(self.engine, request, silent).environment

    def _environment(self, student: str) -> Environment:
        with changing(self.engine, student, silent) as change:
            return change.environment

    def _down(self, student: str) -> None:
        for environment in self.engine.environments(student):
            down(self.engine, environment, silent)
