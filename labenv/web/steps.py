"""The sheet's steps on the page: each with its state, and what was seen beside what was expected."""

from collections.abc import Callable
from dataclasses import fields

from nicegui import ui

from labenv.sheet import guide, progress
from labenv.sheet.guide import Hint
from labenv.sheet.progress import Heading, StepProgress
from labenv.web.desk import Desk, Sight
from labenv.web.parts import button, told, words


class Steps:
    """The list of steps. It draws again what has changed, and leaves the rest as it is."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        self._rows: dict[str, _Row] = {}
        self._headings: list[str] = []
        with ui.element("section").classes("next").props('aria-live="polite" aria-label="Next"') as self._next:
            self._ahead = ui.label().classes("ahead")
            self._note = ui.label().classes("note")
        self._list = ui.element("div").classes("list")

    def show(self, sight: Sight) -> None:
        """Show what is known now."""
        self._list.set_visibility(not sight.drills)
        if sight.drills:
            self._say(
                "", "A drill runs. The steps would name its fault, and each look at them counts: labenv drill", ""
            )
        elif sight.problem:
            self._say("fail", sight.problem, "")
        elif sight.report is None or sight.lab is None:
            self._say("", "Looking at your machines …", "")
        else:
            ahead = guide.next_step(sight.report, sight.lab)
            self._say("fail" if ahead.step else "pass", ahead.sentence, ahead.note)
        if sight.report is not None and sight.lab is not None:
            self._draw(progress.headings(sight.report, sight.lab))

    def _say(self, kind: str, sentence: str, note: str) -> None:
        self._next.classes(replace=f"next {kind}")
        self._ahead.set_text(sentence)
        self._note.set_text(f"Note: {note}" if note else "")
        self._note.set_visibility(bool(note))

    def _draw(self, there: list[Heading]) -> None:
        if self._headings != [heading.text for heading in there]:
            self._list.clear()
            self._rows.clear()
            self._headings = [heading.text for heading in there]
            with self._list:
                for heading in there:
                    words("h2", heading.text).classes("heading")
                    for row in heading.rows:
                        self._rows[row.step.id] = _Row(row, self._hint)
            return
        for heading in there:
            for row in heading.rows:
                self._rows[row.step.id].update(row)

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


class _Row:
    """One step: a line that opens."""

    def __init__(self, row: StepProgress, hint: Callable[[str], object]) -> None:
        self._hint = hint
        self._row = row
        self._at = ui.element("details").classes(f"step {row.mark}").props(f'id="step-{row.step.id}"')
        with self._at:
            self._fill()

    def update(self, row: StepProgress) -> None:
        """Draw it again if it has changed."""
        if row == self._row:
            return
        flips = row.mark != self._row.mark
        self._row = row
        self._at.classes(replace=f"step {row.mark}{' flip' if flips else ''}")
        self._at.clear()
        with self._at:
            self._fill()

    def _fill(self) -> None:
        row, step = self._row, self._row.step
        with ui.element("summary"):
            words("b", row.symbol).props(f'role="img" aria-label="{row.words}" title="{row.words}"')
            words("span", step.id).classes("id")
            words("span", row.machines).classes("machines")
            words("span", step.title).classes("title")
        with ui.element("div").classes("more"):
            ui.label(guide.on_the_sheet(step)).classes("note")
            if step.how:
                ui.label(step.how)
            self._fill_seen()
            if row.note:
                ui.label(f"Note: {row.note}").classes("note")
            if step.hints and row.mark in ("fail", "skip", "warn"):
                button("Hint", lambda: self._hint(step.id), f"Hint for step {step.id}")

    def _fill_seen(self) -> None:
        beside = [r for r in self._row.results_like("fail", "warn") if r.expected]
        alone = [s for s in self._row.seen or self._row.evidence if s not in {r.evidence for r in beside}]
        for result in beside:
            with ui.element("dl").classes("beside"):
                for word, text in (("Seen", result.seen), ("Expected", result.expected)):
                    with ui.element("div"):
                        words("dt", f"{word} on {result.machine}" if word == "Seen" else word)
                        words("dd", text)
        for sentence in alone:
            ui.label(sentence).classes("seen")
