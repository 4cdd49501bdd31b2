"""The menu: plain lines that fit 80 columns and 24 lines, without a colour, on any terminal."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from labenv.classroom.folder.model import Assignment, Class
from labenv.environment import Environment
from labenv.gate.commands import COMMANDS, OWN, SAME
from labenv.gate.held import Held
from labenv.text import one_line

_WIDE = 79
_FIRST = "shell"
ROWS: dict[str, str] = {
    _FIRST: OWN[_FIRST],
    **{name: command.says for name, command in COMMANDS.items() if command.in_menu},
    **{name: says for name, says in OWN.items() if name != _FIRST},
}
NAMES = tuple(ROWS)


def top(of: Class, assignment: Assignment | None, environment: Environment | None, away: str = "") -> list[str]:
    """The lines above the menu: the class, the lab with its due date, and the machines, or why they are `away` now."""
    lab = environment.lab if environment else assignment.name if assignment else ""
    due = f", due {said(assignment.due, of)}" if assignment and assignment.due else ""
    return [_cut(f"{of.name}{f': {lab}{due}' if lab else ''}"), away or _cut(machines(environment))]


def machines(environment: Environment | None) -> str:
    """One line about the machines."""
    if environment is None:
        return "You have no machines yet. To make them: start"
    states = {machine.state for machine in environment.machines}
    names = " ".join(machine.name for machine in environment.machines)
    if states == {"running"}:
        return f"Your machines run: {names}"
    if "running" not in states:
        return f"Your machines are stopped: {names}. To start them: start"
    return "Your machines: " + ", ".join(f"{m.name} {m.state}" for m in environment.machines) + ". To start all: start"


def rows() -> list[str]:
    """The menu itself."""
    return [_cut(f"{number:>3} {name:<8} {says}") for number, (name, says) in enumerate(ROWS.items(), 1)]


def running(held: Sequence[Held], of: Class) -> list[str]:
    """What still runs, and how to return to it; nothing if there is nothing."""
    if not held:
        return []
    each = ", ".join(f"{n} {one.title} (since {one.began.astimezone(of.zone):%H:%M})" for n, one in enumerate(held, 1))
    return [
        _cut(f"Still running: {one_line(each)}"),
        "To return to it: back" + (", or back 2" if len(held) > 1 else ""),
    ]


def meant(words: Sequence[str]) -> list[str]:
    """What was typed with the command's name in place of its number in the menu, or of another word for it."""
    name, *rest = words
    if name.isdecimal() and len(name) < 4 and 1 <= int(name) <= len(NAMES):
        name = NAMES[int(name) - 1]
    return [SAME.get(name.lower(), name.lower()), *rest]


def said(moment: datetime | None, of: Class) -> str:
    """A time in the time zone of the class."""
    return f"{moment.astimezone(of.zone):%a %d %b %Y %H:%M} ({of.zone})" if moment else ""


def which(names: Iterable[str]) -> str:
    """The machines that there are, for a sentence."""
    return f"Your machines are: {', '.join(names)}"


def _cut(line: str) -> str:
    line = one_line(line)
    return line if len(line) <= _WIDE else f"{line[: _WIDE - 3]}..."
