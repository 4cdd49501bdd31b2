"""Judging one row: what it says against what the checks see, a second time if they differ."""

import time
from collections.abc import Callable

import jinja2

from labenv.errors import LabenvError
from labenv.proof import drills, mutations, solutions, stages
from labenv.proof.place import Place
from labenv.proof.rows import Outcome, Row

_OF_KIND: dict[str, Callable[[Place, Row], list[str]]] = {
    "stage": stages.problems,
    "solution": solutions.problems,
    "fault": mutations.problems,
    "variant": mutations.problems,
    "drill": drills.problems,
}


def judged(place: Place, row: Row) -> Outcome:
    """The outcome of a row. If it is not as it says, it is tried once more in a new environment before that counts.

    Raises EngineError if the engine is gone.
    """
    began = time.monotonic()
    first = problems = _tried(place, row)
    if first:
        problems = _tried(place, row)
    notes = place.notes + ([] if problems else [f"at the first try: {said}" for said in first])
    seconds = time.monotonic() - began
    return Outcome(row.id, tuple(problems), tuple(notes), tuple(sorted(place.failed)), seconds, tries=2 if first else 1)


def _tried(place: Place, row: Row) -> list[str]:
    place.failed, place.notes = set(), []
    try:
        found = _OF_KIND[row.kind](place, row)
    except (LabenvError, jinja2.TemplateError) as error:
        place.engine.environments()  # an engine that is gone ends the proof
        found = [f"it could not be tried: {error}"]
    if found and row.kind in ("fault", "variant", "drill"):
        place.remove()  # the next row needs an environment without faults
    return found
