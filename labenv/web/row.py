"""One step on the page: a line that opens, with what was seen beside what was expected, its hints, and its tick."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nicegui import ui
from nicegui.events import GenericEventArguments

from labenv.environments import ticks
from labenv.sheet import guide
from labenv.sheet.progress import StepProgress
from labenv.web.parts import button, words


@dataclass(frozen=True)
class Acts:
    """What a person does with a step: each takes the step, `tick` also what was seen."""

    hint: Callable[[str], Awaitable[None]]
    tick: Callable[[str, str], Awaitable[None]]
    untick: Callable[[str], Awaitable[None]]


_SHOW = """() => {
    const step = document.getElementById(%s);
    step.open = true;
    step.querySelector('summary').focus();
    step.scrollIntoView({block: 'nearest'});
}"""


def link(step: str) -> ui.button:
    """A button that leads to a step, and opens it."""
    made = button(f"Show step {step}", None)
    made.on("click", js_handler=_SHOW % json.dumps(f"step-{step}"))
    return made


class Row:
    """One step. It draws again what has changed, and leaves the rest as it is; what a step has inside, only while it is open."""

    def __init__(self, row: StepProgress, acts: Acts | None, *, is_pending: bool) -> None:
        """Draw into the element that is open now; without `acts` to be looked at only. While it `is_pending`, what it shows is from the check before."""
        self._acts = acts
        self._row = row
        self._is_pending = is_pending
        self._is_open = False
        self._at = ui.element("details").classes(f"step {row.mark}")
        self._at.props["id"] = f"step-{row.step.id}"
        self._at.on("toggle", self._toggle, js_handler="event => emit(event.target.open)")
        with self._at:
            self._summary = ui.element("summary")
            self._more = ui.element("div").classes("more")
        self._draw()

    def update(self, row: StepProgress, *, is_pending: bool) -> None:
        """Show what is known now."""
        if (row.mark, is_pending) != (self._row.mark, self._is_pending):
            self._is_pending = is_pending
            flips = row.mark != self._row.mark != "unknown"
            self._at.props["aria-busy"] = "true" if is_pending else "false"
            self._at.classes(replace=f"step {row.mark}{' flip' if flips else ''}{' pending' if is_pending else ''}")
        if row != self._row:
            self._row = row
            self._draw()

    def _toggle(self, event: GenericEventArguments) -> None:
        self._is_open = bool(event.args)
        self._draw_more()

    def _draw(self) -> None:
        row = self._row
        self._summary.clear()
        with self._summary:
            words("b", row.symbol).classes("sign").props(f'role="img" aria-label="{row.words}" title="{row.words}"')
            words("span", row.step.id).classes("id")
            words("span", row.machines).classes("machines")
            words("span", row.step.title).classes("title")
        self._draw_more()

    def _draw_more(self) -> None:
        row, step = self._row, self._row.step
        self._more.clear()
        if not self._is_open:
            return
        with self._more:
            ui.label(guide.on_the_sheet(step)).classes("note")
            if step.how:
                ui.label(step.how)
            self._draw_seen()
            if row.note:
                ui.label(f"Note: {row.note}").classes("note")
            if self._acts:
                self._draw_acts(self._acts)

    def _draw_acts(self, acts: Acts) -> None:
        row, step = self._row, self._row.step
        if step.hints and row.mark in ("fail", "skip", "warn"):
            button("Hint", lambda: acts.hint(step.id), f"Hint for step {step.id}")
        if row.mark == "person":
            self._draw_tick(acts)
        elif row.mark == "ticked":
            button("Remove the tick", lambda: acts.untick(step.id), f"Remove the tick of step {step.id}")

    def _draw_seen(self) -> None:
        for result in self._row.compared:
            with ui.element("dl").classes("beside"):
                for word, text in (("Seen", result.seen), ("Expected", result.expected)):
                    with ui.element("div"):
                        words("dt", f"{word} on {result.machine}" if word == "Seen" else word)
                        words("dd", text)
        for sentence in self._row.told:
            ui.label(sentence).classes("seen")
        if self._row.waits_for:
            link(self._row.waits_for)

    def _draw_tick(self, acts: Acts) -> None:
        step = self._row.step.id
        with ui.row().classes("tick"):
            said = ui.input(placeholder="What you saw or did, in your own words").props("dense")
            said.props(f"maxlength={ticks.LONGEST}").classes("grow")
            said.props["aria-label"] = f"What you saw or did at step {step}"
            button("Tick", lambda: acts.tick(step, said.value), f"Tick step {step}")
