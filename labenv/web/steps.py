"""The sheet's steps on the page: what to do next, and each step with its state."""

from dataclasses import fields

from nicegui import ui

from labenv.checks.results import Report
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.sheet import by_hand, guide, progress
from labenv.sheet.guide import Hint
from labenv.web.desk import Desk, Sight
from labenv.web.parts import button, told, words
from labenv.web.row import Acts, Row, link


class Steps:
    """The list of steps, and what comes next."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        self._acts = None if desk.is_read_only else Acts(self._hint, self._tick, self._untick)
        self._rows: dict[str, Row] = {}
        self._lab = ""
        self._leads = ""
        self._is_of_steps = False  # whether what it says of what comes next is about steps
        with ui.element("section").classes("next").props('aria-live="polite" aria-label="Next"') as self._next:
            self._ahead = ui.label().classes("ahead")
            self._note = ui.label().classes("note")
            self._link = ui.element("div")
        self._list = ui.element("div").classes("list")

    def show(self, sight: Sight) -> None:
        """Show what is known now."""
        self._list.set_visibility(not sight.drills)
        self._list.classes(**{"add" if sight.problem or sight.waiting else "remove": "old"})
        if sight.drills:
            self._say("", "A drill runs. The steps would name its fault, and each look at them counts: labenv drill")
        elif sight.problem:
            self._say("fail", sight.problem)
        elif sight.waiting:
            self._say("", sight.waiting)
        elif sight.lab is not None and sight.report is not None and self._is_known(sight, sight.report, sight.lab):
            ahead = guide.next_step(sight.report, sight.lab)
            self._say("fail" if ahead.step else "pass", ahead.sentence, ahead.note, ahead.step)
        elif self._leads and self._leads not in sight.pending and self._passes(sight, self._leads):
            self._say("pass", f"Step {self._leads} passes. Looking at what comes next …")
        elif not self._is_of_steps:
            self._say("", "Looking at your machines …")
        self._is_of_steps = not (sight.drills or sight.problem or sight.waiting)
        if sight.lab is not None:
            self._draw(sight)

    def _is_known(self, sight: Sight, report: Report, lab: Lab) -> bool:
        """Whether what comes next is known: no step before it is still being checked."""
        order = list(lab.steps)
        ahead = guide.next_step(report, lab).step
        return sight.pending.isdisjoint(order[: order.index(ahead) + 1] if ahead else order)

    def _passes(self, sight: Sight, step: str) -> bool:
        results = sight.report.results if sight.report else ()
        return all(result.status in ("pass", "warn") for result in results if result.step == step)

    def _say(self, kind: str, sentence: str, note: str = "", leads: str = "") -> None:
        self._next.classes(replace=f"next {kind}")
        self._ahead.set_text(sentence)
        self._note.set_text(f"Note: {note}" if note else "")
        self._note.set_visibility(bool(note))
        if leads != self._leads:
            self._leads = leads
            self._link.clear()
            if leads:
                with self._link:
                    link(leads)

    def _draw(self, sight: Sight) -> None:
        assert sight.lab is not None
        there = progress.sheet(sight.report, sight.lab)
        if self._lab == sight.lab.id:
            for heading in there:
                for row in heading.rows:
                    self._rows[row.step.id].update(row, is_pending=row.step.id in sight.pending)
            return
        self._lab = sight.lab.id
        self._list.clear()
        self._rows.clear()
        with self._list:
            for heading in there:
                words("h2", heading.text).classes("heading")
                for row in heading.rows:
                    is_pending = row.step.id in sight.pending
                    self._rows[row.step.id] = Row(row, self._acts, is_pending=is_pending)

    async def _tick(self, step: str, words: str) -> None:
        with told():
            await self._desk.change(["tick", step, words], _ticked, step, words)
            await self._desk.look_at_ticks()

    async def _untick(self, step: str) -> None:
        with told():
            await self._desk.change(["tick", "--remove", step], _unticked, step)
            await self._desk.look_at_ticks()

    async def _hint(self, step: str) -> None:
        with told():
            said = await self._desk.labenv("hint", step)
            self._tell(Hint(**{each.name: said[each.name] for each in fields(Hint)}))

    def _tell(self, found: Hint) -> None:
        with ui.dialog() as dialog, ui.card().classes("hint"):
            of = f"Hint {found.level} of {len(guide.SAID)}" if found.level else "No hint is needed"
            words("h3", f"{of} for step {found.step}: {found.title}")
            for sentence in (*found.wrong, *found.help):
                ui.label(sentence)
            if found.note:
                ui.label(f"Note: {found.note}").classes("note")
            ui.label("Each hint is recorded, and reports show it.").classes("note")
            button("Close", dialog.close)
        dialog.on("hide", dialog.delete)
        dialog.open()


def _ticked(engine: Engine, environment: Environment, step: str, words: str) -> None:
    by_hand.tick(engine, environment, labs.spoken_of(environment), step, words)


def _unticked(engine: Engine, environment: Environment, step: str) -> None:
    by_hand.untick(engine, environment, labs.spoken_of(environment), step)
