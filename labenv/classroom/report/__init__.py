"""The report of a class: one HTML page with pictures for the teacher, and one of their own for each student.

A page needs no network and runs no script. What a machine, an archive or a roster said is data in it, never markup. A student's page
has nothing of others, and no notes: those are for the teacher.
"""

from pathlib import Path
from typing import Any

from labenv import __version__
from labenv.classroom.gradebook import Book
from labenv.classroom.gradebook.book import JUDGES
from labenv.classroom.grading.model import Grade
from labenv.classroom.report import pictures, view
from labenv.classroom.report.view import Overview, Student
from labenv.reports import pages
from labenv.sheet import guide
from labenv.text import clean

_TEMPLATES = Path(__file__).parent / "templates"


def of_class(book: Book) -> bytes:
    """The report of all students, UTF-8."""
    return _rendered("class.html.j2", book)


def of_student(book: Book, grade: Grade) -> bytes:
    """One student's own page, UTF-8."""
    return _rendered("student.html.j2", book, student=Student(book, grade))


def _rendered(template: str, book: Book, **more: Any) -> bytes:
    there = pages.templates(_TEMPLATES)
    there.globals |= {
        "overview": Overview(book),
        "book": book,
        "marks": view.MARKS,
        "mark": view.mark,
        "judges": JUDGES,
        "axes": pictures,
        "said": guide.SAID,
        "version": __version__,
    }
    there.filters |= {"cut": view.cut, "points": lambda points: f"{points:.2f}".rstrip("0").rstrip(".")}
    return clean(there.get_template(template).render(more)).encode("utf-8", "backslashreplace")
