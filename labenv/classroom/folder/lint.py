"""Checking a class: its files, and whether the labs that it names have what it says of them. Nothing of a lab is run."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labenv.classroom.folder import load, roster
from labenv.classroom.folder.model import Assignment, Class, ClassPage
from labenv.classroom.folder.roster import Roster
from labenv.errors import UsageError
from labenv.lab import drills, labs, topology, trust
from labenv.lab import lint as lab_lint
from labenv.lab import model as lab_model
from labenv.lab.lint.found import Finding, Found
from labenv.lab.model import Lab
from labenv.lab.positions import Place
from labenv.student import Student

_ANYBODY = Student("anybody", 2, "anna", "abcd2345")  # a topology is read for a student


@dataclass(frozen=True)
class Looked:
    """What was found in the folder of a class: the class and its roster, as far as they can be read, errors, and notes."""

    of: Class | None
    roster: Roster | None
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """As `class lint --json` shows it."""
        members = self.roster.members if self.roster else ()
        return {
            "class": self.of.id if self.of else None,
            "name": self.of.name if self.of else None,
            "labs": [
                {
                    "lab": each.name,
                    "open": each.open.isoformat() if each.open else None,
                    "due": each.due.isoformat() if each.due else None,
                }
                for each in (self.of.labs if self.of else ())
            ],
            "students": [
                {
                    "line": one.line,
                    "given": one.given,
                    "id": one.id,
                    "name": one.name,
                    "email": one.email,
                    "lms_id": one.lms_id,
                    "x": one.x,
                    "first": one.first,
                    "keys": len(one.keys),
                }
                for one in members
            ],
            "findings": [_told(each) for each in self.findings],
            "notes": [_told(each) for each in self.notes],
        }


def lint(folder: Path) -> Looked:
    """Look a class over. Raises UsageError if its folder cannot be read."""
    found, notes = Found(folder), Found(folder)
    students = _roster(found)
    there = load.read(found, students.members if students else ())
    for said in students.notes if students else ():
        notes.add_at(load.ROSTER, f"{said}.")
    if there:
        for number, each in enumerate(there.labs):
            _lab(found, notes, each, ["labs", number])
        _page(found, notes, there.page)
    return Looked(there, students, tuple(found.findings), tuple(notes.findings))


def _told(finding: Finding) -> dict[str, Any]:
    return {key: value for key, value in finding.to_dict().items() if key != "step"}


def _roster(found: Found) -> Roster | None:
    try:
        return roster.read(found.folder / load.ROSTER)
    except roster.BadRows as error:
        for line, why in sorted(error.rows.items()):
            found.add_at(load.ROSTER, f"{why.rstrip('.')}.", line)
    except UsageError as error:
        found.add_at(load.ROSTER, str(error))
    return None


def _page(found: Found, notes: Found, page: ClassPage) -> None:
    """Whether the secret of the school's sign-in is there, and nobody else reads it."""
    if page.oidc is None:
        return
    place: Place = ["page", "oidc", "secret file"]
    try:
        mode = page.oidc.secret_file.stat().st_mode
    except OSError as error:
        found.add(load.FILE, f"{page.oidc.secret_file} cannot be read: {error.strerror}.", place)
        return
    if mode & 0o077:
        notes.add(load.FILE, f"others can read {page.oidc.secret_file}. Stop that: chmod 600", place)
    if not page.origin:
        notes.add(load.FILE, "the provider sends browsers back to the page's origin, which is not given.", ["page"])


def _lab(found: Found, notes: Found, each: Assignment, place: list[str | int]) -> None:
    """Whether a lab of the class is there, and has the stage, the profiles and the drills that are named; the rubric."""
    if each.rubric and not each.rubric.is_file():
        found.add(load.FILE, f"there is no file {each.rubric}.", [*place, "rubric"])
    if not each.due:
        notes.add(load.FILE, f"{each.name} has no due date, so nothing is late.", place)
    try:
        lab = lab_model.read(labs.find(each.lab))
    except UsageError as error:
        found.add(load.FILE, str(error), [*place, "lab"])
        return
    if not labs.is_shipped(lab.folder):
        try:
            trust.require(lab)
        except trust.Untrusted:
            notes.add(
                load.FILE, f"{each.name} is not trusted yet. Say it: labenv lab trust {lab.folder}", [*place, "lab"]
            )
    if each.rubric and each.rubric.is_file():
        shown = os.path.relpath(each.rubric, found.folder)
        found.findings += [replace(wrong, file=shown) for wrong in lab_lint.rubric(each.rubric, lab)]
    for what, named, known in _named(lab, each):
        found.unknown(load.FILE, what, [(name, [*place, *where]) for name, where in named], known)


def _named(lab: Lab, each: Assignment) -> Iterator[tuple[str, list[tuple[str, Place]], list[str]]]:
    """What a class names of a lab, with the places, and what of that there is."""
    if each.at:
        yield "stage", [(each.at, ["at"])], [stage.id for stage in lab.stages]
    if each.drills:
        there = [path.stem for path in drills.files(lab)]
        yield "drill", [(name, ["drills", number]) for number, name in enumerate(each.drills)], there
    if each.profiles:
        yield "profile", [(name, ["with"]) for name in sorted(each.profiles)], topology.of(lab, _ANYBODY).profiles
