"""Records as text for a person: tables and the summary after `up`."""

import shutil
import sys
from itertools import groupby
from textwrap import indent
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from labenv.bench import Row
    from labenv.checks.results import Report
    from labenv.doctor import Finding
    from labenv.engine.images import Built, Image
    from labenv.environment import Environment

# In a pipe there is no width to keep to, and a reader's grep wants whole lines.
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
_SERVICES = {"25": "SMTP", "143": "IMAP", "53": "DNS"}
# The worst first: a step shows the mark of its worst check.
_MARKS = {"fail": "[red]✗[/]", "warn": "[yellow]![/]", "skip": "[dim]-[/]", "pass": "[green]✓[/]"}
_FINDINGS = {"ok": _MARKS["pass"], "warn": _MARKS["warn"], "fail": _MARKS["fail"]}


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _published(environment: "Environment") -> str:
    parts = []
    for machine in environment.machines:
        for port, here in machine.published.items():
            if "/" not in port:
                parts.append(f"{_SERVICES.get(port, port)} {machine.name} 127.0.0.1:{here}")
    return ", ".join(parts)


def environments(there: "Sequence[Environment]") -> None:
    """The environments as a table, a line a machine."""
    if not there:
        _out.print("There is no environment. Make one: labenv up STUDENT")
    for environment in there:
        student = environment.student
        _out.print(
            f"[b]{student.id}[/b]  {environment.lab} at {environment.stage}  {student.domain}  {student.network}  "
            f"password {student.password}"
        )
        table = _table("machine", "address", "state", "answers on 127.0.0.1")
        for machine in environment.machines:
            ports = ", ".join(f"{port}→{here}" for port, here in machine.published.items())
            table.add_row(machine.name, machine.address, machine.state, ports)
        _out.print(table, "")


def summary(environment: "Environment", changes: "Sequence[str]", report: "Report | None") -> None:
    """What a person needs after `up`: names, addresses, account, where it answers, what to type next."""
    student = environment.student
    if report:
        _verdict(report)
    _out.print(
        f"\n[b]{student.id}'s lab is up[/b] ({environment.lab}, stage {environment.stage})"
        + ("" if changes else "; nothing had to change")
    )
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("domain", student.domain)
    table.add_row("network", f"{student.network}: " + ", ".join(f"{m.name} {m.address}" for m in environment.machines))
    table.add_row("account", f"{student.id}, password {student.password}")
    for number, label in _SERVICES.items():
        for machine in environment.machines:
            if number in machine.published:
                table.add_row(label, f"127.0.0.1:{machine.published[number]} ({machine.name})")
    _out.print(table)
    suffix = f" -s {student.id}"
    _out.print("\nNext:")
    # After `make lab` the command lies in a folder that is not on the PATH.
    labenv = "labenv" if shutil.which("labenv") or sys.argv[0].endswith(".py") else sys.argv[0]
    for command, what in (
        (f"{labenv} shell vm3{suffix}", "a root shell"),
        (f"{labenv} check{suffix}", "which steps hold"),
        (f"{labenv} down{suffix}", "remove it"),
    ):
        _out.print(f"  {command:<{len(labenv) + 28}} {what}")


def _verdict(report: "Report") -> None:
    failed = [result for result in report.results if result.status == "fail"]
    if not failed:
        _out.print(f"[green]✓[/] all {len(report.results)} checks passed")
        return
    _out.print(f"[red]✗[/] {len(failed)} of {len(report.results)} checks failed:")
    for result in failed:
        _out.print(f"  {result.step} {result.machine}: {escape(result.evidence)}")


def report(report: "Report") -> None:
    """The steps, a line each; under one that does not hold, what was seen, and where to look."""
    for step, group in groupby(report.results, key=lambda result: result.step):
        results = list(group)
        worst = next(status for status in _MARKS if any(result.status == status for result in results))
        machines = ", ".join(dict.fromkeys(result.machine for result in results))
        _out.print(f"{_MARKS[worst]} [b]{step:>3}[/b]  {machines:<9} {escape(results[0].title)}")
        for result in results:
            if result.status != "pass":
                _out.print(f"        {_MARKS[result.status]} {escape(result.evidence)}")
        if worst == "fail" and results[0].hint:
            _out.print(f"        [dim]Hint: {escape(results[0].hint)}[/]")
    counts = report.summary
    _out.print(f"\n{counts['passed']} checks passed, {counts['failed']} failed, {counts['skipped']} skipped")


def images(present: "Sequence[Built]", missing: "Sequence[Image]") -> None:
    """The images as a table."""
    table = _table("image", "tag", "size", "")
    for image in present:
        table.add_row(image.name, image.tag, f"{image.size / 1e6:.0f} MB", "" if image.current else "old")
    for lacking in missing:
        table.add_row(lacking.name, lacking.tag, "", "not built")
    _out.print(table)


def findings(found: "Sequence[Finding]") -> None:
    """What `doctor` found, with the mend under what needs one."""
    for finding in found:
        _out.print(f"{_FINDINGS[finding.status]} [b]{finding.topic}[/b]: {escape(finding.sentence)}")
        if finding.mend:
            _out.print(indent(escape(finding.mend), "    "))


def bench(rows: "Sequence[Row]") -> None:
    """The bench as a table; a target missed is marked."""
    table = _table("what", "median", "lowest", "highest", "target")
    for row in rows:
        met = row.target is None or row.median <= row.target
        target = "" if row.target is None else f"{_MARKS['pass' if met else 'fail']} ≤ {row.target:g} {row.unit}"
        table.add_row(
            row.name, *(f"{value:.2f} {row.unit}" for value in (row.median, min(row.values), max(row.values))), target
        )
    _out.print(table)
