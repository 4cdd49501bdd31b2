"""The content of every kind of report."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from labenv import __version__
from labenv.checks.results import Report
from labenv.environment import Environment
from labenv.lab.model import Lab
from labenv.sheet import guide, progress
from labenv.sheet.guide import Asked, Next
from labenv.sheet.progress import Heading


@dataclass(frozen=True)
class Paper:
    """The content of a report: the results, whose they are, which hints were asked for, and the time."""

    report: Report
    lab: Lab
    environment: Environment
    asked: tuple[Asked, ...]
    time: datetime
    version: str = __version__

    @cached_property
    def headings(self) -> list[Heading]:
        """The steps by the headings of the sheet."""
        return progress.headings(self.report, self.lab)

    @property
    def counted(self) -> str:
        """How many steps pass, fail, wait and so on."""
        return progress.counted(self.headings)

    @property
    def next(self) -> Next:
        """What to do next."""
        return guide.next_step(self.report, self.lab)

    @property
    def stamp(self) -> str:
        """The time, in UTC, as ISO 8601."""
        return self.time.astimezone(UTC).isoformat(timespec="seconds")

    def asked_about(self, step: str) -> list[Asked]:
        """The hints that were asked for at a step."""
        return [ask for ask in self.asked if ask.step == step]
