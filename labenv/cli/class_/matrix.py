"""The class matrix command."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_.common import ClassOption, OnlyOption, opened
from labenv.cli.common import JsonOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.classroom.federation.matrix import Matrix
    from labenv.events import Listener

_PAUSE = 30  # seconds between two rounds of --watch: each sends real messages, and holds up mail clients for a moment


def matrix(
    folder: ClassOption = None,
    only: OnlyOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running, and look again and again until Ctrl-C.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a heat map as one HTML page; with --watch it is live.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show who of a federated class reaches whom by mail: MX found, accepted, delivered.

    Each student's own machine sends a real message to all others. The messages are followed in the logs of both ends, and removed
    again. What one student did wrong is said once, below the table.

    Exit code 0: everybody reaches everybody; 1: somebody does not. --watch runs until Ctrl-C, and its exit code is always 0.

    Examples:

      labenv class matrix

      labenv class matrix --only asmith15,bjones3

      labenv class matrix --watch --html matrix.html
    """
    if watch and json:
        raise UsageError("--watch cannot be combined with --json. Call the command again for another document.")
    of = opened(folder)
    if html:
        common.check_writable(html)
    from labenv.classroom.federation.matrix import measure  # takes a while, as do those below

    common.if_interrupted("What was seen so far is lost.")
    with screen.progress(quiet=watch) as listen:
        engine = common.open_engine(listen)
        seen = measure(engine, of, only, listen)
    _write(seen, html, watch)
    if json:
        common.print_json(seen.to_dict())
    elif not watch:
        _draw(seen)
    if not watch:
        raise typer.Exit(0 if seen.is_whole else 1)
    try:
        while True:
            _again(seen)
            time.sleep(_PAUSE)
            seen = measure(engine, of, only, _silent())
            _write(seen, html, watch)
    except KeyboardInterrupt:
        print(file=sys.stderr)


def _silent() -> "Listener":
    from labenv.events import silent

    return silent


def _write(seen: "Matrix", html: Path | None, watch: bool) -> None:
    if not html:
        return
    from labenv.classroom.federation import page

    common.write_text(html, page.html(seen, again=_PAUSE if watch else 0), private=True)


def _again(seen: "Matrix") -> None:
    """In a terminal the table, drawn again; in a log one line."""
    if sys.stdout.isatty():
        from rich.console import Console

        Console().clear()
        _draw(seen)
        print(f"Looked at {seen.time:%H:%M:%S}. Looks again every {_PAUSE} seconds; press Ctrl-C to stop.")
    else:
        told = "".join(f"; {who} {words}" for who, words in seen.troubles)
        print(f"{seen.time:%H:%M:%S} {seen.count('delivered')} of {len(seen.pairs)} pairs delivered{told}", flush=True)


def _draw(seen: "Matrix") -> None:
    from labenv.classroom.federation.matrix import STATES, WORDS
    from labenv.classroom.federation.page import SIGNS
    from labenv.cli import fold

    widest = max(map(len, seen.students))
    width = fold.width()  # in a file there is no end of a line
    if width is None or widest + 4 + 2 * len(seen.students) <= width:
        _table(seen, widest)
    else:
        _counts(seen, widest)
    print()
    for who, words in seen.troubles:
        print(f"{who} {words}")
    named = {who for who, _ in seen.troubles}
    single = [p for p in seen.pairs.values() if not p.delivered and not named & {p.sender, p.to}]
    for pair in single:
        print(f"{pair.sender} → {pair.to}: {WORDS[pair.state]}: {pair.words}")
    if seen.troubles or single:
        print()
    print(f"{seen.count('delivered')} of {len(seen.pairs)} pairs delivered, in {seen.seconds:.1f} s")
    if others := [f"{SIGNS[state]} {WORDS[state]}" for state in STATES[1:] if seen.count(state)]:
        print(f"{SIGNS['delivered']} {WORDS['delivered']}, {', '.join(others)}")


def _table(seen: "Matrix", widest: int) -> None:
    """A row for each sender; the columns have the numbers of the rows."""
    from labenv.classroom.federation.page import SIGNS
    from labenv.cli.output import sign

    tens = "".join(f" {number // 10 or ' '}" for number in range(1, len(seen.students) + 1))
    ones = "".join(f" {number % 10}" for number in range(1, len(seen.students) + 1))
    if tens.strip():
        print(f"{'':{widest + 4}}{tens}")
    print(f"{'':{widest + 4}}{ones}")
    plain = {"✓": "v", "✗": "x"}
    for number, sender in enumerate(seen.students, 1):
        cells = (SIGNS[pair.state] if pair else " " for pair in seen.row(sender))
        print(f"{number:>3} {sender:{widest}}{''.join(f' {sign(cell, plain.get(cell, cell))}' for cell in cells)}")


def _counts(seen: "Matrix", widest: int) -> None:
    """One line for each student, where the table is too wide."""
    others = len(seen.students) - 1
    for each in seen.students:
        to = sum(pair is not None and pair.delivered for pair in seen.row(each))
        got = sum(pair.delivered for (_, end), pair in seen.pairs.items() if end == each)
        print(f"{each:{widest}}  reaches {to} of {others}, is reached by {got}")
