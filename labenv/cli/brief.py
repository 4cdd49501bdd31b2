"""A report that fits a screen: finished headings in one line each, what fails and why, what waits, warnings, what to do next.

Where no terminal is, it is the same, with nothing cut.
"""

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from labenv.cli import fold
from labenv.cli.sheet import STYLES, sign_of
from labenv.sheet import guide, progress
from labenv.text import many

if TYPE_CHECKING:
    from labenv.checks.results import Report
    from labenv.lab.model import Lab
    from labenv.sheet.progress import Heading, Mark, StepProgress

_ENDLESS = 1 << 20  # columns and lines where no terminal is
_LEAST = 3  # lines that a step that fails has at least
_ON_THE_SHEET = 4  # lines of the sentence about what is next, in the narrowest terminal
_MARGIN = 2
_LOWEST = 16  # lines; a terminal that says less probably does not know


def height(taken: int = 3) -> int | None:
    """The lines of the terminal on stdout without those that something else takes; None if it is no terminal.

    By default these are the command, what is left of its progress, and the next prompt.
    """
    return max(_LOWEST, shutil.get_terminal_size().lines - taken) if sys.stdout.isatty() else None


def lines(report: "Report", lab: "Lab", columns: int | None, rows: int | None) -> list[Text]:
    """The report in so many columns and rows; None where no terminal is."""
    there = progress.headings(report, lab)
    paper = _Paper(columns or _ENDLESS)
    last = [*paper.folded(progress.counted(there)), *_next(report, lab, paper)]
    finished = [line for heading in there if _is_finished(heading) for line in [_line(heading, paper)]]
    open_ = [row for heading in there if not _is_finished(heading) for row in heading.rows]
    waiting = paper.some([_waiting(open_), _persons(open_)])
    room = (rows or _ENDLESS) - len(finished) - len(waiting) - len(last)
    steps = [row for heading in there for row in heading.rows]
    failing = _steps(steps, "fail", "fail", room, paper)
    room -= len(failing)
    doubted = _steps(steps, "warn", "pass with a warning", room, paper) if room > 0 else []
    room -= len(doubted)
    noted = _noted(report.notes, room, paper)
    room -= len(noted)
    blocks = [block for block in (finished, [*failing, *waiting, *doubted, *noted]) if block]
    gaps = len(blocks) if len(blocks) <= room else 0
    return [line for block in blocks for line in [*block, *[Text()] * bool(gaps)]] + last


def _is_finished(heading: "Heading") -> bool:
    return all(row.mark not in ("fail", "skip") for row in heading.rows)


class _Paper:
    """Lines of so many columns."""

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def folded(self, text: str, style: str = "", *, hang: int = 0, most: int = _ENDLESS) -> list[Text]:
        """A text on at most so many lines, the last one ending with … where some is left out."""
        parts = [line for part in text.splitlines() for line in fold.fold(part, self.columns, hang=hang)]
        if len(parts) > most:
            parts = [*parts[: most - 1], self.cut(parts[most - 1], "…", always=True)]
        return [Text(part, style=style) for part in parts]

    def cut(self, text: str, end: str, *, always: bool = False) -> str:
        """A text with an end, on one line: words are left out before the end, for an …, where there is no room for all of them."""
        if not always and fold.size(text + end) <= self.columns:
            return text + end
        words = text.split(" ")
        end = end if end.startswith("…") else f"…{end}"
        while len(words) > 1 and fold.size(" ".join(words) + end) > self.columns:
            words.pop()
        return " ".join(words) + end

    def some(self, texts: Iterable[tuple["Mark", str] | None]) -> list[Text]:
        """Each text there is, behind its mark."""
        found = []
        for mark, text in filter(None, texts):
            found += self.folded(f"{sign_of(mark)} {text}", STYLES[mark], hang=len(sign_of(mark)) + 1, most=3)
        return found


def _line(heading: "Heading", paper: _Paper) -> Text:
    """A finished heading, with how many steps it has."""
    marks = [row.mark for row in heading.rows]
    mark = heading.mark
    counts = [many(len(marks), "step")]
    words: tuple[tuple[Mark, str], ...] = (("warn", "with a warning"), ("ticked", "ticked"), ("person", "for you"))
    if marks == ["person"] * len(marks):
        counts = [f"{counts[0]} for you"]
    else:
        counts += [f"{marks.count(other)} {word}" for other, word in words if other in marks]
    end = f": {', '.join(counts)}"
    return Text(paper.cut(f"{sign_of(mark)} {heading.text}", end), style=STYLES[mark] if mark != "pass" else "")


def _steps(rows: Iterable["StepProgress"], mark: "Mark", verb: str, room: int, paper: _Paper) -> list[Text]:
    """The steps with that mark and what was seen, as far as there is room, and the numbers of the others."""
    left = [row for row in rows if row.mark == mark]
    found: list[Text] = []
    while left:
        block = _step(left[0], paper)
        rest = _rest(left[1:], mark, verb, paper)
        fits = room - len(found) - len(rest)
        if len(block) > fits and (found or mark != "fail"):
            break
        found += block[: max(_LEAST, fits)]
        left.pop(0)
    return found + (_rest(left, mark, verb, paper) if len(found) < room or mark == "fail" else [])


def _step(row: "StepProgress", paper: _Paper) -> list[Text]:
    """A step, what was seen there, and the sheet's own error, if there is one."""
    mark = sign_of(row.mark)
    margin = len(mark) + _MARGIN + 3 + _MARGIN
    title = f"{mark}{' ' * _MARGIN}{row.step.id:>3}{' ' * _MARGIN}{row.machines}: {row.step.title}"
    found = paper.folded(title, f"bold {STYLES[row.mark]}", hang=margin)
    for sentence in row.seen:
        found += paper.folded(" " * margin + sentence, STYLES[row.mark], hang=margin)
    if row.note:
        found += paper.folded(f"{' ' * margin}Note: {row.note}", "yellow", hang=margin)
    return found


def _rest(rows: Sequence["StepProgress"], mark: "Mark", verb: str, paper: _Paper) -> list[Text]:
    if not rows:
        return []
    numbers = [row.step.id for row in rows]
    text = f"{len(rows)} more {verb if len(rows) > 1 else _one(verb)}: {', '.join(numbers)}. To see why: labenv check {numbers[0]}"
    return paper.folded(f"{sign_of(mark)} {text}", STYLES[mark], hang=len(sign_of(mark)) + 1, most=2)


def _one(verb: str) -> str:
    first, _, rest = verb.partition(" ")
    return f"{first}{'es' if first.endswith('s') else 's'} {rest}".rstrip()


def _waiting(rows: Iterable["StepProgress"]) -> tuple["Mark", str] | None:
    """Which steps wait, and for which."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.mark == "skip":
            groups.setdefault(row.seen[0], []).append(row.step.id)
    if not groups:
        return None
    count = sum(map(len, groups.values()))
    told = [f"{', '.join(steps)} ({why.removeprefix('waits ')})" for why, steps in groups.items()]
    return "skip", f"{count} {'waits' if count == 1 else 'wait'}: {'; '.join(told)}"


def _persons(rows: Iterable["StepProgress"]) -> tuple["Mark", str] | None:
    """Which steps are for a person to judge."""
    steps = [row.step.id for row in rows if row.mark == "person"]
    return ("person", f"for you to judge: {', '.join(steps)}") if steps else None


def _noted(notes: Sequence[str], room: int, paper: _Paper) -> list[Text]:
    found = [line for note in notes for line in paper.folded(f"- {note}", hang=2)]
    if len(found) <= room:
        return found
    return paper.folded(f"- {len(notes)} notes about programs: labenv check --all") if room > 0 else []


def _next(report: "Report", lab: "Lab", paper: _Paper) -> list[Text]:
    """What to do next; what was seen there is said above."""
    found = guide.next_step(report, lab)
    if not found.step:
        return paper.folded(found.sentence, "bold green", most=_ON_THE_SHEET)
    step = lab.steps[found.step]
    how = f": {step.how}" if step.how else ""
    text = (
        f"Next: Step {step.id} on {found.machine} ({guide.on_the_sheet(step)}){how}. For a hint: labenv hint {step.id}"
    )
    return paper.folded(text, "bold", most=_ON_THE_SHEET)
