"""The logbook command."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption, write_text
from labenv.cli.output import document
from labenv.errors import LabenvError, UsageError
from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.engine import Engine
    from labenv.environment import Environment

_EDITORS = ("nano", "vim", "vi", "emacs", "micro", "ed")


def logbook(
    edit: Annotated[bool, typer.Option("--edit", "-e", help="Open it in $VISUAL or $EDITOR.")] = False,
    export: Annotated[Path | None, typer.Option("--export", metavar="FILE", help="Copy it to this file.")] = None,
    import_: Annotated[Path | None, typer.Option("--import", metavar="FILE", help="Replace it with this file.")] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Show, edit, export or import the log book, a Markdown file that labenv created for you in the lab.

    Examples:

      labenv logbook --edit

      labenv logbook --export logbook.md

      labenv logbook --json | jq '.sections[] | {section, filled}'
    """
    from labenv.lab import labs
    from labenv.sheet import logbook as books

    if sum(map(bool, (edit, export, import_, json))) > 1:
        raise UsageError("--edit, --export, --import and --json cannot be combined. Give one of them.")
    new = _from_file(import_, books.LARGEST) if import_ else None
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        keeper = books.keeper(labs.of(environment))
        if new is not None:
            books.write(engine, environment, new)
            print(f"The log book on {keeper} is now {import_}; the old one is {books.PATH}~ there.", file=sys.stderr)
            return
        text = books.read(engine, environment)
    if edit:
        _edit(engine, environment, keeper, text)
    elif export:
        write_text(export, text)
    elif json:
        book = books.sections(text, books.blank(labs.of(environment), environment.student))
        common.print_json(books.as_json(environment.student.id, book))
    else:
        document(text)
        if not text.strip():
            print(
                f"The log book on {keeper} is empty, even its headings are gone. The next labenv logbook makes a new one after: "
                f"labenv exec {keeper} -s {environment.student.id} -- rm {books.PATH}",
                file=sys.stderr,
            )
        elif not books.own_words(books.sections(text, books.blank(labs.of(environment), environment.student))):
            print("Nothing is written in it yet. To write: labenv logbook --edit", file=sys.stderr)


def _editor() -> list[str]:
    """The user's editor, with its arguments; vi(1) if none is set. Raises UsageError."""
    for name in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(os.environ.get(name, ""))
        except ValueError as error:
            raise UsageError(f"{name} cannot be understood: {error}. Example: {name}='code --wait'") from error
        if words:
            _check_there(words[0], f"{name} names")
            return words
    if not (os.isatty(0) and os.isatty(1)):  # vi would wait forever
        raise UsageError("There is no terminal for an editor. Set EDITOR to one that needs none, or use --import FILE.")
    _check_there("vi", "EDITOR is not set, so labenv would start")
    return ["vi"]


def _check_there(program: str, who: str) -> None:
    """Raise UsageError, before anything is copied, if a program cannot be started."""
    if shutil.which(program):
        return
    there = next((name for name in _EDITORS if shutil.which(name)), None)
    way = (
        f"Set EDITOR to one that is there: EDITOR={there} labenv logbook --edit"
        if there
        else f"Install one, such as {_EDITORS[0]}"
    )
    raise UsageError(
        f"{who} the editor {one_line(program)}, which cannot be started: there is no such program here. {way}. Without an editor: "
        "labenv logbook --export FILE, then --import FILE."
    )


def _edit(engine: "Engine", environment: "Environment", keeper: str, text: str) -> None:
    """Edit a copy and write it back. If anything fails, the copy stays and its path is shown."""
    from labenv.sheet import logbook as books

    editor = _editor()
    new = ""
    handle, name = tempfile.mkstemp(prefix=f"logbook-{environment.student.id}-", suffix=".md")
    copy = Path(name)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(text)
    try:
        try:
            ended = subprocess.run([*editor, name], check=False).returncode
        except OSError as error:
            raise UsageError(
                f"The editor {editor[0]} cannot be started: {error.strerror}. Set EDITOR, for example EDITOR=nano."
            ) from error
        new = _from_file(copy, books.LARGEST)
        if ended:
            raise UsageError(f"The editor {editor[0]} {_end(ended)}, so the log book was not changed.")
        if not new.strip():
            raise UsageError(
                "You saved an empty file, so the log book was not changed. To start again with the blank one: "
                f"labenv exec {keeper} -s {environment.student.id} -- rm {books.PATH}"
            )
        if new != text:
            if books.read(engine, environment) != text:
                raise UsageError(f"The log book on {keeper} changed while you were editing, so it was not replaced.")
            books.write(engine, environment, new)
    except BaseException as error:
        if not new.strip() or new == text:
            copy.unlink(missing_ok=True)
        elif isinstance(error, OSError | LabenvError | KeyboardInterrupt):
            command = shlex.join(["labenv", "logbook", "-s", environment.student.id, "--import", name])
            print(f"Your text is kept in {name}. To use it: {command}", file=sys.stderr)
        raise
    copy.unlink()
    print("The log book was not changed." if new == text else f"The log book on {keeper} is updated.", file=sys.stderr)


def _end(status: int) -> str:
    """How a program ended that did not succeed (subprocess: a signal is a negative status)."""
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def _from_file(file: Path, most: int) -> str:
    try:
        with open(file, "rb") as source:
            data = source.read(most + 1)
        if len(data) > most:
            raise UsageError(f"{file} is larger than {most} bytes, the limit for a log book.")
        return data.decode()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text. Save it as UTF-8 and try again.") from error
