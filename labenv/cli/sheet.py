"""A report as the steps of the sheet, drawn for a terminal."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from labenv.cli.output import sign
from labenv.sheet import guide, progress

if TYPE_CHECKING:
    from labenv.checks.results import Report
    from labenv.lab.model import Lab
    from labenv.sheet.progress import Heading, Mark, StepProgress

_STYLES = {"pass": "green", "fail": "red", "warn": "yellow", "skip": "dim", "person": "cyan", "ticked": "green"}
_WORDS = {
    "pass": "passes",
    "fail": "fails",
    "warn": "warns",
    "skip": "waits",
    "person": "yours",
    "ticked": "ticked",
}  # for plain output
_MARGIN = 2


def show(report: "Report", lab: "Lab", *, whole: bool = False) -> None:
    """Print the steps, and what to do next, on stdout; `whole` if all programs of the machines were compared."""
    if whole and not report.notes:
        report = replace(report, notes=("All programs are what the images brought.",))
    # A pipe has no width, and grep needs whole lines, without the padding of a table.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    with console.capture() as text:
        console.print(drawn(report, lab))
    print("\n".join(line.rstrip() for line in text.get().splitlines()))


def drawn(report: "Report", lab: "Lab", *, compact: bool = False) -> RenderableType:
    """The steps by the sheet's headings, notes about the machines' programs, how many steps pass, and what to do next.

    `compact` draws a heading with nothing to fix as one line.
    """
    there = progress.headings(report, lab)
    parts: list[RenderableType] = []
    for heading in there:
        parts += [_line(heading)] if compact and heading.holds else [*_heading(heading), Text()]
    noted = [Text(f"- {note}") for note in report.notes]
    return Group(*parts, *([Text()] if compact else []), *noted, *([Text()] if noted else []), *verdict(report, lab))


def verdict(report: "Report", lab: "Lab") -> list[RenderableType]:
    """How many steps pass, and what to do next."""
    found = guide.next_step(report, lab)
    lead = "Next: " if found.step else ""
    return [
        Text(progress.counted(progress.headings(report, lab))),
        Text(f"{lead}{found.sentence}", style="bold" if found.step else "bold green"),
    ]


def _sign(mark: "Mark") -> str:
    return sign(progress.SYMBOLS[mark], _WORDS[mark])


def _line(heading: "Heading") -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    steps = Text(" ").join(Text(row.step.id, style=_STYLES[row.mark]) for row in heading.rows)
    table.add_row(Text(_sign(heading.mark), style=_STYLES[heading.mark]), Text(heading.text).append("  ").append(steps))
    return table


def _heading(heading: "Heading") -> list[RenderableType]:
    table = Table.grid(padding=(0, _MARGIN, 0, 0))
    table.add_column(width=len(_sign("pass")))
    table.add_column(width=3, justify="right")
    table.add_column(width=2, justify="right", style="dim")
    table.add_column(width=9, no_wrap=True)
    table.add_column()
    for row in heading.rows:
        _add(table, row)
    return [Text(heading.text, style="bold"), table]


def _add(table: Table, row: "StepProgress") -> None:
    quiet = row.mark in ("skip", "person", "ticked")
    text = Text(row.step.title, style="dim" if quiet else "")
    if row.mark == "skip":
        text.append(f" ({row.seen[0]})")
    elif row.mark == "person":
        text.append(" (for you)", style="cyan")
    mark = Text(_sign(row.mark), style=_STYLES[row.mark])
    number = row.step.number and f"{row.step.number}."
    table.add_row(mark, Text(row.step.id, style="bold"), number, row.machines, text)
    if row.mark != "skip":
        for sentence in row.seen:
            table.add_row("", "", "", "", Text(sentence, style=_STYLES[row.mark]))
    if row.note:
        table.add_row("", "", "", "", Text(f"Note: {row.note}", style="yellow"))
