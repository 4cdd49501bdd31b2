"""A table as a spreadsheet or an LMS writes it: CSV in one of its many dialects, with the line on which each row begins."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labenv import plain_tar
from labenv.errors import UsageError
from labenv.text import shown

_LARGEST = 20_000_000  # bytes; the rosters of a whole university are smaller
_DELIMITERS = ",;\t|"
_SEP = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)  # Excel's own first line, which names the delimiter


@dataclass(frozen=True)
class Row:
    """One row: its cells by the names of the columns, as they stand in the file and in its order, and the line where it begins.

    `lacks` is what is wrong with its form, as a sentence; empty if nothing is.
    """

    cells: Mapping[str, str]
    line: int
    lacks: str = ""


@dataclass(frozen=True)
class Table:
    """The names of the columns, without blanks around them and each once, and the rows that are not empty; `notes` on how it was read."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read(file: Path, known: Callable[[str], bool], alone: str) -> Table:
    """The table in a CSV file, in UTF-8, UTF-16, or Windows-1252, with commas, semicolons, tabs or bars between the cells (RFC 4180).

    `known` says of a cell whether it is the name of a column: the delimiter is the one that finds most of them. A file of one
    column may have no first row with names; its column is called `alone`. Raises UsageError for what is no such file.
    """
    text, notes = _decoded(file)
    lines = 0
    if sep := _SEP.match(text):
        text, lines = text[sep.end() :], 1
    delimiters = sep[1] if sep else _DELIMITERS
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(delimiters, key=lambda each: _names(first, each, known))
    rows = _rows(file, text, delimiter, lines)
    line, cells = next(rows, (1, []))
    columns = _once([cell.strip() for cell in cells])
    if not any(map(known, columns)) and len(columns) == 1:
        rows, columns = _rows(file, text, delimiter, lines), (alone,)
        notes = (*notes, f"line {line} names no column, so each line is taken for an id")
    return Table(columns, tuple(_row(columns, line, cells) for line, cells in rows), notes)


def _decoded(file: Path) -> tuple[str, tuple[str, ...]]:
    try:
        with plain_tar.opened(file) as source:
            data = source.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except plain_tar.Unreadable as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error
    if len(data) > _LARGEST:
        raise UsageError(f"{file} is larger than {_LARGEST // 1_000_000} MB, so it is no roster.")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UsageError(f"{file} is a workbook, not CSV. Open it, then File, Save as, CSV UTF-8.")
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding)
        except ValueError:
            continue
        if "\0" in text:
            break
        guessed = "it is not UTF-8, and was read as Windows-1252: look at the names with accents"
        return text.removeprefix("\ufeff"), (guessed,) if encoding == "cp1252" else ()
    raise UsageError(f"{file} is not text. Save it as CSV UTF-8.")


def _encodings(data: bytes) -> Iterator[str]:
    """What the bytes may be: Excel writes UTF-16 as "Unicode text", and the code page of its Windows as "CSV"."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield "utf-16"
    elif b"\0" in data[:2]:
        yield "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    else:
        yield from ("utf-8", "cp1252", "latin-1")


def _names(line: str, delimiter: str, known: Callable[[str], bool]) -> tuple[int, int]:
    cells = next(csv.reader([line], delimiter=delimiter), [])
    return sum(map(known, cells)), len(cells)


def _rows(file: Path, text: str, delimiter: str, before: int) -> Iterator[tuple[int, list[str]]]:
    """Each row that has something in it, and the line where it begins.

    A quotation mark that is out of place ends it with a UsageError: where the next row begins could only be guessed, and a student
    would be lost.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(
                f"{file}:{line}: a quotation mark in this row is not closed, or stands in the middle of a cell ({error}). Write "
                'a mark inside a quoted cell twice: "Robert ""Bob"" Smith".'
            ) from error
        if any(cell.strip() for cell in cells):
            yield line, cells


def _once(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number behind those that were there before."""
    found: dict[str, None] = {}
    for name in names:
        number = 1
        while (tried := name if number == 1 else f"{name} ({number})") in found:
            number += 1
        found[tried] = None
    return tuple(found)


def _row(columns: Sequence[str], line: int, cells: list[str]) -> Row:
    beyond = [cell for cell in cells[len(columns) :] if cell.strip()]
    lacks = (
        f"it has {len(cells)} cells, and there are {len(columns)} columns: {shown(beyond[0].strip())!r} is one too many. Put "
        "quotation marks around a cell with a comma in it"
        if beyond
        else ""
    )
    return Row(dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False)), line, lacks)
