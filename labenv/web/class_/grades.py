"""The grades that are kept, on the teacher's page: the table of `class grades`, and the files that it writes."""

import asyncio
import io
import zipfile
from collections.abc import Callable
from importlib.util import find_spec

from nicegui import ui

from labenv.classroom import gradebook, report
from labenv.classroom.folder.model import Assignment, Class
from labenv.classroom.gradebook import Book, shown
from labenv.classroom.serving import received
from labenv.errors import UsageError
from labenv.gate.state import Gate
from labenv.web.class_.works import Works
from labenv.web.parts import button, told, words

_LARGEST = 64 << 20  # bytes of a download, which passes through memory
# What a file is called on its button, its ending, and what makes it.
_FILES: dict[str, tuple[str, Callable[[Book], bytes]]] = {
    "CSV": ("csv", gradebook.KINDS["csv"]),
    "XLSX": ("xlsx", gradebook.KINDS["xlsx"]),
    "Report": ("html", report.of_class),
}


class Grades:
    """The grades of one lab."""

    def __init__(self, gate: Gate, works: Works, lab: Callable[[], str]) -> None:
        """Draw into the element that is open now. `lab` says which lab of the class is chosen."""
        self._gate = gate
        self._works = works
        self._lab = lab
        with ui.row().classes("bar"):
            button("Grade the running environments", self._grade)
            words("span", "Download:").classes("note")
            for name, (ending, make) in _FILES.items():
                if ending != "xlsx" or find_spec("xlsxwriter"):
                    button(
                        name, lambda ending=ending, make=make: self._download(ending, make), f"Download grades: {name}"
                    )
            for lms in gradebook.LMS:
                button(lms.capitalize(), lambda lms=lms: self._import(lms), f"Download grades to import into {lms}")
            button("Hand-ins", self._handins, "Download the hand-ins")
        self._notes = ui.element("ul").classes("panel")
        self._table = ui.element("div").classes("rows")

    async def load(self) -> None:
        """Show the grades that are on record now."""
        of, assignment = self._which()
        self._table.clear()
        self._notes.clear()
        try:
            grades = await asyncio.to_thread(shown.kept, of, assignment)
        except UsageError as error:
            with self._table:
                ui.label(str(error))
            return
        with self._table, ui.element("table").props('aria-label="Grades"'):
            with ui.element("thead"), ui.element("tr"):
                for heading in shown.HEADING:
                    words("th", heading).props('scope="col"')
            with ui.element("tbody"):
                for student, *cells in shown.rows(grades):
                    with ui.element("tr"):
                        words("th", student).props('scope="row"')
                        for text in cells:
                            words("td", text)
        self._say(*shown.summary(grades), *shown.notes(grades))

    def _say(self, *sentences: str) -> None:
        self._notes.clear()
        with self._notes:
            for sentence in sentences:
                words("li", sentence)

    def _which(self) -> tuple[Class, Assignment]:
        of = self._gate.current()
        return of, of.assignment(self._lab())

    def _grade(self) -> None:
        with told():
            self._works.start("Grading", "grade", "--lab", self._lab())

    async def _download(self, ending: str, make: Callable[[Book], bytes]) -> None:
        with told():
            of, assignment = self._which()
            data = await asyncio.to_thread(lambda: make(_book(of, assignment)))
            self._give(data, f"{of.id}-{assignment.name}.{ending}")

    async def _import(self, lms: str) -> None:
        with told():
            of, assignment = self._which()
            made = await asyncio.to_thread(lambda: gradebook.as_import(_book(of, assignment), lms))
            self._give(made.data, f"{of.id}-{assignment.name}-{lms}.csv")
            self._say(*made.notes)

    async def _handins(self) -> None:
        with told():
            of, assignment = self._which()
            self._give(await asyncio.to_thread(_zip, of, assignment), f"{of.id}-{assignment.name}-handins.zip")

    def _give(self, data: bytes, name: str) -> None:
        self._gate.note("", "teacher", line=f"download {name}")
        ui.download.content(data, name)


def _book(of: Class, assignment: Assignment) -> Book:
    return shown.book(of, assignment, shown.kept(of, assignment))


def _zip(of: Class, assignment: Assignment) -> bytes:
    """All hand-ins of a lab that came through the gate, as `class grade` takes them. Raises UsageError."""
    files = [(one.id, file) for one in of.members for file in received.list_(of, assignment, one.id)]
    if not files:
        raise UsageError(f"Nobody has handed in {assignment.name} here.")
    folder = files[0][1].parent.parent
    if sum(file.stat().st_size for _, file in files) > _LARGEST:
        raise UsageError(f"The hand-ins are too large for a download. They lie in {folder} on the server.")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:  # they are compressed already
        for student, file in files:
            archive.write(file, f"{assignment.name}/{student}/{file.name}")
    return made.getvalue()
