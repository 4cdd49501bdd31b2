"""One student's results.json, as autograders read it. The document of a whole class is that of `class grade --json`."""

import json
from typing import Any

from labenv.classroom.gradebook.book import JUDGES
from labenv.classroom.grading.model import Grade, StepGrade
from labenv.text import clean


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
    document = {
        "score": grade.total,
        "output": clean("\n".join(filter(None, (grade.missing, *said)))),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(grade, step) for step in grade.steps],
        "extra_data": {"lab": grade.lab, "source": grade.source, "days_late": grade.days_late},
    }
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace")


def _test(grade: Grade, step: StepGrade) -> dict[str, Any]:
    judge = grade.judge_of(step)
    lines = [
        f"judged {JUDGES[judge]}",
        f"seen: {step.seen}" if step.seen else "",
        f"expected: {step.expected}" if step.expected else "",
    ]
    told: dict[str, Any] = {
        "score": grade.points_of(step),
        "max_score": step.of,
        "name": clean(step.title),
        "name_format": "text",
        "number": step.step,
        "output": clean("\n".join(filter(None, lines))),
        "output_format": "text",
        "tags": [judge],
        "visibility": "visible",
    }
    if step.status in ("pass", "warn", "fail"):  # of others, Gradescope goes by the points
        told["status"] = "failed" if step.status == "fail" else "passed"
    return told
