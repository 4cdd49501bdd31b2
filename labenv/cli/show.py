"""Prints records for a person, as tables."""

import sys
from datetime import datetime
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from labenv.cli.output import sign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labenv.bench import Measurement
    from labenv.doctor import Finding
    from labenv.engine.images import Built, Image
    from labenv.environment import Environment
    from labenv.environments.history.story import Entry
    from labenv.sheet.guide import Hint, Next

# A pipe has no width, and grep needs whole lines.
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
_FINDINGS = {"ok": ("green", "✓", "ok"), "warn": ("yellow", "!", "warning"), "fail": ("red", "✗", "problem")}


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _mark(status: str) -> str:
    style, symbol, word = _FINDINGS[status]
    return f"[{style}]{sign(symbol, word)}[/]"


def environments(there: "Sequence[Environment]") -> None:
    """The environments as tables, one line per machine."""
    from labenv.environments.reach import Reach

    if not there:
        _out.print("There is no environment. Create one: labenv up STUDENT")
    for environment in there:
        student = environment.student
        _out.print(
            f"[b]{student.id}[/b]  {environment.lab} at {environment.stage}  {student.domain}  {student.network}  "
            f"password {student.password}"
        )
        table = _table("machine", "address", "state", "ports on 127.0.0.1")
        for machine in environment.machines:
            ports = ", ".join(f"{port} → {here}" for port, here in machine.published.items())
            table.add_row(machine.name, machine.address, machine.state, ports)
        _out.print(table)
        if note := Reach(environment).note:
            _out.print(escape(note), soft_wrap=True)
        _out.print()


def next_step(found: "Next") -> None:
    """What to do next, in one sentence; the sheet's own error at that step, in a second one."""
    _out.print(escape(found.sentence))
    if found.note:
        _out.print(f"Note: {escape(found.note)}", style="yellow")


def hint(found: "Hint") -> None:
    """What is wrong, and the help up to the level that was asked for."""
    from labenv.sheet.guide import SAID

    if not found.level:
        _out.print(f"Step {found.step} passes, so there is no hint.")
        return
    if found.step != found.asked:
        _out.print(f"Step {found.asked} waits for step {found.step}: fix that first.\n")
    _out.print(f"[b]Step {found.step}: {escape(found.title)}[/b]")
    table = Table.grid(padding=(0, 2, 0, 0))
    for level, text in enumerate(found.help, 1):
        table.add_row(SAID[level], Text("\n".join((*found.wrong, text)) if level == 1 else text))
    if found.note:
        table.add_row("note", Text(found.note))
    _out.print(table)


def entry_rows(entry: "Entry", *, every: bool = False) -> list[tuple[str, ...]]:
    """What one command changed as rows for `edits`; with `every`, each file has its own."""
    from labenv.environments.history.story import files

    rows: list[tuple[str, ...]] = []
    for part in files(entry, every=every):
        name = f"{part.name} ({part.count} files)" if part.count > 1 else part.name
        # Only the first row says when, and by which command.
        begin, end = ("", "") if rows else (moment(part.time), entry.said)
        rows.append((begin, part.machine, name, f"+{part.added} -{part.removed}", end))
    return rows


def moment(seconds: int | None) -> str:
    """A time (seconds since 1970) in this computer's time zone."""
    return datetime.fromtimestamp(seconds or 0).strftime("%Y-%m-%d %H:%M:%S")


def edits(rows: "Sequence[tuple[str, ...]]") -> None:
    """Changes as a table: time, machine, file, lines, by which command."""
    table = _table("time", "machine", "file", "lines", "by")
    for row in rows:
        table.add_row(*map(Text, row))
    _out.print(table)


def images(present: "Sequence[Built]", missing: "Sequence[Image]", packages: "Mapping[str, str]") -> None:
    """The images as a table, with the digest of the packages of those that have one."""
    table = _table("image", "tag", "size", "packages", "")
    for image in present:
        size = f"{image.size / 1e6:.0f} MB"
        table.add_row(image.name, image.tag, size, packages.get(image.tag, ""), "" if image.current else "old")
    for lacking in missing:
        table.add_row(lacking.name, lacking.tag, "", "", "not built")
    _out.print(table)


def saves(documents: "Sequence[dict[str, Any]]") -> None:
    """The saves as a table."""
    if not documents:
        _out.print("There are no saves yet. Create one: labenv save")
        return
    table = _table("student", "name", "made", "stage", "machines", "size")
    for save in documents:
        made = datetime.fromisoformat(save["made"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        size = f"{save['bytes'] / 1e6:.1f} MB"
        table.add_row(save["student"], save["name"], made, save["stage"], " ".join(save["machines"]), size)
    _out.print(table)


def findings(found: "Sequence[Finding]") -> None:
    """What `doctor` found, with the fix below each problem."""
    for finding in found:
        _out.print(f"{_mark(finding.status)} [b]{finding.topic}[/b]: {escape(finding.sentence)}")
        if finding.mend:
            _out.print(indent(escape(finding.mend), "    "))


def bench(rows: "Sequence[Measurement]") -> None:
    """The measurements as a table; a missed target is marked."""
    table = _table("what", "median", "lowest", "highest", "target")
    for row in rows:
        met = row.target is None or row.median <= row.target
        target = "" if row.target is None else f"{_mark('ok' if met else 'fail')} ≤ {row.target:g} {row.unit}"
        table.add_row(
            row.name, *(f"{value:.2f} {row.unit}" for value in (row.median, min(row.values), max(row.values))), target
        )
    _out.print(table)
