"""What a plan is asked about: for how many students of which lab."""

from collections.abc import Collection
from dataclasses import dataclass

from labenv.classroom.capacity import need
from labenv.classroom.capacity.need import Need
from labenv.classroom.folder.model import Class
from labenv.environments.plan import WORLD
from labenv.errors import UsageError
from labenv.lab import labs


@dataclass(frozen=True)
class Asked:
    """So many students whose environments run at the same time, the name of their lab, and what each environment takes."""

    students: int
    lab: str
    need: Need


def of_class(of: Class, lab: str | None, students: int | None, outside: bool, desktops: float) -> Asked:
    """About a class: as many as may run at once, and the lab that needs most memory, unless they are named.

    Raises UsageError for a lab that the class does not have, and as `labenv.classroom.capacity.need.of` does.
    """
    assignments = of.labs if lab is None else [of.assignment(lab)]
    there = [(each.name, _need(each.lab, each.profiles, outside, desktops)) for each in assignments]
    name, needed = max(there, key=lambda pair: pair[1].memory)
    number = min(len(of.members), of.limits.at_once or len(of.members)) if students is None else students
    return Asked(number, name, needed)


def of_nobody(students: int, lab: str | None, outside: bool, desktops: float) -> Asked:
    """About so many students of a lab, without a class. Raises UsageError as `of_class` does."""
    name = lab or labs.default()
    return Asked(students, name, _need(name, (), outside, desktops))


def _need(lab: str, profiles: Collection[str], outside: bool, desktops: float) -> Need:
    if not 0 <= desktops <= 1:
        raise UsageError(
            f"--desktop-share {desktops:g} is no part of the students. Give one from 0 (nobody) to 1 (all)."
        )
    there = labs.load(lab)
    return need.of(there, {*profiles, *([WORLD] if outside else ())}, desktops)
