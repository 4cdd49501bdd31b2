"""Reading a roster: one student a row, as an LMS or a spreadsheet writes it."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from labenv import student
from labenv.classroom.folder import columns, keys, table
from labenv.classroom.folder.columns import Columns
from labenv.classroom.folder.ids import ids
from labenv.classroom.folder.model import Member
from labenv.errors import UsageError
from labenv.text import one_line, shown

_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    *map(chr, (0xFF1D, 0xFF0B, 0xFF0D, 0xFF20)),
)  # what a spreadsheet computes (labenv.text.cell)
_AS_TEXT = re.compile(r'="([^"]*)"')  # how it is told to leave a number as it is
_ROUNDED = re.compile(r"\d([.,]\d+)?[Ee]\+?\d+")
_LONGEST = 200  # characters of a name, an e-mail address or what is given for an id
_LISTED = 50  # bad rows with a sentence each


class BadRows(UsageError):
    """Rows of a roster that cannot be used: `rows` has a sentence by the line of each."""

    def __init__(self, file: Path, rows: dict[int, str]) -> None:
        super().__init__(_refusal(file, rows))
        self.rows = rows


@dataclass(frozen=True)
class Roster:
    """The students of a roster in its order, what its columns mean, and what is to be said of how it was read (`notes`)."""

    members: tuple[Member, ...]
    columns: Columns
    notes: tuple[str, ...] = ()


def read(file: Path) -> Roster:
    """The roster in a CSV file. Raises BadRows, or UsageError if it is no roster at all; then nobody is taken from it."""
    there = table.read(file, columns.known, "id")
    meant = columns.understood(there.columns)
    if not (meant.id or meant.email):
        names = ", ".join(shown(name) for name in there.columns[:20]) or "none"
        raise UsageError(
            f"{file}: no column says who a student is. Call one id, username or email. There are: {names}."
        )
    notes = list(there.notes)
    if meant.id in ("", meant.lms_id):
        notes.append(f"there is no id or username, so the ids come from '{shown(meant.id or meant.email)}'")
    bad: dict[int, str] = {}
    members = []
    for row in there.rows:
        if why := _of_canvas(row, meant) if meant.is_canvas else _of_a_preview(row, meant):
            notes += [f"line {row.line}: {why}"] if why.strip() else []
            continue
        try:
            members.append(_member(row, meant))
        except UsageError as error:
            bad[row.line] = str(error)
    bad |= dict(_repeated(members))
    made = ids(one.given for one in members)
    members = [replace(one, id=made[one.given]) for one in members]
    for one in members:
        if one.first is not None:
            try:
                student.check_first(one.first, one.id)
            except UsageError as error:
                bad.setdefault(one.line, str(error))
    if bad:
        raise BadRows(file, bad)
    if not members:
        raise UsageError(f"{file} has no students: there is no row below the names of the columns.")
    return Roster(tuple(members), meant, (*notes, *_shortened(members, meant.lms_id), *_shared_keys(members)))


def _member(row: table.Row, meant: Columns) -> Member:
    """What a row says, its id still missing. Raises UsageError."""
    if row.lacks:
        raise UsageError(row.lacks)

    def cell(name: str) -> str:
        text = unicodedata.normalize("NFC", row.cells.get(name, "")).strip()
        plain = _AS_TEXT.fullmatch(text)
        return one_line(plain[1] if plain else text).strip()

    login = cell(meant.id)
    email = cell(meant.email) or (login.removeprefix("#") if "@" in login else "")
    given = _given(login, meant.id) or _given(email, meant.email)
    if not given:
        where = " and ".join(f"'{shown(name)}'" for name in (meant.id, meant.email) if name)
        raise UsageError(f"it has nothing in {where}, so nobody knows who this is")
    x = cell(meant.x)
    if x and not (x.isascii() and x.isdecimal() and int(x[:4]) < 256):
        raise UsageError(f"the X '{shown(x)}' is no number from 0 to 255: the network is 192.168.X.0/24")
    name = " ".join(filter(None, map(cell, meant.name)))
    if meant.is_canvas:  # "Doe, Jane"
        name = re.sub(r"^([^,]+), ?([^,]+)$", r"\2 \1", name)
    return Member(
        "",
        given,
        name[:_LONGEST],
        email[:_LONGEST],
        cell(meant.lms_id).lstrip("#")[:_LONGEST],
        int(x) if x else None,
        cell(meant.first) or None,
        tuple(key for column in meant.keys for key in keys.read(row.cells[column])),
        row.cells,
        row.line,
    )


def _given(text: str, column: str) -> str:
    """Who is meant by the text in a cell: a login, or the local part of an e-mail address. Raises UsageError for what nobody is called."""
    text = text.removeprefix("#")  # Brightspace has it before each name
    if text.startswith(_FORMULA):
        raise UsageError(f"'{shown(text)}' in '{shown(column)}' is a formula, and nobody's id")
    if len(text) > _LONGEST:
        raise UsageError(f"'{shown(text[:30])}…' in '{shown(column)}' has {len(text)} characters, so it is nobody's id")
    return text.partition("@")[0].strip()


def _of_canvas(row: table.Row, meant: Columns) -> str:
    """What a row of Canvas's gradebook is that is no student's, a blank if that goes without saying; empty for a student."""
    name = " ".join(row.cells[each].strip() for each in meant.name)
    if name == "Student, Test":
        return "Canvas's test student is left out"
    if not row.cells[meant.lms_id].strip() and (not name or name.lower().startswith("points possible")):
        return " "
    return ""


def _of_a_preview(row: table.Row, meant: Columns) -> str:
    """What a row is that is no student's; empty for a student. Blackboard's preview of a course as a student sees it makes one."""
    is_one = row.cells.get(meant.id, "").strip().casefold().endswith("_previewuser")
    return "Blackboard's preview user is left out" if is_one else ""


def _repeated(members: Iterable[Member]) -> Iterator[tuple[int, str]]:
    """Each row of a student who has one before, and a sentence."""
    first: dict[str, int] = {}
    for one in members:
        if (before := first.setdefault(one.given, one.line)) != one.line:
            yield one.line, f"'{shown(one.given)}' is on line {before} already. Remove one, or give it another id"


def _shortened(members: Iterable[Member], column: str) -> Iterator[str]:
    """Each number of an LMS that a spreadsheet has rounded, as it does with those of more digits than a cell shows."""
    for one in members:
        if _ROUNDED.fullmatch(one.lms_id):
            yield (
                f"line {one.line}: '{shown(one.lms_id)}' in '{shown(column)}' was a long number before a spreadsheet rounded it. "
                "The LMS does not know it: export the roster again"
            )


def _shared_keys(members: Iterable[Member]) -> Iterator[str]:
    by_key: dict[str, dict[str, int]] = defaultdict(dict)
    for one in members:
        for key in one.keys:
            by_key[" ".join(key.split()[:2])][one.id] = one.line
    for owners in by_key.values():
        if len(owners) > 1:
            lines = " and ".join(str(line) for line in owners.values())
            yield f"lines {lines}: {' and '.join(owners)} have the same SSH key"


def _refusal(file: Path, bad: dict[int, str]) -> str:
    lines = sorted(bad)
    told = [f"  line {line}: {bad[line].rstrip('.')}." for line in lines[:_LISTED]]
    if rest := lines[_LISTED:]:
        told.append(f"  and {len(rest)} more, on the lines {_ranges(rest)}.")
    rows = "1 row cannot be used. Fix it" if len(lines) == 1 else f"{len(lines)} rows cannot be used. Fix them"
    return "\n".join([f"{file}: {rows}; until then no student is taken from it.", *told])


def _ranges(numbers: list[int]) -> str:
    """Numbers in order as a person writes them: "3, 5-9"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
