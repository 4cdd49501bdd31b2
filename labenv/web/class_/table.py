"""The teacher's page: the class as a live table, and what can be done for all of it."""

from collections.abc import Callable
from typing import Any

from nicegui import background_tasks, ui
from nicegui.events import ValueChangeEventArguments

from labenv.classroom.running import row_words
from labenv.classroom.running.placed import is_on_swarm
from labenv.errors import UsageError
from labenv.web.class_ import frame, outcomes
from labenv.web.class_.grades import Grades
from labenv.web.class_.house import House
from labenv.web.class_.matrix import MatrixPart
from labenv.web.class_.nudging import nudge
from labenv.web.class_.rows import Rows
from labenv.web.class_.watching import Seen
from labenv.web.class_.works import Work
from labenv.web.parts import button, sure, told, words

_STUDENTS, _GRADES, _MATRIX = "Students", "Grades", "Mail"
_LEVELS = {0: "Any level", 1: "Level 1", 2: "Level 2", 3: "Level 3"}


class TeacherPage:
    """The page of the teacher, as one window of a browser shows it."""

    def __init__(self, house: House) -> None:
        """Draw it for the browser that asks for it."""
        self._house = house
        self._teaching = house.teaching
        self._seen = Seen()
        self._leave: Callable[[], None] | None = None
        self._grades: Grades | None = None
        of = house.gate.current()
        labs = [each.name for each in of.labs]
        try:
            self._lab = of.assignment(None).name
        except UsageError:  # none is open yet
            self._lab = labs[0]
        with frame.top(of.name) as self._state:
            ui.select(labs, value=self._lab, on_change=self._choose).props('dense aria-label="Lab"')
        self._draw_work()
        parts = (_STUDENTS, _GRADES, *((_MATRIX,) if of.federate else ()))
        with (
            ui.tabs(on_change=self._open).props('dense no-caps align="left" aria-label="Views"').classes("bar") as tabs
        ):
            for name in parts:
                ui.tab(name)
        with ui.tab_panels(tabs, value=_STUDENTS, keep_alive=True).classes("panels of-class"):
            self._panels = {name: ui.tab_panel(name) for name in parts}
        with self._panels[_STUDENTS]:
            self._draw_students()
        self._matrix: MatrixPart | None = None
        if of.federate:
            with self._panels[_MATRIX]:
                self._matrix = MatrixPart(self._teaching.works)
        client = ui.context.client
        client.on_delete(self._teaching.works.show(self._show_work))
        client.on_delete(self._unwatch)
        self._watch()

    # Students

    def _draw_students(self) -> None:
        with ui.row().classes("bar"):
            self._wanted = ui.input("Find a student", on_change=self._filter).props("dense clearable")
            self._only_stuck = ui.checkbox("Only who is stuck", on_change=self._filter).props("dense")
            self._count = words("span", "").classes("note").props('role="status"')
            ui.space()
            button("Check all", self._check)
            button("Start drills", self._drills, "Start drills for all")
            button("End drills", self._end_drills, "End the drills of all")
            button("Nudge", self._nudge, "Send a nudge to several students")
        self._problem = ui.label().classes("next fail").props('role="alert"')
        on_servers = is_on_swarm(self._house.gate.of)
        self._rows = Rows(self._teaching.calls.reaches, self._nudge, on_servers=on_servers)
        ui.label(row_words.legend()).classes("note")

    def _choose(self, event: ValueChangeEventArguments[Any]) -> None:
        self._lab = str(event.value)
        self._watch()
        if self._grades:
            background_tasks.create(self._grades.load(), name="grades")

    def _unwatch(self) -> None:
        if self._leave:
            self._leave()

    def _watch(self) -> None:
        self._unwatch()
        self._leave = self._teaching.watching.show(self._lab, self._show)

    def _show(self, seen: Seen) -> None:
        self._seen = seen
        self._problem.set_text(seen.problem)
        self._problem.set_visibility(bool(seen.problem))
        if seen.lab is None:
            self._state.set_text("Looking at the class …")
            return
        stuck = sum(bool(row.stuck) for row in seen.rows)
        self._state.set_text(f"{seen.lab.title} · {row_words.summary(seen.rows)} · stuck: {stuck}")
        self._rows.show(seen)
        self._filter()

    def _filter(self) -> None:
        self._count.set_text(self._rows.filter(self._wanted.value or "", only_stuck=bool(self._only_stuck.value)))

    async def _nudge(self, student: str = "") -> None:
        await nudge(self._teaching.calls, {row.student: row.stuck for row in self._seen.rows}, student)

    # Work for all

    def _check(self) -> None:
        self._start("Checking all", "check", "--lab", self._lab)

    async def _drills(self) -> None:
        with ui.dialog() as dialog, ui.card().classes("hint"):
            words("h3", "Start a drill for each student?")
            ui.label("A fault is put into each environment, which is saved before. Neighbours get different ones.")
            level = ui.select(_LEVELS, value=0, label="Level").props("dense")
            with ui.row():
                button("Start", lambda: dialog.submit(True))
                button("Cancel", lambda: dialog.submit(False))
        if await dialog:
            chosen = ("--level", str(level.value)) if level.value else ()
            self._start("Starting drills", "drill", "start", "--lab", self._lab, *chosen)
        dialog.delete()

    async def _end_drills(self) -> None:
        if await sure("End all drills that run, and take the faults out? What was found until then stays.", "End them"):
            self._start("Ending drills", "drill", "give-up", "--yes", "--lab", self._lab)

    def _start(self, title: str, *arguments: str) -> None:
        with told():
            self._teaching.works.start(title, *arguments)

    def _draw_work(self) -> None:
        with ui.element("section").classes("work").props('aria-label="Work for the class"') as self._working:
            self._doing = words("span", "").props('role="status"')
            self._stop = button("End it", self._teaching.works.end, "End the work")
            self._told = ui.element("ul")

    def _show_work(self, work: Work | None) -> None:
        self._working.set_visibility(work is not None)
        if work is None:
            return
        self._stop.set_visibility(work.runs)
        if work.ended is None:
            self._doing.set_text(f"{work.title} since {work.began:%H:%M:%S} … {work.line}")
        else:
            self._doing.set_text(f"{work.title}, {work.ended:%H:%M:%S}:")
        sentences = outcomes.sentences(work)
        self._told.clear()
        with self._told:
            for sentence in sentences:
                words("li", sentence)
        if self._matrix:
            self._matrix.show()
        if work.document and self._grades and work.arguments[0] == "grade":
            background_tasks.create(self._grades.load(), name="grades")

    async def _open(self, event: ValueChangeEventArguments[Any]) -> None:
        if event.value == _GRADES and self._grades is None:
            with self._panels[_GRADES]:
                self._grades = Grades(self._house.gate, self._teaching.works, lambda: self._lab)
            await self._grades.load()
