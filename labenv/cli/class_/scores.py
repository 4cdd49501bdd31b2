"""Grades as a terminal shows them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from labenv.classroom.grading.model import Grade


def table(grades: "Sequence[Grade]", alike: "Sequence[tuple[str, str, str]]" = ()) -> None:
    """Print a row for each grade; `alike` are pairs of students with a sentence."""
    from labenv.classroom.gradebook import shown
    from labenv.cli import show

    bad = [at for at, grade in enumerate(grades) if grade.missing]
    show.table(shown.HEADING, shown.rows(grades, alike), bad)


def notes(grades: "Iterable[Grade]") -> None:
    """Print what is to be known about the grades, below the table."""
    from labenv.classroom.gradebook import shown

    for note in shown.notes(grades):
        typer.secho(note, fg="yellow")


def summary(grades: "Sequence[Grade]") -> None:
    """Print how the class did."""
    from labenv.classroom.gradebook import shown

    for line in shown.summary(grades):
        print(line)
