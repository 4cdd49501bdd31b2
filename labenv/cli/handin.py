"""The commands about handing in: logbook, evidence, submit, review."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, MachineArgument, StudentOption
from labenv.errors import LabenvError, UsageError

if TYPE_CHECKING:
    from labenv.engine import Engine
    from labenv.environment import Environment
    from labenv.handin.review import Row


def logbook(
    edit: Annotated[bool, typer.Option("--edit", "-e", help="Open it in $VISUAL, or else $EDITOR.")] = False,
    export: Annotated[Path | None, typer.Option("--export", metavar="FILE", help="Copy it to a file.")] = None,
    import_: Annotated[Path | None, typer.Option("--import", metavar="FILE", help="Put a file in its place.")] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Show, edit or copy the log book, a Markdown file that labenv started for you on host.

    Examples:

      labenv logbook --edit

      labenv logbook --export logbook.md

      labenv logbook --json | jq '.sections[] | {section, filled}'
    """
    from labenv import lab as labs
    from labenv import logbook as books

    if sum(map(bool, (edit, export, import_, json))) > 1:
        raise UsageError("--edit, --export, --import and --json are different things to do. Give one of them.")
    new = _from_file(import_, books.LARGEST) if import_ else None
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        if new is not None:
            books.write(engine, environment, new)
            print(f"The log book on host is now {import_}; the one before is {books.PATH}~ there.", file=sys.stderr)
            return
        text = books.read(engine, environment)
    if edit:
        _edit(engine, environment, text)
    elif export:
        _to_file(export, text)
    elif json:
        book = books.sections(text, books.blank(labs.load(environment.lab), environment.student))
        common.print_json(books.as_json(environment.student.id, book))
    else:
        sys.stdout.write(text)


def evidence(
    machine: MachineArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file.")] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Print what the course's own check collects on a machine, field by field, to be handed in.

    Example:

      labenv evidence vm3 -o vm3.txt
    """
    from dataclasses import asdict

    from labenv.handin import evidence as core

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        found = core.collect(engine, common.chosen(engine, student), machine)
    for remark in found.remarks:
        print(remark, file=sys.stderr)
    if output:
        _to_file(output, found.text)
    if json:
        common.print_json(asdict(found))
    elif not output:
        sys.stdout.write(found.text)


def submit(
    file: Annotated[Path, typer.Argument(help="The archive to write, such as asmith15.tar.gz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Pack all that is handed in into one archive: evidence, check results, files, hints asked, log book, histories.

    Example:

      labenv submit asmith15.tar.gz
    """
    from labenv.handin import submit as core

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        done = core.submit(engine, common.chosen(engine, student), file, force=force, listen=listen)
    if json:
        common.print_json(done.to_dict())
        return
    kinds: dict[str, int] = {}
    for name in done.members:
        kinds[name.partition("/")[0]] = kinds.get(name.partition("/")[0], 0) + 1
    packed = ", ".join(kind if count == 1 else f"{kind} ({count})" for kind, count in kinds.items())
    print(f"Packed into {file}: {packed}")
    for sentence in done.missing:
        print(f"- {sentence}")


def review(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Archives that `labenv submit` wrote.")],
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table as CSV.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write it as an HTML page.")] = None,
    json: JsonOption = False,
) -> None:
    """Read archives that were handed in into one table, without unpacking or trusting them.

    Exit code 1: an archive cannot be read or does not match its manifest; its row says why.

    Example:

      labenv review *.tar.gz --csv class.csv --html class.html
    """
    from labenv.handin import review as core

    rows = core.review(files)
    if csv:
        _to_file(csv, core.as_csv(rows))
    if html:
        _to_file(html, core.as_html(rows))
    if json:
        common.print_json([row.to_dict() for row in rows])
    else:
        _show(rows)
    if not all(row.sound for row in rows):
        raise typer.Exit(1)


def _show(rows: "list[Row]") -> None:
    """The table, and below it what is to be noted of each archive."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from labenv.handin import review as core

    out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
    shown = [place for place, name in enumerate(core.COLUMNS) if name not in ("domain", "notes")]
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    titles = list(core.COLUMNS.values())
    for place in shown:
        table.add_column(titles[place], overflow="fold")
    for row in rows:
        cells = row.cells()
        table.add_row(*(Text(cells[place]) for place in shown), style="" if row.sound else "red")
    out.print(table, soft_wrap=False)
    for row in rows:
        for note in row.notes:
            out.print(Text(core.plain(f"{row.file}: {note}"), style="yellow" if row.sound else "red"))


def _edit(engine: "Engine", environment: "Environment", text: str) -> None:
    """Edit a copy and put it back; whatever goes wrong, the copy stays and its path is said."""
    from labenv import logbook as books

    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    handle, name = tempfile.mkstemp(prefix=f"logbook-{environment.student.id}-", suffix=".md")
    copy = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
    try:
        try:
            ended = subprocess.run([*editor, name], check=False).returncode
        except OSError as error:
            raise UsageError(
                f"The editor {editor[0]} cannot be started: {error.strerror}. Set EDITOR, as in EDITOR=nano."
            ) from error
        if ended:
            raise UsageError(f"The editor {editor[0]} ended with status {ended}, so the log book is as it was.")
        new = _from_file(copy, books.LARGEST)
        if new != text:
            if books.read(engine, environment) != text:
                raise UsageError("The log book on host has changed meanwhile, so it was not replaced.")
            books.write(engine, environment, new)
    except BaseException as error:
        if isinstance(error, OSError | LabenvError | KeyboardInterrupt):
            command = shlex.join(["labenv", "logbook", "-s", environment.student.id, "--import", name])
            print(f"What you wrote is kept in {name}. Put it in place with: {command}", file=sys.stderr)
        raise
    copy.unlink()
    print("The log book is as it was." if new == text else "The log book is kept on host.", file=sys.stderr)


def _from_file(file: Path, most: int) -> str:
    try:
        with open(file, "rb") as source:
            data = source.read(most + 1)
        if len(data) > most:
            raise UsageError(f"{file} is larger than {most} bytes, which no log book is.")
        return data.decode()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no UTF-8 text. Save it as UTF-8 and try again.") from error


def _to_file(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}. Give another file.") from error
    print(f"Wrote {file}", file=sys.stderr)
