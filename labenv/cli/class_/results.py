"""What grades are written to: the options of the commands that have grades, and the files.

A file has its old content or the new one, never a part, and is for the teacher alone (0600).
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli.common import check_writable
from labenv.errors import UsageError
from labenv.text import one_line, shown

if TYPE_CHECKING:
    from labenv.classroom.gradebook import Book

_LMS = (
    "moodle",
    "canvas",
    "blackboard",
    "brightspace",
)  # labenv.classroom.gradebook.LMS, which takes a while to import


def _complete_lms(incomplete: str) -> list[str]:
    return [f"{name}=" for name in _LMS if name.startswith(incomplete)]


CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV: a row a student, a column a step.")
]
XlsxOption = Annotated[
    Path | None,
    typer.Option("--xlsx", metavar="FILE", help="Write a workbook: summary, points, steps, remarks, history."),
]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML: a suite a student, a case a step.")
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the report of the class as one HTML page.")
]
HtmlEachOption = Annotated[
    Path | None,
    typer.Option("--html-each", metavar="FOLDER", help="Write a page for each student to hand back: only theirs."),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results", metavar="FOLDER", help="Write STUDENT/results.json for each, as Gradescope's autograder reads it."
    ),
]
GradebookOption = Annotated[
    list[str] | None,
    typer.Option(
        "--gradebook",
        metavar="LMS=FILE",
        autocompletion=_complete_lms,
        help="Write a file to import into the gradebook of moodle, canvas, blackboard or brightspace. Repeatable.",
    ),
]
ItemOption = Annotated[
    str,
    typer.Option("--item", metavar="TEXT", help="What the LMS calls the lab. Default: the roster's column for it."),
]


@dataclass(frozen=True)
class Wanted:
    """The files that a teacher asked for: by kind, by LMS, and the folders."""

    kinds: dict[str, Path]
    gradebooks: dict[str, Path]
    html: Path | None
    html_each: Path | None
    results: Path | None
    item: str

    @property
    def is_nothing(self) -> bool:
        """Whether no file is wanted."""
        return not any((self.kinds, self.gradebooks, self.html, self.html_each, self.results))


def wanted(
    *,
    csv: Path | None = None,
    xlsx: Path | None = None,
    junit: Path | None = None,
    html: Path | None = None,
    html_each: Path | None = None,
    results: Path | None = None,
    gradebook: Iterable[str] | None = None,
    item: str = "",
) -> Wanted:
    """The files that the options name. Raises UsageError, before anything is graded, for what could not be written."""
    kinds = {kind: path for kind, path in (("csv", csv), ("xlsx", xlsx), ("junit", junit)) if path}
    gradebooks = {}
    for text in gradebook or ():
        name, _, place = text.partition("=")
        if name.lower() not in _LMS or not place:
            raise UsageError(
                f"--gradebook '{shown(text)}' names no LMS and file. Write it as --gradebook moodle=FILE; there are "
                f"{', '.join(_LMS)}."
            )
        gradebooks[name.lower()] = Path(place)
    files = [*kinds.values(), *gradebooks.values(), *([html] if html else [])]
    for file in files:
        if [each.resolve() for each in files].count(file.resolve()) > 1:
            raise UsageError(f"{file} is named twice. Give each report a file of its own.")
        check_writable(file)
    for folder in filter(None, (html_each, results)):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file. Name a folder: each student gets a file in it.")
    if xlsx and not find_spec("xlsxwriter"):
        raise UsageError(
            "--xlsx needs the package XlsxWriter, which is not installed. Install it: pip install 'labenv[class]'. Or write "
            "CSV: --csv FILE"
        )
    return Wanted(kinds, gradebooks, html, html_each, results, item)


def write(files: Wanted, book: "Book") -> None:
    """Write the files, and say so on stderr, with what the teacher must know about them. Raises UsageError."""
    from labenv.classroom import gradebook

    book = replace(book, item=files.item)
    for kind, path in files.kinds.items():
        _write(path, gradebook.KINDS[kind](book))
    for name, path in files.gradebooks.items():
        made = gradebook.as_import(book, name)
        _write(path, made.data)
        for note in made.notes:
            typer.secho(one_line(f"{path}: {note}"), fg="yellow", err=True)
    if files.results:
        for grade in book.grades:
            _write(files.results / grade.student / "results.json", gradebook.results(grade), quiet=True)
        print(f"Wrote {len(book.grades)} files to {files.results}", file=sys.stderr)
    if files.html or files.html_each:
        from labenv.classroom import report

        if files.html:
            _write(files.html, report.of_class(book))
        if files.html_each:
            for grade in book.grades:
                _write(files.html_each / f"{grade.student}.html", report.of_student(book, grade), quiet=True)
            print(f"Wrote {len(book.grades)} pages to {files.html_each}", file=sys.stderr)


def _write(path: Path, data: bytes, *, quiet: bool = False) -> None:
    draft = ""
    try:
        for folder in reversed(path.parents):
            folder.mkdir(mode=0o700, exist_ok=True)  # `parents=True` would give others a look into those on the way
        if path.exists() and not path.is_file():  # such as /dev/stdout
            path.write_bytes(data)
        else:
            target = path.resolve()
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as out:
                draft = out.name
                out.write(data)
            os.replace(draft, target)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)
    if not quiet:
        print(f"Wrote {path}", file=sys.stderr)
