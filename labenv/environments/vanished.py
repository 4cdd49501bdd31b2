"""What another program removed, such as `docker system prune`: which machines, since when the work in them is lost, and the way back."""

from collections.abc import Collection, Sequence
from datetime import datetime

from labenv.engine import Engine, kept, save_store
from labenv.environment import Environment


def environment(engine: Engine, student_id: str) -> str:
    """That the student had machines, which no `down` removed, and has none; "" otherwise. Raises EngineError."""
    since = kept.since(engine, student_id)
    if since is None:
        return ""
    return (
        f"the machines that labenv made for {student_id} at {_time(since)} are gone, with the work in them: not by `labenv down`, but by "
        "another program, such as `docker system prune`."
    )


def environments(engine: Engine, there: Collection[str], student_id: str | None) -> list[str]:
    """The same of each student who is not `there`, or of that one student, with the way back. Raises EngineError."""
    gone = [who for who in kept.ups() if who not in there and student_id in (None, who)]
    return [
        f"{text} To make them from scratch: labenv up {who}. To forget them: labenv down -s {who}. {way_back(engine, who)}"
        for who in gone
        if (text := environment(engine, who))
    ]


def machines(engine: Engine, there: Environment, lost: Sequence[str]) -> str:
    """That some machines of an environment are gone, and are made from scratch. Raises EngineError."""
    names = " and ".join(filter(None, [", ".join(lost[:-1]), lost[-1]]))
    return (
        f"{names} {'is' if len(lost) == 1 else 'are'} gone, with the work there. Either a labenv command was interrupted, or "
        "another program, such as `docker container prune`, removed what did not run. Made from scratch, as at stage "
        f"{there.stage}. "
        f"{way_back(engine, there.student.id)}"
    )


def way_back(engine: Engine, student_id: str) -> str:
    """Since when work is lost, and how to have back what is not. Raises EngineError."""
    saves = save_store.found(engine, student_id)
    if not saves:
        return "There is no save of it."
    last = saves[-1]
    return (
        f"What was done since the save {last.name} of {_time(last.made.timestamp())} is lost. To go back to it: "
        f"labenv restore {last.name} -s {student_id}"
    )


def _time(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment):%Y-%m-%d %H:%M}"
