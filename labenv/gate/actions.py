"""What stands behind a word of the menu: whether the class allows it now, and which command of labenv does it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from labenv.classroom.folder.model import Assignment, Class
from labenv.classroom.serving import keys as own_keys
from labenv.classroom.serving import received
from labenv.engine import save_store
from labenv.environment import Environment, Machine
from labenv.errors import EngineError, UsageError
from labenv.gate.commands import allowed
from labenv.gate.programs import labenv
from labenv.gate.state import Gate
from labenv.lab import labs
from labenv.sheet import logbook
from labenv.swarm.where import AwayError
from labenv.text import one_line

_SAVE = ("save", "restore", "drill", "advance")  # what makes a save


@dataclass
class Action:
    """What is to be run: labenv with these arguments, in a folder; or instead a program in a machine.

    `after` takes the exit code, and says what else the student has to know; `over` is called in any case.
    """

    arguments: list[str] = field(default_factory=list)
    folder: Path = Path("/")
    environment: Environment = None  # type: ignore[assignment]  # set wherever `in_machine` is
    in_machine: tuple[Machine, list[str]] | None = None
    after: Callable[[int], str] = lambda _: ""
    over: Callable[[], None] = lambda: None


def assignment_of(of: Class, environment: Environment | None) -> Assignment | None:
    """The lab that a student works on: the environment's, else the last that is open; None if there is none."""
    try:
        return of.assignment(environment.lab if environment else None)
    except UsageError:
        return None


async def environment(gate: Gate, student: str) -> Environment:
    """The student's environment. Raises UsageError, EngineError if there is none."""
    return _there(await gate.environment(student))


def find(gate: Gate, student: str) -> Environment:
    """The same, in a thread."""
    return _there(gate.find(student))


def _there(found: Environment | None) -> Environment:
    if found is None:
        raise EngineError("You have no machines yet. Make them: start")
    return found


def machine_of(environment: Environment, name: str) -> Machine:
    """The machine of that name, if it runs. Raises UsageError, EngineError."""
    there = {machine.name: machine for machine in environment.machines}
    if name not in there:
        raise UsageError(f"You have no machine {one_line(name)[:40]}. Your machines are: {', '.join(there)}.")
    if there[name].state != "running":
        raise EngineError(f"{name} is {there[name].state}. Start your machines: start")
    return there[name]


async def prepare(gate: Gate, student: str, typed: Sequence[str]) -> Action:
    """What is to be done for a line of the menu. Raises UsageError for what is not allowed, or not now; EngineError."""
    match typed[0]:
        case "start":
            return await _start(gate, student, typed[1:])
        case "stop":
            await environment(gate, student)
            return Action(labenv("class", "stop", "-c", str(gate.of.folder), "--only", student))
    arguments = allowed(typed, student)
    there = await environment(gate, student)
    if arguments[:2] == ["drill", "start"]:
        arguments[2:2] = _among(assignment_of(gate.current(), there), arguments)
    if typed[0] == "advance":
        arguments = _advance(gate.current(), there, arguments)
    arguments = labenv(*arguments)
    match typed[0]:
        case "submit":
            return await asyncio.to_thread(_submit, gate.current(), student, there, arguments, typed)
        case "logbook" if {"--edit", "-e"} & set(typed):
            keeper = machine_of(there, logbook.keeper(labs.of(there)))
            await asyncio.to_thread(logbook.read, gate.engine_of(student), there)  # it makes one that is missing
            return Action(environment=there, in_machine=(keeper, ["nano", logbook.PATH]))
        case name if name in _SAVE:
            await asyncio.to_thread(_check_saves, gate, student)
    return Action(arguments)


def check(gate: Gate, student: str, typed: Sequence[str]) -> None:
    """Raise UsageError if a student may not do what a line of the menu does, or not now; for a thread."""
    allowed(typed, student)
    if typed[0] in _SAVE:
        _check_saves(gate, student)


def keys(of: Class, student: str, rest: Sequence[str]) -> str:
    """List, add or remove the keys that a student brought; what to say. Raises UsageError."""
    match list(rest):
        case ["add", *words] if words:
            key = own_keys.bare(" ".join(words))
            _fingerprint(key)
            own_keys.bring(of, student, key)
            return f"Added {_fingerprint(key)}. From now on you need no password with it."
        case ["remove", number] if number.isdecimal() and len(number) < 4:
            own_keys.remove(of, student, int(number))
            return "Removed."
        case []:
            there = own_keys.brought(of, student)
            each = [f"{number}  {_fingerprint(key)}" for number, key in enumerate(there, 1)]
            return "\n".join(each) or "You have added no key. To add one: key add, then the one line of your .pub file."
    raise UsageError("Use: key, key add ssh-ed25519 AAAA..., or key remove 1")


def _fingerprint(key: str) -> str:
    import asyncssh  # only for who brings a key: the rest of this module needs none

    try:
        found = asyncssh.import_public_key(key)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise UsageError(
            "This is no public key. Paste the one line of your .pub file: key add ssh-ed25519 AAAA..."
        ) from error
    return f"{found.get_algorithm()} {found.get_fingerprint()}"


async def _start(gate: Gate, student: str, rest: Sequence[str]) -> Action:
    of = gate.current()
    try:
        there = await gate.environment(student)
    except AwayError:  # `class up` waits for it
        there = None
    lab = next((word for word in rest if word != student), None)  # `up ID` is what labenv's own sentences say
    if there and lab not in (None, there.lab):
        raise UsageError(f"Your machines are those of {there.lab}. Ask your teacher before you begin another lab.")
    assignment = of.assignment(there.lab if there else lab)
    if not assignment.is_open(datetime.now(UTC)):
        raise UsageError(f"{assignment.name} is not open yet.")
    if student in gate.starting:
        raise UsageError("Your machines are being started already. Wait a moment.")
    if of.limits.at_once is not None:
        everybody = await asyncio.to_thread(gate.shared.environments)
        on = {
            e.student.id
            for e in everybody
            if e.belongs.class_id == of.id and any(m.state == "running" for m in e.machines)
        }
        if len((on | gate.starting) - {student}) >= of.limits.at_once:
            raise UsageError(
                f"{of.limits.at_once} environments run, as many as this server has room for. Try again later."
            )
    gate.starting.add(student)
    # An evening begins with everybody's start at once: the checks are for who types check.
    arguments = labenv("class", "up", "-c", str(of.folder), "--only", student, "--lab", assignment.name, "--no-check")
    return Action(arguments, over=lambda: gate.starting.discard(student))


def _submit(of: Class, student: str, there: Environment, arguments: list[str], typed: Sequence[str]) -> Action:
    now = datetime.now(UTC)
    assignment = assignment_of(of, there)
    if assignment is None:
        raise UsageError(f"{of.name} has no lab {there.lab}, so there is nobody to hand it in to.")
    file = received.file_for(of, assignment, student, now)
    arguments = [*arguments, "--", file.name]
    if "--dry-run" in typed:
        return Action(arguments, file.parent)

    def after(_: int) -> str:
        if not file.is_file():
            return ""
        count = len(received.list_(of, assignment, student))
        allowed_ = f" of {assignment.attempts}" if assignment.attempts is not None else ""
        when = f"{now.astimezone(of.zone):%Y-%m-%d %H:%M:%S}"
        return (
            f"Handed in: {assignment.name} at {when}, {received.said(assignment, now, of)}. Attempt {count}{allowed_}."
        )

    return Action(arguments, file.parent, after=after)


def _among(assignment: Assignment | None, arguments: Sequence[str]) -> list[str]:
    """The option that keeps a choice to the drills of the class, if it uses some only. Raises UsageError if another is named."""
    if not assignment or not assignment.drills:
        return []
    mine = ", ".join(assignment.drills)
    if "--" in arguments and (name := arguments[-1]) not in assignment.drills:
        raise UsageError(f"Your class does not use the drill {name}. Its drills for {assignment.name} are: {mine}.")
    return ["--among", ",".join(assignment.drills)]


def _advance(of: Class, there: Environment, arguments: Sequence[str]) -> list[str]:
    """The arguments with the lab of the class that a student goes on to. Raises UsageError if there is none, or if it is not open yet."""
    options, named = list(arguments), None
    if "--" in options:
        *options, _, named = options
    after = labs.next_after(labs.of(there))
    mine = [each for each in of.labs if each.name in after and named in (None, each.name)]
    if not mine:
        which = f"no lab {one_line(named)[:40]}" if named else "no lab"
        raise UsageError(f"{of.name} has {which} that begins where {there.lab} ends.")
    if not mine[0].is_open(datetime.now(UTC)):
        raise UsageError(f"{mine[0].name} is not open yet.")
    return [*options, "--", mine[0].name]


def _check_saves(gate: Gate, student: str) -> None:
    """Raise UsageError if the student has as many saves as the class allows: these commands make one more."""
    most = gate.of.limits.saves
    if most is not None and len(save_store.found(gate.engine_of(student), student)) >= most:
        raise UsageError(f"You have {most} saves, as many as your class allows. Remove one: saves --remove NAME")
