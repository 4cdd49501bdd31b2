"""What `down` would take away: all that is kept for an environment and in no save."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from labenv.engine import desk, save_store
from labenv.engine.save_store import Save
from labenv.environment import Environment
from labenv.environments import drill_records, ticks
from labenv.sheet import guide
from labenv.text import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labenv.engine import Engine


@dataclass(frozen=True)
class Stake:
    """What is lost with an environment. `saved` is the last save, None if there is none; the rest are numbers of records."""

    saved: Save | None
    hints: int
    drills: int
    ticks: int
    desktop: bool

    @property
    def sentences(self) -> "Iterator[str]":
        """What is lost, for a person who is asked."""
        if self.saved:
            made = self.saved.made.astimezone()
            yield f"Lost: all work since the save {self.saved.name} of {made:%Y-%m-%d %H:%M}. That save stays."
        else:
            yield "Lost: all work in it, and its history. It was never saved."
        counts = ((self.hints, "hint"), (self.drills, "finished drill"), (self.ticks, "ticked step"))
        parts = [many(count, word) for count, word in counts if count]
        parts += ["the desktop with Thunderbird's accounts"] if self.desktop else []
        if parts:
            yield f"Also: {', '.join(parts)}."


def of(engine: "Engine", environment: Environment) -> Stake:
    """What is lost with an environment. Raises EngineError."""
    who = environment.student.id
    saves = save_store.found(engine, who)
    return Stake(
        saves[-1] if saves else None,
        guide.recorded(engine, who),
        len(drill_records.over(engine, who)),
        len(ticks.read(engine, who)),
        desk.has_home(engine, who),
    )
