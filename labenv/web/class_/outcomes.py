"""What came of a work for the whole class, in sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from labenv.text import many
from labenv.web.class_.works import Work


def sentences(work: Work) -> list[str]:
    """What came of it: first all together, then who failed, and why."""
    if work.problem:
        return [work.problem]
    if work.runs:
        return []
    document = work.document
    failed = document.get("failed", ())
    said = [each if isinstance(each, str) else f"{each['student']}: {each['error']}" for each in failed]
    name = next(name for name in _TOLD if tuple(work.arguments[: len(name)]) == name)
    return [*_TOLD[name](document), *said]


def _check(document: Mapping[str, Any]) -> Iterator[str]:
    reports = [each for each in document["students"] if "summary" in each]
    bad = sum(bool(each["summary"]["failed"]) for each in reports)
    found = f": a step fails for {bad}" if bad else ": no step fails" if reports else ""
    yield f"{many(len(reports), 'student')} checked{found}."
    yield from (f"{each['student']}: {each['error']}" for each in document["students"] if "error" in each)


def _started(document: Mapping[str, Any]) -> Iterator[str]:
    students = document["students"]
    yield f"Started a drill for {many(len(students), 'student')}. They see its symptom; the steps are hidden from them."
    yield from (f"{each['student']}: {each['drill']} (level {each['level']})" for each in students)


def _ended(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"Ended the drills of {many(len(document['students']), 'student')}."


def _grade(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"Graded {many(len(document['grades']), 'student')}."


def _matrix(document: Mapping[str, Any]) -> Iterator[str]:
    counts = document["summary"]
    yield f"{counts['delivered']} of {counts['pairs']} pairs delivered."
    yield from (f"{each['student']} {words}" for each in document["students"] for words in each["troubles"])


_TOLD = {
    ("check",): _check,
    ("drill", "start"): _started,
    ("drill", "give-up"): _ended,
    ("grade",): _grade,
    ("matrix",): _matrix,
}
