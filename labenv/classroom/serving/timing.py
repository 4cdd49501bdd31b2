"""How long environments of a class run: what `class up` was asked for, kept where `class serve` finds it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from labenv.classroom.folder.load import span
from labenv.classroom.folder.model import Class
from labenv.classroom.running.timers import Timer, drop, set_
from labenv.classroom.serving.alive import is_served
from labenv.errors import LabenvError, UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """How long each environment of a class runs that comes up now: in all, and without activity; None: as long as it likes."""

    of: Class
    whole: timedelta | None
    idle: timedelta | None

    def begun(self, coming: Iterable[tuple[str, T | LabenvError]]) -> Iterator[tuple[str, T | LabenvError]]:
        """Students with what came of them, as they come; the time of each whose environment is up begins, in place of the one before.

        That it cannot be kept is an error of that student.
        """
        for student_id, result in coming:
            told = result
            if not isinstance(result, LabenvError):
                try:
                    self._begin(student_id)
                except LabenvError as error:
                    told = error
            yield student_id, told

    def _begin(self, student_id: str) -> None:
        if self.whole is None and self.idle is None:
            drop(self.of, student_id)
            return
        until = datetime.now(self.of.zone) + self.whole if self.whole else None
        set_(self.of, Timer(student_id, until, self.idle))


def wanted(of: Class, whole: str | None, idle: str | None) -> Timing:
    """The timing that the options `--for` and `--idle` ask for; without them, class.yaml's while the class is served.

    Raises UsageError for a text that is no span of time, and if nothing would stop the environments: `class serve` does not run.
    """
    served = is_served(of)
    asked = [option for option, value in (("--for", whole), ("--idle", idle)) if value is not None]
    spans = [
        _positive(option, value) if value is not None else None
        for option, value in (("--for", whole), ("--idle", idle))
    ]
    if asked and not served:
        raise UsageError(
            f"{' and '.join(asked)} need `labenv class serve`, which stops environments in time and tells the students before. It does "
            f"not run for {of.name}. Start it in another terminal, or leave the option out: labenv class serve -c {of.folder}"
        )
    if not served:
        return Timing(of, None, None)
    usual = of.limits
    return Timing(of, spans[0] or usual.for_, spans[1] or usual.idle)


def _positive(option: str, text: str) -> timedelta:
    try:
        found = span(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error
    if not found:
        raise UsageError(f"{option}: a time of nothing would stop the environments at once. Write it as 3h or 45m.")
    return found
