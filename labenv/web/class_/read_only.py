"""A student's desk for who may only look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.gate.held import Held
from labenv.web.class_.desk import ClassDesk
from labenv.web.commands import Hear
from labenv.web.desk import Desk, Packed, Sight


@dataclass(eq=False)
class ReadOnly(Desk):
    """What the teacher sees of a student's desk: everything, and nothing that changes anything."""

    is_read_only: ClassVar[bool] = True
    of: ClassDesk = field(kw_only=True)

    def show(self, seer: Callable[[Sight], None]) -> Callable[[], None]:
        """Tell `seer` what the student's own desk knows."""

        def see(sight: Sight) -> None:
            self.sight = sight
            seer(sight)

        return self.of.show(see)

    def find(self) -> Environment:
        """The student's environment, in a thread. Raises UsageError, EngineError."""
        return self.of.find()

    async def check_may(self, typed: Sequence[str]) -> NoReturn:
        """Raise UsageError: nothing may be changed."""
        raise UsageError(f"You only look at the page of {self.student}. {typed[0].capitalize()} is theirs.")

    async def labenv(self, *arguments: str, hear: Hear | None = None) -> Any:
        """Raise UsageError: a hint counts, a hand-in is the student's."""
        await self.check_may(arguments)

    async def submit(self, hear: Hear | None = None) -> Packed:
        """Raise UsageError."""
        await self.check_may(["submit"])

    async def _held(self, title: str, machine: str, command: Sequence[str], size: tuple[int, int]) -> Held:
        await self.check_may(["shell"])
