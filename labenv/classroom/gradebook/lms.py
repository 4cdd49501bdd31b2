"""The points of one lab for the gradebook of an LMS: the columns by which it knows a student, as its roster had them, and one item.

A spreadsheet program may open these files before the LMS does, and the columns that identify a student must stay as they are, or
the LMS finds nobody. So nothing in these is changed: a student whose identification would be a formula is left out, and a note
says so. Names, which are there for the teacher's eyes, are escaped as everywhere (`labenv.text.cell`). Students without a grade are
left out too: an empty cell would remove what the LMS has.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from labenv.classroom.folder.model import Member
from labenv.classroom.gradebook.book import Book
from labenv.text import cell, one_line


@dataclass(frozen=True)
class Import:
    """A file for an LMS's import, and what the teacher must know about it, in sentences."""

    data: bytes
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Lms:
    """How an LMS wants its file.

    `keys` are its columns that identify a student, each with how a member's value is found; `any_of` are those of which a student
    needs one. `item` has the column of points in a roster that came from this LMS, with the item's title as the group `title`;
    `header` makes it of a title, and `unknown` says what comes of one that the LMS does not have. `named` is the column of names, if
    the LMS does not take it for an item; `top` makes a row below the heading; `last` is what each row ends with.
    """

    name: str
    keys: dict[str, Callable[[Member], str]]
    any_of: tuple[str, ...]
    item: re.Pattern[str]
    header: str
    unknown: str = ""
    named: tuple[str, ...] = ()
    top: Callable[[str, int], Sequence[str]] | None = None
    last: tuple[str, str] | None = None
    delimiter: str = ","
    encoding: str = "utf-8"


_AS_TEXT = re.compile(r'^="([^"]*)"$')  # how a spreadsheet is told to leave a number as it is


def _plain(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _column(*names: str) -> Callable[[Member], str]:
    """What the roster has for a member in the first of these columns that is there and not empty; case and blanks do not count."""
    wanted = [_plain(name) for name in names]

    def found(member: Member) -> str:
        there = {_plain(name): _AS_TEXT.sub(r"\1", value.strip()) for name, value in member.row.items()}
        return next((there[name] for name in wanted if there.get(name)), "")

    return found


def _or(*ways: Callable[[Member], str]) -> Callable[[Member], str]:
    return lambda member: next(filter(None, (way(member) for way in ways)), "")


def _is_canvas(member: Member) -> bool:
    return bool({"SIS Login ID", "SIS User ID", "Section"} & set(member.row))


def _canvas_id(member: Member) -> str:
    """Canvas's own number. Other rosters call other things ID, so it must be a number beside one of Canvas's own columns."""
    value = member.row.get("ID", "").strip()
    return value if value.isdecimal() and _is_canvas(member) else ""


def _sis_id(member: Member) -> str:
    """What the student information system calls a student; a roster of Canvas itself has its own number as the LMS id."""
    return _column("SIS User ID")(member) if _is_canvas(member) else member.lms_id


def _canvas_points(points: str, keys: int) -> list[str]:
    # "    Points Possible" is how Canvas writes it; reading, it looks for the two words.
    return ["    Points Possible", *[""] * keys, points]


def _login(member: Member) -> str:
    """What the roster gave for the id, unless that is the number that the LMS has."""
    return "" if member.given == member.lms_id else member.given


_EMAIL, _LMS_ID = attrgetter("email"), attrgetter("lms_id")


LMS: dict[str, _Lms] = {
    # docs.moodle.org/en/Grade_import: CSV with a comma, UTF-8; the teacher says on the page which column is which.
    "moodle": _Lms(
        "Moodle",
        {
            "Username": _column("Username"),
            "ID number": _or(_column("ID number", "idnumber"), _LMS_ID),
            "Email address": _or(_column("Email address"), _EMAIL),
        },
        ("Username", "ID number", "Email address"),
        re.compile(r"(?:\w+: ?)?(?P<title>.+?)(?: \((?:Real|Percentage|Letter)\))?"),
        "{}",
        named=("Student",),
    ),
    # github.com/instructure/canvas-lms, lib/gradebook_importer.rb: the header row begins with Student and ID, and has Section
    # before the items; a student is found by ID, by SIS User ID, by SIS Login ID; `Title (12345)` is the item with that id.
    "canvas": _Lms(
        "Canvas",
        {
            "ID": _canvas_id,
            "SIS User ID": _sis_id,
            "SIS Login ID": _or(_column("SIS Login ID", "Login ID"), _login),
            "Section": _column("Section"),
        },
        ("ID", "SIS User ID", "SIS Login ID"),
        re.compile(r"(?P<title>.+) \(\d+\)"),
        "{}",
        "Canvas makes a new assignment, unless one is called so.",
        named=("Student",),
        top=_canvas_points,
    ),
    # help.blackboard.com, "Upload and Download Grades": tab-delimited UTF-16 as it downloads it; `Title |12345` is the column with that id.
    "blackboard": _Lms(
        "Blackboard",
        {"Username": _or(_column("Username"), _login), "Student ID": _or(_column("Student ID"), _LMS_ID)},
        ("Username",),
        re.compile(r"(?P<title>.+?)(?: \[[^\]]*\])? ?\|\d+"),
        "{}",
        "Blackboard makes a new column of text, which counts no points.",
        delimiter="\t",
        encoding="utf-16",
    ),
    # community.d2l.com/brightspace/kb/articles/3538-importing-grades: UTF-8, each row ends with the indicator.
    "brightspace": _Lms(
        "Brightspace",
        {
            "OrgDefinedId": _or(_column("OrgDefinedId", "Org Defined ID"), _LMS_ID),
            "Username": _or(_column("Username"), _login),
        },
        ("OrgDefinedId", "Username"),
        re.compile(r"(?P<title>.+) Points Grade(?: <.*>)?"),
        "{} Points Grade",
        "Brightspace asks whether to make a new item, unless one is called so.",
        last=("End-of-Line Indicator", "#"),
    ),
}


def as_import(book: Book, kind: str) -> Import:
    """The file for the LMS `kind`, one of LMS."""
    lms = LMS[kind]
    item, known = _item(book, lms)
    notes = [] if known or not lms.unknown else [_unknown(item, lms)]
    rows = []
    without = [grade.student for grade in book.grades if grade.missing and not grade.overrides]
    for grade in book.grades:
        member = book.members.get(grade.student)
        if grade.student in without or member is None:
            continue
        keys = [way(member) for way in lms.keys.values()]
        if wrong := _wrong(member, lms, keys):
            notes.append(wrong)
        else:
            rows.append([*(cell(one_line(member.name)) for _ in lms.named), *keys, _points(grade.total)])
    if without:
        notes.append(f"Without a grade, and so not in the file: {', '.join(without)}.")
    return Import(_written(book, lms, item, rows), tuple(notes))


def _written(book: Book, lms: _Lms, item: str, rows: list[list[str]]) -> bytes:
    last = [lms.last[0]] if lms.last else []
    each = [lms.last[1]] if lms.last else []
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=lms.delimiter)
    writer.writerow([*lms.named, *lms.keys, item, *last])
    if lms.top:
        writer.writerow(lms.top(_points(book.points), len(lms.keys)))
    writer.writerows([*row, *each] for row in rows)
    return buffer.getvalue().encode(lms.encoding)


def _item(book: Book, lms: _Lms) -> tuple[str, bool]:
    """The heading of the column of points, and whether the LMS is known to have it: the roster has it, or the teacher says it."""
    titles = [book.item] if book.item else [book.lab.title, book.lab.title.partition(":")[0], book.assignment.name]
    wanted = {_plain(title) for title in titles}
    for column in dict.fromkeys(name for one in book.of.members for name in one.row if name):
        match = lms.item.fullmatch(column.strip())
        if match and (_plain(match["title"]) in wanted or column.strip() == book.item):
            return column.strip(), True
    if lms.item.fullmatch(book.item):
        return book.item, True
    return lms.header.format(cell(one_line(titles[0]))), False


def _unknown(item: str, lms: _Lms) -> str:
    return (
        f"The roster has no column of {lms.name} for this lab, so the file calls it '{item}'. {lms.unknown} Export the gradebook "
        "from there and use it as the roster, or say how its heading reads: --item TEXT"
    )


def _wrong(member: Member, lms: _Lms, keys: list[str]) -> str:
    """Why a student cannot be in the file; empty if nothing is wrong."""
    where = f"line {member.line} of the roster" if member.line else "the roster"
    for name, value in zip(lms.keys, keys, strict=True):
        if value != cell(one_line(value)):
            return (
                f"{member.id} is not in the file: what {where} has as {name} would be a formula in a spreadsheet. Enter "
                "the points by hand."
            )
    if not any(value for name, value in zip(lms.keys, keys, strict=True) if name in lms.any_of):
        return f"{member.id} is not in the file: {where} has no {' and no '.join(lms.any_of)}, by which {lms.name} knows a student."
    return ""


def _points(points: float) -> str:
    """Points with at most two decimals, as the gradebooks show them, and a point."""
    return f"{points:.2f}".rstrip("0").rstrip(".")
