"""A whole proof: what has to be judged of a lab, by how many processes, and what that found."""

import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from labenv.engine import Engine, image_sources
from labenv.engine.images import Images
from labenv.environments.plan import Plan, plan_again
from labenv.errors import UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import lint
from labenv.lab.model import Lab
from labenv.proof import names, whole
from labenv.proof.book import Book
from labenv.proof.crew import Crew, size
from labenv.proof.rows import KINDS, Outcome, Row, chosen, rows
from labenv.student import Student
from labenv.text import many

_STEP = "proof"
_ANYBODY = Student("nobody", 200, "ada", "")  # whose plan says which images a lab needs


@dataclass(frozen=True)
class Proof:
    """The rows of a lab with their outcomes, in the same order; `findings` and `notes` are about the lab as a whole."""

    lab: Lab
    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def failed(self) -> int:
        """How many rows are not as they say, and what else is wrong; 0 means exit code 0."""
        return sum(bool(one.problems) for one in self.outcomes) + len(self.findings)

    def counts(self) -> list[tuple[str, int, int, int]]:
        """For each kind that has rows: how many passed, how many failed, and how many of those that passed did so earlier."""
        kinds = {row.id: row.kind for row in self.rows}
        failed = Counter(kinds[one.row] for one in self.outcomes if one.problems)
        earlier = Counter(kinds[one.row] for one in self.outcomes if one.earlier)
        every = Counter(kinds.values())
        return [(kind, every[kind] - failed[kind], failed[kind], earlier[kind]) for kind in KINDS if every[kind]]

    def to_dict(self) -> dict[str, Any]:
        """The proof as `lab test --json` shows it."""
        titles = {row.id: row for row in self.rows}
        return {
            "lab": self.lab.id,
            "rows": [
                {
                    "id": one.row,
                    "kind": titles[one.row].kind,
                    "title": titles[one.row].title,
                    "status": "fail" if one.problems else "pass",
                    "problems": list(one.problems),
                    "notes": list(one.notes),
                    "seconds": round(one.seconds, 2),
                    "tries": one.tries,
                    "earlier": one.earlier,
                }
                for one in self.outcomes
            ],
            "findings": list(self.findings),
            "notes": list(self.notes),
            "summary": {
                "passed": sum(not one.problems for one in self.outcomes),
                "failed": self.failed,
                "earlier": sum(one.earlier for one in self.outcomes),
                "seconds": round(self.seconds, 1),
            },
        }


def prove(
    engine: Engine,
    lab: Lab,
    source: str,
    listen: Listener,
    *,
    what: Collection[str] = (),
    only: Collection[str] = (),
    jobs: int | None = None,
    again: bool = False,
) -> Proof:
    """Prove the lab `source` (a name or folder): the rows that `what` and `only` choose (see `chosen`), on `jobs` environments at once.

    What passed in an earlier run and has not changed since is not judged again, except `again`. Environments that a killed run
    has left are removed first. Raises UsageError for a lab with errors and for a choice without rows, EngineError if the engine is gone.
    """
    began = time.monotonic()
    _refuse_errors(lab)
    wanted = chosen(rows(lab), what, only)
    plans = _plans(lab)
    known_images = image_sources.of(lab)
    images = {name for plan in plans for name in plan.images().values()}
    names.sweep(engine, listen)
    Images(engine, known_images).ensure(images, listen)
    book = Book(lab, [known_images[name].tag for name in images])
    if again:
        book.forget(wanted)
    known = book.passed()
    found = {row.id: known[row.id] for row in wanted if row.id in known}
    todo = [row for row in wanted if row.id not in found]
    if found:
        listen(
            Event(
                _STEP, f"{len(found)} of {len(wanted)} rows passed in an earlier run and have not changed since", "note"
            )
        )
    if todo:
        crew_size = min(size(max(len(plan.topology.nodes) for plan in plans), jobs), len(todo))
        _judge(engine, source, todo, crew_size, book, found, listen)
    outcomes = tuple(found[row.id] for row in wanted)
    findings, notes = _about_all(lab, outcomes, complete=not what and not only)
    return Proof(lab, tuple(wanted), outcomes, findings, notes, time.monotonic() - began)


def _judge(
    engine: Engine, source: str, todo: list[Row], jobs: int, book: Book, found: dict[str, Outcome], listen: Listener
) -> None:
    """Judge the rows, and add their outcomes to those that are found. Interrupted, what was made is removed."""
    done = 0

    def heard(one: Outcome) -> None:
        nonlocal done
        done += 1
        found[one.row] = one
        if not one.problems:
            book.keep(one)
        for said in one.problems[:1]:
            listen(Event(one.row, said, "warn"))
        listen(Event(_STEP, f"{done} of {len(todo)}, {one.row}"))

    with names.claimed() as claim:
        try:
            with announced(listen, _STEP, f"judging {many(len(todo), 'row')}, {jobs} at once"):
                Crew(source, claim).judge(todo, jobs, heard)
        finally:
            names.remove(engine, claim.prefix)


def _about_all(lab: Lab, outcomes: Iterable[Outcome], *, complete: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not complete:
        return (), ("checks that never fail were not looked for: that needs all rows",)
    return tuple(whole.never_failing(lab, outcomes)), tuple(whole.without_fault(lab))


def _refuse_errors(lab: Lab) -> None:
    if findings := lint.lint(lab.folder):
        more = f"\n… and {len(findings) - 5} more" if len(findings) > 5 else ""
        raise UsageError(
            f"{lab.id} has errors, so nothing was made. All of them: labenv lab lint {lab.folder}\n"
            + "\n".join(map(str, findings[:5]))
            + more
        )


def _plans(lab: Lab) -> list[Plan]:
    return [plan_again(_ANYBODY, lab, stage.id, lab.topology, ()) for stage in lab.stages]
