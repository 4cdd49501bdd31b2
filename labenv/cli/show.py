"""Prints records for a person, as tables."""

from datetime import datetime
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from labenv.cli import fold
from labenv.cli.output import is_guest, sign
from labenv.text import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from labenv.bench.timing import Measurement
    from labenv.doctor import Finding
    from labenv.engine.image_sources import Image
    from labenv.engine.images import Built
    from labenv.environment import Environment
    from labenv.environments.history.story import Entry
    from labenv.environments.links import Bad
    from labenv.sheet.guide import Hint, Next

_out = Console(highlight=False, soft_wrap=True)  # the terminal's width is for labenv.cli.output
_FINDINGS = {"ok": ("green", "✓", "ok"), "warn": ("yellow", "!", "warning"), "fail": ("red", "✗", "problem")}


def table(heading: "Sequence[str]", rows: "Iterable[Sequence[str]]", bad: "Sequence[int]" = ()) -> None:
    """Print a table that fits the terminal; the rows in these places are red."""
    first, *others = fold.table([heading, *rows], fold.width())
    for line in first:
        _out.print(Text(line, style="bold"))
    for place, row in enumerate(others):
        for line in row:
            _out.print(Text(line, style="red" if place in bad else ""))


def _mark(status: str) -> str:
    style, symbol, word = _FINDINGS[status]
    return f"[{style}]{sign(symbol, word)}[/]"


def environments(
    there: "Sequence[Environment]",
    ticked: "Mapping[str, Sequence[str]]",
    nodes: "Mapping[str, str]",
    impaired: "Mapping[str, Mapping[str, Bad]]",
) -> None:
    """The environments as tables, one line per machine; the steps that each student ticked, and which links are bad.

    Of a swarm, also on which of its `nodes` they are.
    """
    from labenv.environments.reach import Reach

    if not there:
        _out.print("There is no environment. Create one: labenv up STUDENT")
    for environment in there:
        student = environment.student
        _out.print(
            f"[b]{student.id}[/b]  {environment.lab} at {environment.stage}  {student.domain}  {environment.subnet}  "
            f"password {student.password}{f'  node {nodes[student.id]}' if student.id in nodes else ''}"
        )
        rows = [
            (
                m.name,
                m.address,
                m.state,
                ", ".join(f"{port} → {here}".replace(" ", fold.GLUE) for port, here in m.published.items()),
            )
            for m in environment.machines
        ]
        table(("machine", "address", "state", "ports on 127.0.0.1"), rows)
        for past in environment.past:
            _out.print(f"{past.lab}: {many(len(past.passed), 'step')} passed when it was left, {past.time[:10]}")
        for name, bad in impaired.get(student.id, {}).items():
            _out.print(
                f"{name}'s link is bad: {bad.sentence}. To end that: labenv impair {name} --clear", style="yellow"
            )
        if steps := ticked.get(student.id):
            _out.print(f"ticked by hand: {', '.join(steps)}")
        if not is_guest() and (note := Reach(environment).note):
            _out.print(escape(note))
        _out.print()


def next_step(found: "Next") -> None:
    """What to do next, in one sentence; the sheet's own error at that step, in a second one."""
    for text in found.attempts:
        _out.print(escape(text))
    _out.print(escape(found.sentence))
    if found.note:
        _out.print(f"Note: {escape(found.note)}", style="yellow")


def hint(found: "Hint") -> None:
    """What is wrong, and the help up to the level that was asked for."""
    from labenv.sheet.guide import SAID

    for text in found.attempts:
        _out.print(escape(text))
    if not found.step:
        return
    if not found.level:
        if not found.wrong:
            _out.print(f"Step {found.step} passes, so there is no hint.")
            return
        _out.print(f"Step {found.step} passes, with a warning:")
        for text in found.wrong:
            _out.print(escape(text))
        return
    if found.step != found.asked:
        _out.print(f"Step {found.asked} waits for step {found.step}: fix that first.\n")
    _out.print(f"[b]Step {found.step}: {escape(found.title)}[/b]")
    wide = max(map(len, SAID.values()))
    for level, text in enumerate(found.help, 1):
        for place, line in enumerate((*found.wrong, text) if level == 1 else (text,)):
            _out.print(Text(f"{'' if place else SAID[level]:<{wide}}  {line}"))
    if found.note:
        _out.print(Text(f"{'note':<{wide}}  {found.note}"))


def entry_rows(entry: "Entry", *, every: bool = False) -> list[tuple[str, ...]]:
    """What one command changed as rows for `edits`; with `every`, each file has its own."""
    from labenv.environments.history.story import clock, files

    rows: list[tuple[str, ...]] = []
    for part in files(entry, every=every):
        # Only the first row says when, and by which command.
        begin, end = ("", "") if rows else (clock(part.time), entry.said)
        rows.append((begin, part.machine, part.title, f"+{part.added} -{part.removed}", end))
    return rows


def edits(rows: "Sequence[tuple[str, ...]]") -> None:
    """Changes as a table: time, machine, file, lines, by which command."""
    table(("time", "machine", "file", "lines", "by"), rows)


def images(present: "Sequence[Built]", missing: "Sequence[Image]", packages: "Mapping[str, str]") -> None:
    """The images as a table, with the digest of the packages of those that have one."""
    rows = [
        (
            image.name,
            image.tag,
            _megabytes(image.size),
            packages.get(image.tag, ""),
            "" if image.current else "old" if image.old else "of a lab that is not here",
        )
        for image in present
    ]
    rows += [(lacking.name, lacking.tag, "", "", "not built") for lacking in missing]
    table(("image", "tag", "size", "packages", ""), rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


def saves(documents: "Sequence[dict[str, Any]]") -> None:
    """The saves as a table, which of a swarm has their nodes."""
    if not documents:
        _out.print("There are no saves yet. Create one: labenv save")
        return
    rows = []
    for save in documents:
        made = datetime.fromisoformat(save["made"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        size = f"{save['bytes'] / 1e6:.1f} MB"
        node = [save["node"]] if "node" in save else []
        rows.append((save["student"], save["name"], made, save["stage"], " ".join(save["machines"]), size, *node))
    heading = ("student", "name", "made", "stage", "machines", "size")
    table((*heading, *(["node"] if any("node" in save for save in documents) else [])), rows)
    if gone := [save["name"] for save in documents if save["gone"]]:
        _out.print(
            f"The engine has no images of {', '.join(gone)} (docker system prune removes them). A restore makes them again from "
            "the copy outside the engine."
        )


def findings(found: "Sequence[Finding]") -> None:
    """What `doctor` found, with the fix below each problem."""
    for finding in found:
        _out.print(f"{_mark(finding.status)} [b]{finding.topic}[/b]: {escape(finding.sentence)}")
        if finding.mend:
            _out.print(indent(escape(finding.mend), "    "))


def bench(rows: "Sequence[Measurement]") -> None:
    """The measurements as a table; a missed target is marked."""
    measured = []
    for row in rows:
        met = row.target is None or row.median <= row.target
        status = _FINDINGS["ok" if met else "fail"]
        target = "" if row.target is None else f"{sign(*status[1:])} ≤ {row.target:g} {row.unit}"
        values = (f"{value:.2f} {row.unit}" for value in (row.median, min(row.values), max(row.values)))
        measured.append((row.name, *values, target))
    table(("what", "median", "lowest", "highest", "target"), measured)
