"""Reads handed-in archives into one table."""

import csv
import io
import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from labenv import plain_tar
from labenv import student as students
from labenv.checks.results import ONLY_A_PERSON, WAITS
from labenv.classroom.handins import alike, archive, claims, handin, known, times
from labenv.classroom.handins.alike import Likeness, Traits
from labenv.classroom.handins.archive import Archive
from labenv.environments.ticks import Tick, checked
from labenv.errors import UsageError
from labenv.lab import labs, marks
from labenv.lab.model import Lab
from labenv.plain_tar import Unreadable
from labenv.sheet import guide, logbook
from labenv.sheet.guide import Asked
from labenv.sheet.logbook import Section
from labenv.student import Student
from labenv.text import cell, decoded, one_line, shown

_TEMPLATES = Path(__file__).parent / "templates"
_STATUSES = ("pass", "fail", "skip", "warn")
_LARGEST_HANDOUT = 1_000_000  # bytes
_PASSES = {"pass", "warn"}
_MOST_ALIKE = 10  # named in the notes of a row; JSON has them all
_EVER = datetime.max.replace(tzinfo=UTC)
_MOST_LEFT_OUT = 300
_MOST_NOTES, _LONGEST_NOTE = 20, 1000
# The columns of the table: a field of `Submission`, and its name in CSV.
COLUMNS = {
    "student": "student",
    "domain": "domain",
    "when": "when",
    "held": "hold",
    "failed": "fail",
    "waiting": "wait",
    "first": "first failing",
    "hints": "hints",
    "book": "log book",
    "notes": "notes",
    "file": "file",
    "ticked": "ticked",
}
# The same on the screen and in HTML, in the words of the checks.
TITLES = COLUMNS | {"held": "pass"}


@dataclass(frozen=True)
class Submission:
    """One archive in the table. `sound` says whether it could be read and matches its manifest.

    `held`, `failed` and `waiting` count the steps that pass, fail, and wait for another. `book` says how many sections of
    the log book are filled in, of how many. `ticked` are the steps that the student ticked, with what the student says.
    `alike` is what other students' submissions of the same lab have in common with it.
    """

    file: str
    student: str = ""
    domain: str = ""
    when: str = ""
    held: int = 0
    failed: int = 0
    waiting: int = 0
    first: str = ""
    hints: int = 0
    book: str = ""
    notes: tuple[str, ...] = ()
    sound: bool = True
    ticked: tuple[str, ...] = ()
    alike: tuple[Likeness, ...] = ()
    lab: str = ""

    def cells(self) -> list[str]:
        """The row as text, one cell per column, without characters that a screen or a spreadsheet would obey."""
        values = {**asdict(self), "notes": "; ".join(self.notes), "ticked": "; ".join(self.ticked)}
        told = COLUMNS if self.student else ("notes", "file")  # an unreadable archive has no counts
        return [one_line(str(values[name])) if name in told else "" for name in COLUMNS]

    def to_dict(self) -> dict[str, Any]:
        """The row as `review --json` shows it."""
        return {
            **{name: one_line(v) if isinstance(v, str) else v for name, v in asdict(self).items()},
            "notes": [one_line(note) for note in self.notes],
            "ticked": [one_line(each) for each in self.ticked],
            "alike": [
                {name: one_line(v) if isinstance(v, str) else v for name, v in asdict(found).items()}
                for found in self.alike
            ],
        }


@dataclass(frozen=True)
class _Read:
    """A submission that could be read: its row, what is compared with others, and the hints."""

    row: Submission
    traits: Traits
    asked: tuple[Asked, ...]


def review(files: Iterable[Path], handouts: Iterable[Path] = ()) -> list[Submission]:
    """A row for each archive, in the given order; the notes of a broken one say why. A folder stands for the archives in it.

    `handouts` are texts that the students were given, so that quoting them counts nothing. Raises UsageError when none of the
    files exists, or a handout cannot be read.
    """
    given = list(files)
    if not any(file.exists() for file in given):
        raise UsageError(
            f"There is no file {one_line(', '.join(map(str, given)))}. Give archives from `labenv submit`."
        )
    files = [file for each in given for file in (_archives(each) if each.is_dir() else [each])]
    texts = tuple(_handout(file) for file in handouts)
    found: list[_Read | Submission] = []
    for file in files:
        try:
            found.append(_read(file, archive.read(file), texts))
        except (Unreadable, UsageError) as error:  # the lab's own files may be broken
            found.append(Submission(str(file), notes=(f"unreadable: {error}",), sound=False))
    compared = iter(_compared([each for each in found if isinstance(each, _Read)]))
    return [next(compared) if isinstance(each, _Read) else each for each in found]


def _archives(folder: Path) -> list[Path]:
    """The archives in a folder, or the folder itself, which is none, so that its row says so."""
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith((".tar.gz", ".tgz"))) or [folder]
    except OSError:
        return [folder]


def as_csv(rows: Iterable[Submission]) -> str:
    """The table as CSV (RFC 4180); a cell that a spreadsheet would take for a formula gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS.values())
    for row in rows:
        writer.writerow(map(cell, row.cells()))
    return buffer.getvalue()


def as_html(rows: Iterable[Submission]) -> str:
    """The table as one self-contained HTML page."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template("review.html.j2").render(columns=TITLES, rows=list(rows))


def _handout(file: Path) -> str:
    try:
        with plain_tar.opened(file) as opened:
            return decoded(opened.read(_LARGEST_HANDOUT))
    except (OSError, Unreadable) as error:
        raise UsageError(f"The handout {one_line(str(file))} cannot be read: {error}. Give a text file.") from error


def _read(file: Path, given: Archive, handouts: tuple[str, ...]) -> _Read:
    """The row of an archive, and what it is compared with others by. Raises Unreadable."""
    about = given.manifest
    student, lab = student_of(about), lab_of(about)
    notes = list(given.notes)
    if about["domain"] != student.domain:
        notes.append(f"the manifest's domain is {about['domain']}, not the student's")
    has_book, hands_in = logbook.exists(lab), handin.exists(lab)
    text = given.text(handin.BOOK)[: logbook.LARGEST]
    book = logbook.sections(text, logbook.blank(lab, student)) if has_book else []
    report = archive.document(given.members.get(handin.CHECKS), handin.CHECKS)
    left_out = _left_out(given)
    if left_out:
        notes.append(f"left out by the student: {', '.join(left_out)}")
    claimed, failed, waiting = _steps(report, lab, student, [] if handin.BOOK in left_out else book, notes)
    notes += _noted(report)
    if not any(
        name.startswith(("config/", "evidence/")) for name in left_out
    ):  # they would contradict what is not there
        notes += claims.contradictions(given, lab, student.domain, about["network"], claimed)
    machines = handin.wanted(lab).machines if hands_in else ()
    expected = [*([handin.BOOK] if has_book else []), handin.HINTS, *(f"evidence/{name}.txt" for name in machines)]
    notes += [f"{name} is missing" for name in expected if name not in given.members and name not in left_out]
    filled = sum(section.is_filled for section in book)
    hints = list(guide.read_asked(given.text(handin.HINTS)[: logbook.LARGEST].splitlines()))
    if handin.HINTS not in left_out:
        notes += _missing_hints(len(hints), {handin.MANIFEST: about, handin.CHECKS: report})
    notes += times.impossible(given, report, hints, datetime.now(UTC))
    row = Submission(
        file=str(file),
        lab=lab.id,
        student=student.id,
        domain=about["domain"],
        when=about["time"],
        held=len(claimed),
        failed=len(failed),
        waiting=len(waiting),
        first=f"{failed[0]}: {lab.steps[failed[0]].title}" if failed else "",
        hints=len(hints),
        book=f"{filled} of {len(book)}" if has_book else "",
        notes=tuple(notes),
        sound=not given.notes,
        ticked=tuple(f"{tick.step}: {tick.words}".rstrip(": ") for tick in _ticked(report)),
    )
    return _Read(row, alike.traits(given, str(file), lab, student, known.of(lab.folder, handouts)), tuple(hints))


def _noted(report: dict[str, Any]) -> list[str]:
    """What `labenv submit` noted about the programs of the machines."""
    notes = report.get("notes")
    said = notes if isinstance(notes, list) else []
    return [note[:_LONGEST_NOTE] for note in said[:_MOST_NOTES] if isinstance(note, str)]


def _left_out(given: Archive) -> list[str]:
    """The members that the manifest says the student left out, and that are not there."""
    told = given.manifest.get("left_out")
    names = told[:_MOST_LEFT_OUT] if isinstance(told, list) else []
    return [name for name in names if isinstance(name, str) and handin.is_name(name) and name not in given.members]


def _ticked(report: dict[str, Any]) -> Iterable[Tick]:
    """What the student ticked, according to the check results, by step."""
    results = report.get("results")
    entries = [
        {**result["ticked"], "step": result.get("step")}
        for result in (results if isinstance(results, list) else [])
        if isinstance(result, dict) and isinstance(result.get("ticked"), dict)
    ]
    return checked(entries).values()


def student_of(about: dict[str, Any]) -> Student:
    """The student that a manifest names, without a password. Raises Unreadable."""
    try:
        network = ipaddress.IPv4Network(about["network"])
        name = students.check_id(about["student"])
        return Student(name, network.network_address.packed[2], _first(about.get("first"), name), "")
    except (UsageError, ValueError) as error:
        raise Unreadable(f"its manifest has no valid student and network: {error}") from error


def _first(told: object, student: str) -> str:
    """The first name that a manifest tells, or that labenv would derive."""
    try:
        return students.check_first(told, student) if isinstance(told, str) else students.derive_first(student)
    except UsageError:
        return students.derive_first(student)


def lab_of(about: dict[str, Any]) -> Lab:
    """The lab that a manifest names. Raises Unreadable if it is not here, cannot be read, or is not trusted by the user."""
    name = about["lab"]
    said = f"nothing of it was looked at, because its lab is {shown(name)}"
    try:
        if not labs.named(name):  # a path in an archive means nothing here
            raise Unreadable(f"{said}, which this labenv does not have: put it into {labs.own_folder()}")
        return labs.load(name)
    except UsageError as error:
        raise Unreadable(f"{said}: {error}") from error


def _steps(
    report: dict[str, Any], lab: Lab, student: Student, book: list[Section], notes: list[str]
) -> tuple[set[str], list[str], list[str]]:
    """The steps that pass, fail, and wait for another, according to the check results. Raises Unreadable."""
    if report.get("student") != student.id:
        notes.append(f"{handin.CHECKS} is not the student's")
    results = report.get("results")
    found: dict[str, set[str]] = defaultdict(set)
    passes: list[tuple[str, str, str]] = []
    for result in results if isinstance(results, list) else []:
        step, status = (result.get("step"), result.get("status")) if isinstance(result, dict) else (None, None)
        if not isinstance(step, str) or step not in lab.steps or status not in _STATUSES:
            raise Unreadable(f"its {handin.CHECKS} has a result with an unknown step or status")
        found[step].add(status)
        if status in _PASSES:
            passes.append((step, str(result.get("check")), str(result.get("evidence"))))
    if lacking := [s.id for s in lab.steps.values() if not s.is_for_a_person and s.id not in found]:
        notes.append(f"{handin.CHECKS} has no result for {len(lacking)} steps, the first is {lacking[0]}")
    notes += _untrue(passes, lab, book)
    failed = [name for name in lab.steps if "fail" in found[name]]
    waiting = [n for n, s in lab.steps.items() if "skip" in found[n] and n not in failed and not s.is_for_a_person]
    held = {name for name, seen in found.items() if seen and seen <= _PASSES}
    return held, failed, waiting


def _untrue(passes: list[tuple[str, str, str]], lab: Lab, book: list[Section]) -> list[str]:
    """A sentence for each kind of pass that the checks never give. A pass is a step, its check, and what that saw."""
    notes = []
    bound = marks.checks(lab.folder)
    alone = {step for step, check, _ in passes if lab.steps[step].is_for_a_person and check not in bound.get(step, ())}
    if persons := [name for name in lab.steps if name in alone]:
        notes.append(f"{handin.CHECKS} says that {_count(persons)} that only a person can judge: {', '.join(persons)}")
    empty = {" ".join(s.title.casefold().split()): s.title for s in book if not s.has_text}
    for step, check, _ in passes:  # a check of a section of the log book has its name
        if lab.steps[step].is_for_a_person and (title := empty.get(check.replace("_", " "))):
            notes.append(f"{handin.CHECKS} says that step {step} passes, but {title} of the log book is not filled in")
    unrun = {step for step, _, saw in passes if saw.startswith((WAITS, ONLY_A_PERSON)) and step not in alone}
    if unrun:
        listed = [name for name in lab.steps if name in unrun]
        notes.append(
            f"{handin.CHECKS} says that {_count(listed)}, but gives the reason why they could not be checked: "
            f"{', '.join(listed)}"
        )
    return notes


def _count(steps: list[str]) -> str:
    return f"{len(steps)} step passes" if len(steps) == 1 else f"{len(steps)} steps pass"


def _missing_hints(there: int, told: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for each count of hints that is not the number that is there, or is told in one place alone."""
    counts = {name: about["hints"] for name, about in told.items() if "hints" in about}
    notes = [
        f"{handin.HINTS} has {there}, but {name} says that {one_line(str(count))[:20]} were asked for"
        for name, count in counts.items()
        if count != there
    ]
    if counts and (silent := [name for name in told if name not in counts]):
        notes.append(f"{silent[0]} does not say how many hints were asked for, {next(iter(counts))} does")
    return notes


def _compared(read: list[_Read]) -> list[Submission]:
    """The rows, with notes on what several of one lab share."""
    of_labs: dict[str, list[_Read]] = defaultdict(list)
    for each in read:
        of_labs[each.row.lab].append(each)
    rows = {lab: iter(_compared_in_one(those)) for lab, those in of_labs.items()}
    return [next(rows[each.row.lab]) for each in read]


def _compared_in_one(read: list[_Read]) -> list[Submission]:
    """The rows of one lab, with notes on what several of them share."""
    rows = []
    owners = {each.row.domain: each.row.student for each in read}
    for each, found in zip(read, alike.compared([each.traits for each in read]), strict=True):
        notes = [*each.row.notes]
        words = each.traits.own_words
        same = [other for other in read if words and other is not each and other.traits.own_words == words]
        same = [other for other in same if other.row.student != each.row.student]
        notes += [f"same log book as {other.row.student}" for other in same]
        notes += _sentences([a for a in found if a.what != "log book" or a.file not in {o.row.file for o in same}])
        foreign = sorted(name for name in each.traits.domains & owners.keys() if owners[name] != each.row.student)
        notes += [f"the configuration names {name}, the domain of {owners[name]}" for name in foreign]
        notes += _of_the_same(each, read)
        rows.append(replace(each.row, notes=tuple(notes), alike=tuple(found)))
    return rows


def _sentences(found: list[Likeness]) -> list[str]:
    """A sentence for each submission that looks alike, the first ones."""
    by_file: dict[tuple[str, str], list[Likeness]] = defaultdict(list)
    for each in found:
        by_file[each.student, each.file].append(each)
    said = [
        f"looks alike with {student}: {', '.join(part.sentence for part in parts)}"
        for (student, _), parts in by_file.items()
    ]
    more = [f"looks alike with {len(said) - _MOST_ALIKE} more"] if len(said) > _MOST_ALIKE else []
    return said[:_MOST_ALIKE] + more


def _of_the_same(each: _Read, read: list[_Read]) -> list[str]:
    """A sentence for each other submission of the same student, and for one that had hints which are not here."""
    notes = []
    for other in read:
        if other is not each and other.row.student == each.row.student:
            notes.append(f"same student as in {other.row.file}")
            gone = set(other.asked) - set(each.asked)
            if gone and (times.moment(other.row.when) or _EVER) <= (times.moment(each.row.when) or _EVER):
                notes.append(f"{len(gone)} hints in {other.row.file} are not in this later one")
    return notes
