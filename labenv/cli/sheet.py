"""A report as all steps of the sheet, drawn for a terminal."""

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from labenv.cli.output import sign
from labenv.sheet import guide, progress

if TYPE_CHECKING:
    from labenv.checks.results import Report
    from labenv.lab.model import Lab
    from labenv.sheet.progress import Heading, Mark, StepProgress

STYLES = {"pass": "green", "fail": "red", "warn": "yellow", "skip": "dim", "person": "cyan", "ticked": "green"}
WORDS = {
    "pass": "passes",
    "fail": "fails",
    "warn": "warns",
    "skip": "waits",
    "person": "yours",
    "ticked": "ticked",
}  # for plain output
_MARGIN = 2


def drawn(report: "Report", lab: "Lab") -> RenderableType:
    """All steps by the sheet's headings, notes about the machines' programs, how many steps pass, and what to do next."""
    there = progress.headings(report, lab)
    parts: list[RenderableType] = []
    for heading in there:
        parts += [*_heading(heading), Text()]
    noted = [Text(f"- {note}") for note in report.notes]
    return Group(*parts, *noted, *([Text()] if noted else []), *verdict(report, lab))


def verdict(report: "Report", lab: "Lab") -> list[RenderableType]:
    """How many steps pass, and what to do next."""
    found = guide.next_step(report, lab)
    lead = "Next: " if found.step else ""
    return [
        Text(progress.counted(progress.headings(report, lab))),
        Text(f"{lead}{found.sentence}", style="bold" if found.step else "bold green"),
    ]


def sign_of(mark: "Mark") -> str:
    """The sign for a mark, or with plain output the word for it."""
    return sign(progress.SYMBOLS[mark], WORDS[mark])


def _heading(heading: "Heading") -> list[RenderableType]:
    table = Table.grid(padding=(0, _MARGIN, 0, 0))
    table.add_column(width=len(sign_of("pass")))
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
    mark = Text(sign_of(row.mark), style=STYLES[row.mark])
    number = row.step.number and f"{row.step.number}."
    table.add_row(mark, Text(row.step.id, style="bold"), number, row.machines, text)
    if row.mark != "skip":
        for sentence in row.seen:
            table.add_row("", "", "", "", Text(sentence, style=STYLES[row.mark]))
    if row.note:
        table.add_row("", "", "", "", Text(f"Note: {row.note}", style="yellow"))
