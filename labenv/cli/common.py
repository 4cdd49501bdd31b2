"""What the commands share: options, the engine, the chosen environment, completion."""

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._click.globals import get_current_context

from labenv.cli import output
from labenv.cli.app import INTERRUPTED
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, silent
from labenv.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.lab.model import Lab

_opened: "list[Engine]" = []


def if_interrupted(what: str) -> None:
    """Have Ctrl-C say from now on what holds then: without, that what was made is kept, and that the same command continues."""
    get_current_context().meta[INTERRUPTED] = (what,)


def open_engine(listen: Listener, *, start: bool = True) -> "Engine":
    """The engine that a command is about: the one that answers, or the node of a swarm that has the environment of -s STUDENT.

    If none answers and `start` is set, one is started or installed. Raises EngineError.
    """
    from labenv.swarm import leases

    engine = open_local_engine(listen, start=start)
    student = _named()
    if student and leases.is_placed(student):
        from labenv.swarm import where

        if node := where.engine_of(engine, student):
            _opened[:] = [node]
    return _opened[0]


def open_all(listen: Listener, *, start: bool = True) -> "Engine":
    """The same for a command that may be about all students: where a swarm is managed, without -s, all its nodes. Raises EngineError."""
    from labenv.swarm import leases

    if _named() or not leases.is_kept():
        return open_engine(listen, start=start)
    from labenv.engine import swarm
    from labenv.swarm.where import Fleet

    engine = open_local_engine(listen, start=start)
    return Fleet(engine) if swarm.is_manager(engine) else engine


def open_shared(listen: Listener) -> "Engine":
    """The same for a program that runs on: on a swarm, all its nodes, as the environment may go from one to another. Raises EngineError."""
    from labenv.swarm import leases, where

    student = _named()
    return where.Fleet(open_local_engine(listen)) if student and leases.placed(student) else open_engine(listen)


def open_local_engine(listen: Listener, *, start: bool = True) -> "Engine":
    """The engine that answers here, also where this is the manager of a swarm. Otherwise as `open_engine`."""
    from labenv.engine import Engine
    from labenv.engine.find import connect

    start = start and not output.is_guest()
    _opened[:] = [Engine(connect(listen, start=start, confirm=lambda text: typer.confirm(text, err=True)))]
    return _opened[0]


def open_manager(listen: Listener) -> "Engine":
    """This computer's engine, which manages a swarm of labenv's. Raises EngineError if it does not."""
    from labenv.engine import swarm
    from labenv.swarm import leases

    engine = open_local_engine(listen)
    if not swarm.is_manager(engine):
        told = swarm.state(engine).get("LocalNodeState", "inactive")
        if told == "active":
            raise EngineError(
                "This computer is in a swarm, and does not manage it (or its manager has lost the others). Type the command on the manager."
            )
        raise EngineError("This engine is in no swarm. Make one: labenv swarm init")
    if not leases.is_kept():
        raise EngineError(
            "This engine manages a swarm that labenv has not set up for this user. To do so, which changes nothing in it: labenv swarm init"
        )
    return engine


def _named() -> str | None:
    """The student whom the command names with -s, or LABENV_STUDENT."""
    context = get_current_context(silent=True)
    named = context.params.get("student") if context else None
    return named if isinstance(named, str) else None


def tell_of_loss(environment: "Environment", listen: Listener, *, quiet: bool = False) -> None:
    """Say what the student lost lately with a server of a swarm, if anything, unless a program reads what the command says."""
    from labenv.swarm import leases

    lease = leases.placed(environment.student.id)
    if lease and leases.news(lease) and not quiet:
        listen(Event("swarm", " ".join(leases.told(lease)), "warn"))


def full_disks() -> "Iterator[str]":
    """Which disks are full, the engine's and that of labenv's own files: why a command may have failed. Raises nothing."""
    if not _opened:
        return
    from labenv import places
    from labenv.engine import disk

    with suppress(LabenvError):
        there = disk.of(_opened[0])
        if there and there.is_full:
            yield disk.said(there, _opened[0])
    own = disk.looked_at(places.nearest(places.state()))
    if own and own.is_full:
        yield (
            f"The disk is full where labenv keeps histories ({places.state()}): {own.left}. Free some space: what the machines "
            f"have recorded waits there, and is stored then."
        )


def chosen(engine: "Engine", student: str | None) -> "Environment":
    """The student's environment, or the only one there is. Raises EngineError, UsageError."""
    from labenv.environments import choose

    return choose.chosen(engine, student)


def lab_of(environment: "Environment", *, json: bool = False) -> "Lab":
    """The lab of an environment: for JSON as its author wrote it, else with its texts in the language that the user reads."""
    from labenv.lab import labs

    return (labs.of if json else labs.spoken_of)(environment)


def count_look(engine: "Engine", environment: "Environment", listen: Listener) -> None:
    """If a drill is running, count this use of the lab's checks. Raises EngineError."""
    from labenv.engine import save_store

    if save_store.has_drill(engine, environment.student.id):
        from labenv.sheet import drill

        drill.looked(engine, environment, listen)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout, and nothing else there."""
    output.as_it_is(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def write_text(file: Path, text: str, *, private: bool = False) -> None:
    """Write a file that the user named, and say so; a `private` one is the user's alone. Raises UsageError if it cannot be written."""
    try:
        if private and not file.exists():
            file.touch(0o600)
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}. Choose another file.") from error
    print(f"Wrote {file}", file=sys.stderr)


def duration(option: str, text: str) -> float:
    """The seconds of a time such as 30s, 5m or 1h, as an option has it. Raises UsageError for another text, and for no time at all."""
    match = re.fullmatch(r"(\d{1,6})([smh]?)", text)
    if not match or not int(match[1]):
        raise UsageError(f"{option} needs a time such as 30s, 5m or 1h, and {shown(text) or 'nothing'} is none.")
    return int(match[1]) * {"m": 60.0, "h": 3600.0}.get(match[2], 1.0)


def check_writable(file: Path) -> None:
    """Raise UsageError, before anything else is done, for a report that cannot be written."""
    there = os.path.lexists(file)
    try:
        with file.open("ab"):
            pass
    except OSError as error:
        raise UsageError(f"The report {file} cannot be written: {error.strerror}. Choose another file.") from error
    if not there:
        file.unlink()  # there is no result to write yet


def _there() -> "list[Environment]":
    try:
        return open_engine(silent, start=False).environments()
    except LabenvError:  # completion stays quiet
        return []


def complete_student(incomplete: str) -> list[str]:
    """The students that have an environment."""
    return [e.student.id for e in _there() if e.student.id.startswith(incomplete)]


def complete_machine(ctx: typer.Context, incomplete: str) -> list[str]:
    """The machines of the chosen student's environment, or of all."""
    student = ctx.params.get("student")
    found = {m.name: None for e in _there() if student in (None, e.student.id) for m in e.machines}
    return [name for name in found if name.startswith(incomplete)]


def complete_stage(ctx: typer.Context, incomplete: str) -> list[str]:
    """The stages of the lab that --lab names; without that option, of the chosen student's lab, or of all that are there."""
    from labenv.lab import labs

    try:
        if "lab" in ctx.params:
            wanted = [labs.load(ctx.params["lab"] or labs.default())]
        else:
            student = ctx.params.get("student")
            wanted = [labs.of(e) for e in _there() if student in (None, e.student.id)]
    except LabenvError:  # completion stays quiet
        return []
    found = dict.fromkeys(stage.id for lab in wanted for stage in lab.stages)
    return [name for name in found if name.startswith(incomplete)]


def lab_at_hand(ctx: typer.Context) -> "Lab":
    """The lab of the environment that is meant, or else the default one."""
    from labenv.lab import labs

    try:
        return labs.of(chosen(open_engine(silent, start=False), ctx.params.get("student")))
    except LabenvError:  # completion stays quiet
        return labs.load(labs.default())


def complete_lab(incomplete: str) -> list[str]:
    """The labs that are found by a name."""
    from labenv.lab import labs

    return [name for name in labs.names() if name.startswith(incomplete)]


def complete_profile(ctx: typer.Context, incomplete: str) -> list[str]:
    """The profiles of the topology that the other options name: the lab's, or one of the user's own."""
    from labenv.lab import labs, topology
    from labenv.student import Student

    try:
        lab = labs.load(ctx.params.get("lab") or labs.default())
        file = ctx.params.get("topology")
        there = topology.load_for(lab, Path(file) if file else None, Student("anyone", 2, "any", ""))
    except LabenvError:  # completion stays quiet
        return []
    return [name for name in there.profiles if name.startswith(incomplete)]


def complete_save(ctx: typer.Context, incomplete: str) -> list[str]:
    """The saves of the chosen student, or of all."""
    from labenv.engine import save_store

    try:
        there = save_store.found(open_engine(silent, start=False), ctx.params.get("student"))
    except LabenvError:  # completion stays quiet
        return []
    return [save.name for save in there if save.name.startswith(incomplete)]


StudentOption = Annotated[
    str | None,
    typer.Option(
        "--student",
        "-s",
        envvar="LABENV_STUDENT",
        autocompletion=complete_student,
        help="The student id. Not needed while there is only one environment.",
    ),
]
MachineArgument = Annotated[
    str,
    typer.Argument(
        metavar="MACHINE",
        autocompletion=complete_machine,
        help="A machine of the environment; labenv status lists them.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
SaveArgument = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_save, help="Name of the save.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
PatchOption = Annotated[bool, typer.Option("--patch", "-p", help="Show the added and removed lines.")]
NoPagerOption = Annotated[
    bool, typer.Option("--no-pager", help="Do not show what exceeds the screen in a pager (LABENV_PAGER, PAGER, less).")
]
