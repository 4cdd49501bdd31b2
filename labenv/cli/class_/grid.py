"""The rows of a class as lines: a sign for each step, and what else is known of each student, in so many columns."""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from labenv.classroom.running import row_words
from labenv.classroom.running.row_words import SIGNS, STATES, UNKNOWN, ago
from labenv.cli import fold
from labenv.cli.output import sign
from labenv.cli.sheet import STYLES
from labenv.text import many, one_line

if TYPE_CHECKING:
    from labenv.classroom.running.board import Row
    from labenv.lab.model import Lab

_GAP = "  "
_HEADING = ("state", "stuck at", "for", "hints", "drills", "active", "checked")
_LONGEST_NAME = 20


def lines(
    rows: "Sequence[Row]", lab: "Lab", columns: int | None, steps: Collection[str] | None = None
) -> list[list[Text]]:
    """The heading, then the lines of each row, all of at most so many columns (None: as wide as they are); of these `steps`, or of all."""
    wanted = [step for step in lab.steps.values() if not steps or step.id in steps]
    groups = [[step.id for step in under] for _, under in groupby(wanted, key=lambda step: step.heading)]
    name = max([len("student"), *(min(_LONGEST_NAME, len(row.student)) for row in rows)])
    nodes = [row_words.server(row) for row in rows]
    facts = [(*_facts(row), *([node] if any(nodes) else [])) for row, node in zip(rows, nodes, strict=True)]
    heading = (*_HEADING, *(["node"] if any(nodes) else []))
    wide = [max(len(word) for word in column) for column in zip(heading, *facts, strict=True)]
    strips = [_strip(row, groups) for row in rows]
    ruler = Text(_ruler(groups), style="bold")
    size = max((len(strip) for strip in strips), default=0)
    ruler.pad_right(max(0, size - len(ruler)))
    head = Text("student".ljust(name) + _GAP, style="bold")
    if columns is None or name + len(ruler) + sum(wide) + len(_GAP) * (len(wide) + 1) <= columns:
        found = [[Text.assemble(head, ruler, _GAP, (_joined(heading, wide), "bold"))]]
        for row, strip, words in zip(rows, strips, facts, strict=True):
            strip.pad_right(len(ruler) - len(strip))
            found.append([Text.assemble(_name(row, name), strip, _GAP, _joined(words, wide))])
        return found
    room = columns - name - len(_GAP)
    narrow = len(ruler) > room
    found = [[Text.assemble(head, part) for part in ([Text()] if narrow else [ruler])]]
    margin = " " * (name + len(_GAP))
    for row, strip in zip(rows, strips, strict=True):
        signs = _wrapped(strip, room) if row.marks else []
        said = [Text(line, style="" if row.stuck else "dim") for line in fold.fold(_sentence(row), room)]
        first, *rest = [*signs, *said]
        found.append([Text.assemble(_name(row, name), first), *(Text.assemble(margin, part) for part in rest)])
    return found


def show(rows: "Sequence[Row]", lab: "Lab", below: Iterable[str], steps: Collection[str] | None = None) -> None:
    """Print the rows, what is to be said of single ones, and the lines below them."""
    columns = fold.width()
    console = Console(highlight=False, soft_wrap=True)
    for line in [line for block in lines(rows, lab, columns, steps) for line in block]:
        line.rstrip()
        console.print(line)
    for told in below:
        console.print(told, style="dim", markup=False)


def legend() -> str:
    """What the signs mean; nothing where there are none."""
    return row_words.legend() if not _is_plain() else ""


def _is_plain() -> bool:
    return bool(sign("", "plain"))


def _name(row: "Row", wide: int) -> Text:
    name = row.student if len(row.student) <= wide else f"{row.student[: wide - 1]}~"
    return Text(name.ljust(wide) + _GAP, style="bold" if row.stuck else "")


def _strip(row: "Row", groups: Sequence[Sequence[str]]) -> Text:
    """A sign for each step, with a blank between the parts of the sheet; for a screen reader how many there are of each."""
    if row.state in ("missing", "elsewhere"):
        return Text()
    if _is_plain():
        return Text(row_words.counts(row))
    found = Text()
    for number, group in enumerate(groups):
        found.append(" " if number else "")
        for step in group:
            mark = row.marks.get(step)
            found.append(SIGNS[mark] if mark else UNKNOWN, style=STYLES[mark] if mark else "dim")
    return found


def _ruler(groups: Sequence[Sequence[str]]) -> str:
    """The number of the first step of each part, above its sign, where there is room for it."""
    if _is_plain():
        return "steps"
    text = ""
    at = 0
    for group in groups:
        if len(text) < at or not at:
            text = text.ljust(at) + group[0]
        at += len(group) + 1
    return text


def _facts(row: "Row") -> tuple[str, ...]:
    hints = str(row.hints) if row.hints else ""
    return (
        STATES[row.state],
        row.stuck,
        ago(row.since),
        hints,
        row_words.drills(row),
        ago(row.active),
        ago(row.checked),
    )


def _sentence(row: "Row") -> str:
    """The same facts on a line of their own, for a narrow terminal."""
    parts = [STATES[row.state]]
    if node := row_words.server(row):
        parts.append(f"on {node}")
    if row.note:
        parts.append(one_line(row.note).rstrip("."))
    if row.stuck:
        parts.append(f"stuck at {row.stuck} for {ago(row.since)}")
    if row.hints:
        parts.append(many(row.hints, "hint"))
    if row.drills or row.drilling:
        parts.append(f"drills {row.fixed}/{row.drills}{', one runs' if row.drilling else ''}")
    if row.active:
        parts.append(f"active {ago(row.active)} ago")
    if row.checked:
        parts.append(f"checked {ago(row.checked)} ago")
    elif row.state in ("runs", "partly", "stopped"):
        parts.append("not checked")
    return ", ".join(parts)


def _joined(words: Sequence[str], wide: Sequence[int]) -> str:
    return _GAP.join(word.ljust(size) for word, size in zip(words, wide, strict=True)).rstrip()


def _wrapped(strip: Text, room: int) -> list[Text]:
    """The strip in lines of so many columns: without blanks between the parts if that is enough."""
    if len(strip) <= room:
        return [strip]
    if not _is_plain():
        strip = Text().join(strip.split(" "))
    return [strip[at : at + room] for at in range(0, len(strip), room)]
