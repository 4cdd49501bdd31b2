"""Many things at once, as many as the computer bears, each with its own result."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import TypeVar

from labenv.classroom.running.pace import MOST, Answers, Pace, Processors
from labenv.computer import Computer
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError
from labenv.events import Event, Listener
from labenv.parallel import Together
from labenv.text import many, one_line

T = TypeVar("T")
R = TypeVar("R")

_TICK = 0.25  # seconds between two looks at the computer
_NAMED = 3  # of those that run, in a line about the progress
STEP = "class"


def paced(
    items: Sequence[T],
    work: Callable[[T], R],
    listen: Listener,
    *,
    name: Callable[[T], str],
    doing: str = "working",
    room: Callable[[int], str] = lambda _: "",
    elsewhere: bool = False,
) -> Iterator[tuple[T, R | LabenvError]]:
    """Do the work for each item, several at a time, and yield each with its result or its error, as they end.

    How many run at once is measured (labenv.classroom.running.pace), on the computer itself, or with `elsewhere` by how long they
    take. `room` is asked before one begins, with the number that would run then: it returns a sentence if there is no room for it.
    Then it begins when another has ended; and if none runs that could make room, it and all further ones get that sentence as an
    error. `doing` says in the progress what is done, `name` for whom. Nobody's error stops the others, not even a mistake in
    labenv: it becomes a LabenvError. The caller's own work between two items holds up those that have not begun.
    """
    if not items:
        return
    here = Computer()
    pace: Pace = Answers() if elsewhere or not here.read("proc/stat") else Processors(here)
    waiting, running = deque(items), dict[Future[tuple[R | LabenvError, float]], T]()
    listen(Event(STEP, doing, "start"))
    with Together(MOST) as pool:
        while waiting or running:
            reason = ""
            while waiting and len(running) < pace.limit and not (reason := room(len(running) + 1)):
                item = waiting.popleft()
                running[pool.submit(_timed, work, item)] = item
            if reason and not running:
                yield from ((item, EngineError(reason)) for item in waiting)
                break
            _tell(listen, [name(item) for item in running.values()], len(items) - len(waiting) - len(running))
            ended, _ = wait(running, _TICK, FIRST_COMPLETED)
            pace.look(len(running))
            for future in ended:
                result, seconds = future.result()
                pace.ended(seconds)
                yield running.pop(future), result
    listen(Event(STEP, doing, "done"))


def of_one(listen: Listener, name: str, said: set[str] | None = None) -> Listener:
    """A listener for what is done for one of many: it passes on, with the name, what a person should know, and no progress.

    What is in `said` is not passed on again: what is true of the computer would be said for each.
    """

    def tell(event: Event) -> None:
        if event.kind in ("note", "warn") and (said is None or event.message not in said):
            if said is not None:
                said.add(event.message)
            listen(replace(event, step=f"{name} {event.step}"))

    return tell


def for_each(
    engine: Engine,
    there: Sequence[Environment],
    work: Callable[[Engine, Environment, Listener], R],
    listen: Listener,
    doing: str,
    room: Callable[[int], str] = lambda _: "",
) -> Iterator[tuple[str, R | LabenvError]]:
    """Do the work for each environment, and yield each student with its result or error, as `paced` does.

    The work gets an engine with a patience of its own, and a listener for that student.
    """
    said: set[str] = set()

    def one(environment: Environment) -> R:
        return work(
            engine.holding(environment.student.id).apart(), environment, of_one(listen, environment.student.id, said)
        )

    whose = paced(
        there,
        one,
        listen,
        name=_student,
        doing=f"{doing} {many(len(there), 'environment')}",
        room=room,
        elsewhere=not engine.is_local,
    )
    return ((environment.student.id, result) for environment, result in whose)


def _student(environment: Environment) -> str:
    return environment.student.id


def _timed(work: Callable[[T], R], item: T) -> tuple[R | LabenvError, float]:
    """The result or the error, and the seconds that it took."""
    began = time.monotonic()
    result: R | LabenvError
    try:
        result = work(item)
    except LabenvError as error:
        result = error
    except Exception as error:
        result = LabenvError(
            f"labenv itself failed. Please report it: {type(error).__name__}: {one_line(str(error))[:300]}"
        )
        result.__cause__ = error
    return result, time.monotonic() - began


def _tell(listen: Listener, names: list[str], done: int) -> None:
    """Tell how far it is: the numbers first, because a narrow terminal leaves out the end."""
    more = ", …" if len(names) > _NAMED else ""
    listen(Event(STEP, f"{done} done, {len(names)} under way: {', '.join(names[:_NAMED])}{more}"))
