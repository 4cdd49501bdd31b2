"""Looks at one submission without trusting it: its row in a teacher's table, and the notes on where it contradicts itself."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from labenv import student as students
from labenv.checks.results import ONLY_A_PERSON, WAITS, CheckResult
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
from labenv.text import clean, one_line, shown

_STATUSES = ("pass", "fail", "skip", "warn")
_PASSES = {"pass", "warn"}
_MOST_LEFT_OUT = 300
_MOST_NOTES, _LONGEST_NOTE = 20, 1000
_LONGEST_TEXT = 4000  # of what a check saw
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
class Looked:
    """A submission that could be read: its row, what is compared with others, the hints, and what the student's own checks say.

    `left_out` are the members that the student left out.
    """

    row: Submission
    traits: Traits
    asked: tuple[Asked, ...]
    results: tuple[CheckResult, ...]
    left_out: tuple[str, ...]


def look(file: str, given: Archive, handouts: tuple[str, ...] = (), lab: Lab | None = None) -> Looked:
    """What is to be said of an archive, called `file`; the `lab` is found by its name unless it is given. Raises Unreadable."""
    about = given.manifest
    student = student_of(about)
    if lab is None:
        lab = lab_of(about)
    elif about["lab"] != lab.id:
        raise Unreadable(f"it is a hand-in of {shown(about['lab'])}, not of {lab.id}")
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
        file=file,
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
    traits = alike.traits(given, file, lab, student, known.of(lab.folder, handouts))
    return Looked(row, traits, tuple(hints), tuple(_results(report)), tuple(left_out))


def _results(report: dict[str, Any]) -> Iterable[CheckResult]:
    """The check results, whose steps and statuses are known, each text without control characters and not too long."""

    def text(result: dict[str, Any], name: str) -> str:
        told = result.get(name)
        return clean(told[:_LONGEST_TEXT]) if isinstance(told, str) else ""

    ticked = {tick.step: tick for tick in _ticked(report)}
    for result in report["results"] if isinstance(report.get("results"), list) else ():
        names = ("check", "machine", "title")
        check, machine, title = (one_line(text(result, name)) for name in names)
        evidence, hint, seen, expected = (text(result, name) for name in ("evidence", "hint", "seen", "expected"))
        step, status = result["step"], result["status"]
        yield CheckResult(step, check, machine, title, status, evidence, hint, seen, expected, ticked.get(step))


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
