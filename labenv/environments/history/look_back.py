"""Looking back on an environment: its history up to now, and the moment that a word means."""

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

WATCHED = "/etc/labenv/history"  # as images' /usr/lib/labenv/history reads it


def opened(engine: Engine, environment: Environment, listen: Listener) -> Repository:
    """The history of an environment, with the latest changes.

    Raises EngineError if there is none, LabenvError if none can be kept, UsageError for a lab without watched files, and while a drill
    runs, because the history would reveal its fault.
    """
    if not history.has_git():
        raise EngineError(
            "git is not installed on this computer, so no history is kept. Install git; the history starts with the next command."
        )
    if save_store.has_drill(engine, environment.student.id):
        raise UsageError(
            "A drill is running, and the history would show its fault. End the drill first: labenv drill check"
        )
    book = Repository(environment)
    book.prepare()
    history.collect_now(engine, environment, listen)
    if not book.began():
        lab = labs.of(environment)
        if not any(file.path == WATCHED for each in lab.sources for files in each.files.values() for file in files):
            raise UsageError(
                f"{lab.id} has no history: no machine has a file {WATCHED}, which lists the watched files."
            )
        raise EngineError(
            f"{environment.student.id}'s environment has no history here: another user has it (or root, by sudo), another "
            f"version of labenv made the environment, or none of its machines runs."
        )
    return book


def moment(engine: Engine, environment: Environment, book: Repository, since: str | None, *, teacher: bool) -> str:
    """The commit that is meant. Raises UsageError."""
    if since is None:
        return book.start()
    lab = labs.of(environment)
    for save in saves(engine, environment):
        if save.name == since:
            return book.kept_by(save.made.timestamp())
    if since in [stage.id for stage in lab.stages]:
        if not teacher:
            raise UsageError("Only teachers can compare with the reference solution of a stage: add --teacher.")
        return book.reference(reference.files(environment, since, set(book.files(book.tip()))))
    if (time := story.moment(since, datetime.now().astimezone())) is None:
        raise UsageError(
            f"{since!a} is not a stage, a save or a time. Examples of times: 10:30, '2026-11-23 10:30', '20 minutes ago', yesterday."
        )
    return book.at(int(time.timestamp()))


def saves(engine: Engine, environment: Environment) -> list[Save]:
    """The saves of an environment, which are moments too. Raises EngineError."""
    return save_store.found(engine, environment.student.id)
