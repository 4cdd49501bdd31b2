"""Looking back on an environment: its history as it stands now, and the moment that a word means."""

from datetime import datetime

from labenv.engine import Engine, save_store
from labenv.engine.save_store import Save
from labenv.environment import Environment
from labenv.environments import history
from labenv.environments.history import reference, story
from labenv.environments.history.repository import Repository
from labenv.errors import EngineError, UsageError
from labenv.events import Listener
from labenv.lab import labs


def opened(engine: Engine, environment: Environment, listen: Listener) -> Repository:
    """The history of an environment, with what has just been changed.

    Raises EngineError if there is none, UsageError while a drill runs, which it would give away.
    """
    if not history.has_git():
        raise EngineError(
            "There is no git on this computer, so no history is save_store. Install it, then go on as before."
        )
    if save_store.has_drill(engine, environment.student.id):
        raise UsageError(
            "A drill is running, and its history would tell what was broken. End it first: labenv drill check"
        )
    history.collect_now(engine, environment, listen)
    book = Repository(environment)
    if not book.began():
        raise EngineError(
            f"There is no history of {environment.student.id}'s environment: it was made by another version of labenv, or "
            f"none of its machines runs."
        )
    return book


def moment(engine: Engine, environment: Environment, book: Repository, since: str | None, *, teacher: bool) -> str:
    """The commit that is meant. Raises UsageError."""
    if since is None:
        return book.start()
    lab = labs.load(environment.lab)
    for save in saves(engine, environment):
        if save.name == since:
            return book.kept_by(save.made.timestamp())
    if since in [stage.id for stage in lab.stages]:
        if not teacher:
            raise UsageError("What a stage looks like in the reference solution is for teachers: --teacher shows it.")
        return book.reference(reference.files(environment, since, set(book.files(book.tip()))))
    if (time := story.moment(since, datetime.now().astimezone())) is None:
        raise UsageError(
            f"{since!a} is no stage, no save and no time. A time is 10:30, '2026-11-23 10:30', '20 minutes ago' or yesterday."
        )
    return book.at(int(time.timestamp()))


def saves(engine: Engine, environment: Environment) -> list[Save]:
    """The saves of an environment, which are moments as well. Raises EngineError."""
    return save_store.found(engine, environment.student.id)
