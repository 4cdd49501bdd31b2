"""Grades as JSON: labenv's own document of a class, and the results.json of one student that autograders read."""

import json
from typing import Any

from labenv.classroom.gradebook.book import JUDGES, Book
from labenv.classroom.grading.model import Grade, StepGrade
from labenv.text import clean


def as_json(book: Book) -> bytes:
    """The grades with what the roster says of each student, and what looks alike."""
    return _written(to_dict(book))


def to_dict(book: Book) -> dict[str, Any]:
    """The document of `class grade --json`: times are ISO 8601, points are numbers."""
    due = book.assignment.due
    return {
        "class": book.of.id,
        "name": book.of.name,
        "lab": book.assignment.name,
        "due": due.isoformat() if due else None,
        "of": book.points,
        "grades": [grade.to_dict() | _known(book, grade) for grade in book.grades],
        "alike": [{"students": list(each.students), "said": each.said} for each in book.alike],
    }


def results(grade: Grade) -> bytes:
    """One student's results.json, as Gradescope reads it (gradescope-autograders.readthedocs.io/en/latest/specs).

    The score on top counts there, not the sum of the tests: deductions and decisions are in it, and in `output` in words. What
    only the teacher may see is not in it, and there is no leaderboard.
    """
    said = [f"{grade.total:g} of {grade.of:g} points"]
    said += [f"{each.points:g} points deducted: {each.reason}" for each in grade.deductions]
    said += [
        f"{f'step {each.step}' if each.step else 'the total'} set to {each.points:g}: {each.reason}"
        for each in grade.overrides
    ]
    return _written(
        {
            "score": grade.total,
            "output": clean("\n".join(filter(None, (grade.missing, *said)))),
            "output_format": "text",
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": [_test(grade, step) for step in grade.steps],
            "extra_data": {"lab": grade.lab, "source": grade.source, "days_late": grade.days_late},
        }
    )


def _test(grade: Grade, step: StepGrade) -> dict[str, Any]:
    judge = f"judged {JUDGES[step.judge]}"
    lines = [judge, f"seen: {step.seen}" if step.seen else "", f"expected: {step.expected}" if step.expected else ""]
    told: dict[str, Any] = {
        "score": grade.points_of(step),
        "max_score": step.of,
        "name": clean(step.title),
        "name_format": "text",
        "number": step.step,
        "output": clean("\n".join(filter(None, lines))),
        "output_format": "text",
        "tags": [step.judge],
        "visibility": "visible",
    }
    if step.status in ("pass", "warn", "fail"):  # of others, Gradescope goes by the points
        told["status"] = "failed" if step.status == "fail" else "passed"
    return told


def _known(book: Book, grade: Grade) -> dict[str, Any]:
    there = book.members.get(grade.student)
    page = book.page(grade.student)
    return {
        "name": there.name if there else "",
        "email": there.email if there else "",
        "lms_id": there.lms_id if there else "",
        "asked": [vars(ask) for ask in page.asked],
        "drills": [vars(drill) for drill in page.drills],
    }


def _written(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace")
