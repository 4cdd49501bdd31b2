"""The rows of a proof: everything about a lab that real machines can show to be right or wrong."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from labenv.errors import UsageError
from labenv.lab import drills, mutations
from labenv.lab.model import Lab, parsed

# What a user can choose, and the kinds of rows that this means.
CHOICES = {
    "stages": ("stage",),
    "solutions": ("solution",),
    "mutations": ("fault", "variant"),
    "faults": ("fault",),
    "variants": ("variant",),
    "drills": ("drill",),
}
KINDS = ("stage", "solution", "fault", "variant", "drill")
EVERYTHING = "all"  # in place of a stage: the row that solves the whole sheet
# Rows that take longest begin first, so that none of them is left at the end.
_BY_LENGTH = ("solution", "drill", "stage", "fault", "variant")


@dataclass(frozen=True)
class Row:
    """One thing to judge: its kind, its name among those of its kind, and what it is, for a person."""

    kind: str
    name: str
    title: str

    @property
    def id(self) -> str:
        """As results and `--only` name it, such as "fault/dns-is-off"."""
        return f"{self.kind}/{self.name}"


def rows(lab: Lab) -> list[Row]:
    """All rows of a lab, those that take longest first. Raises UsageError for a file that cannot be read."""
    found = [Row("stage", stage.id, stage.title) for stage in lab.stages]
    if any(step.solution for step in lab.steps.values()):
        found.append(Row("solution", EVERYTHING, "All solutions, typed from the first stage to the last"))
        found += [Row("solution", stage.id, f"The solutions of stage {stage.id}") for stage in lab.stages]
    found += [Row("fault", fault.id, fault.title) for fault in mutations.faults(lab)]
    found += [Row("variant", variant.id, variant.title) for variant in mutations.variants(lab)]
    found += [Row("drill", drill.name, drill.title) for drill in own_drills(lab)]
    return sorted(found, key=lambda row: _BY_LENGTH.index(row.kind))


def own_drills(lab: Lab) -> list[drills.Drill]:
    """The drills that come with a lab, without a user's own. Raises UsageError for a file that cannot be read."""
    return [drills.from_dict(path.stem, parsed(path)) for path in drills.originals(lab.folder / "drills")]


def chosen(among: Iterable[Row], what: Collection[str], only: Collection[str]) -> list[Row]:
    """The rows of the kinds that are named, whose ids match one of the regular expressions `only`; empty: all.

    Raises UsageError for a name that is none of CHOICES, for a regular expression that is not valid, and if no row is left.
    """
    for word in what:
        if word not in CHOICES:
            raise UsageError(f"A lab has no {word!a} to prove. Choose among: {', '.join(CHOICES)}.")
    kinds = {kind for word in what or CHOICES for kind in CHOICES[word]}
    patterns = [_compiled(text) for text in only]
    found = [
        row
        for row in among
        if row.kind in kinds and (not patterns or any(pattern.search(row.id) for pattern in patterns))
    ]
    if not found:
        raise UsageError(
            f"Nothing is left to prove: no row of {' and '.join(what) or 'this lab'}"
            f"{' matches ' + ' or '.join(only) if only else ''}. A row is named as in fault/NAME or stage/NAME."
        )
    return found


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"--only {text!a} is not a valid regular expression: {error}.") from error


@dataclass(frozen=True)
class Outcome:
    """What judging a row led to: `problems` are sentences, none if the row is as it says; `notes` decide nothing.

    `failed` are the checks that were seen to fail or to wait, as "step/check". `tries` is 2 if the row was judged again in a new
    environment. An `earlier` one comes from an earlier run.
    """

    row: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    seconds: float = 0.0
    tries: int = 1
    earlier: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What `outcome` reads."""
        return {
            "row": self.row,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "failed": list(self.failed),
            "seconds": round(self.seconds, 2),
            "tries": self.tries,
        }


def outcome(tree: dict[str, Any], *, earlier: bool = False) -> Outcome:
    """The outcome that `to_dict` made. Raises KeyError or TypeError for anything else."""
    return Outcome(
        row=tree["row"],
        problems=tuple(tree["problems"]),
        notes=tuple(tree["notes"]),
        failed=tuple(tree["failed"]),
        seconds=float(tree["seconds"]),
        tries=int(tree["tries"]),
        earlier=earlier,
    )
