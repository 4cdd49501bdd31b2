"""The class status command."""

import gc
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, fold, screen
from labenv.cli.class_.common import AssignmentOption, ClassOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from labenv.classroom.running.board import Board, Row

_PAUSE, _SHARE = 2.0, 10  # seconds between two looks, and at least so many times what one takes
_TURN = 10  # seconds for which students are shown where there is no room for all


def status(
    folder: ClassOption = None,
    only: OnlyOption = None,
    lab: AssignmentOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep running, and show what changes, until Ctrl-C.")] = False,
    json: JsonOption = False,
) -> None:
    """Show who is where: a sign for each step, since when a student is stuck, hints, drills, what was last done.

    It looks into no machine: the steps are as each student's last check saw them, by `labenv check` or `labenv class check`.
    How long ago that was stands under "checked". "active" is when the student last changed a file that labenv watches, asked for a hint,
    ticked a step or ended a drill, as far as that is known since the last check.

    Examples:

      labenv class status

      labenv class status --watch

      labenv class status --only 'a*' --lab lab3

      labenv class status --json | jq '.students[] | select(.stuck)'
    """
    if watch and json:
        raise UsageError("--watch cannot be combined with --json. For a document, leave --watch out.")
    of = opened(folder)
    assignment, members = of.assignment(lab), of.chosen(only)
    with screen.progress(quiet=True) as listen:
        engine = open_engine(of, listen)
        from labenv.classroom.running.board import Board

        board = Board(engine, of, assignment, members)
        rows = board.look()
    if json:
        shown = {
            "class": of.id,
            "lab": assignment.name,
            "time": _now_iso(),
            "students": [row.to_dict() for row in rows],
        }
        common.print_json(shown)
    elif not watch:
        _print(board, rows)
    elif sys.stdout.isatty():
        _live(board, rows)
    else:
        _log(board, rows)


def _print(board: "Board", rows: "Sequence[Row]") -> None:
    from labenv.cli.class_ import grid

    grid.show(rows, board.lab, _below(board, rows))


def _below(board: "Board", rows: "Sequence[Row]") -> list[str]:
    """The legend, and how many environments there are in which state."""
    from labenv.classroom.running import row_words
    from labenv.cli.class_ import grid

    old = [row.checked for row in rows if row.checked]
    if old:
        seen = f"; the oldest check is {row_words.ago(min(old))} old"
    elif all(row.state in ("missing", "elsewhere") for row in rows):
        seen = ". To bring them up: labenv class up"
    else:
        seen = "; none is checked: labenv class check"
    losses = row_words.losses(rows)
    return [
        *filter(None, [grid.legend()]),
        *losses,
        f"{board.of.name}, {board.lab.id}. {row_words.summary(rows)}{seen}",
    ]


def _live(board: "Board", rows: "Sequence[Row]") -> None:
    """Draw the rows again when something changes, until Ctrl-C; where there is no room for all, in turns."""
    from rich.console import Console, Group
    from rich.live import Live

    gc.enable()  # unlike other commands this one may run for hours
    console = Console(highlight=False)
    try:
        with Live(console=console, auto_refresh=False, transient=False) as live:
            before: object = None
            for now in _looks(board, rows):
                drawn = _page(board, now, console.width, console.height)
                if (told := [line.plain for line in drawn]) != before:
                    live.update(Group(*drawn), refresh=True)
                    before = told
    except KeyboardInterrupt:
        print(file=sys.stderr)


def _page(board: "Board", rows: "Sequence[Row]", columns: int, height: int) -> "list[Text]":
    """As many students as there is room for, and what is below them."""
    from rich.text import Text

    from labenv.cli.class_ import grid

    head, *blocks = grid.lines(rows, board.lab, columns)
    below = [part for told in _below(board, rows) for part in fold.fold(told, columns)]
    room = max(4, height - len(head) - len(below) - 3)
    pages: list[list[Text]] = [[]]
    for block in blocks:
        if pages[-1] and len(pages[-1]) + len(block) > room:
            pages.append([])
        pages[-1] += block
    at = int(time.time() / _TURN) % len(pages)
    turn = f" Page {at + 1} of {len(pages)}." if len(pages) > 1 else ""
    last = f"{time.strftime('%H:%M')}{turn} Press Ctrl-C to stop."
    return [*head, *pages[at], *(Text(part, style="dim") for part in [*below, last])]


def _looks(board: "Board", rows: "Sequence[Row]") -> "Iterator[Sequence[Row]]":
    """The rows, now and again and again."""
    while True:
        yield rows
        began = time.monotonic()
        rows = board.look()
        time.sleep(max(_PAUSE, _SHARE * (time.monotonic() - began)))


def _log(board: "Board", rows: "Sequence[Row]") -> None:
    """Print the rows once, then a line for each change, until Ctrl-C."""
    from labenv.classroom.running import row_words

    _print(board, rows)
    sys.stdout.flush()
    gc.enable()
    before = {row.student: row for row in rows}
    try:
        for now in _looks(board, rows):
            for row in now:
                for change in row_words.changes(before[row.student], row):
                    print(f"{time.strftime('%H:%M:%S')} {row.student}: {change}", flush=True)
            before = {row.student: row for row in now}
    except KeyboardInterrupt:
        print(file=sys.stderr)


def _now_iso() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")
