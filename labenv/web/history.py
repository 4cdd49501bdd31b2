"""The history on the page: what changed when, how it differs from an earlier moment, and since when a step passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import jinja2
from nicegui import ui

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments.history import look_back, patch, story
from labenv.environments.history.repository import Edit
from labenv.environments.history.story import Entry, Story
from labenv.events import silent
from labenv.text import many
from labenv.web.desk import Desk
from labenv.web.parts import State, button, told, words

_START = "the start"
_ENTRIES = 200  # that are listed
_FILES, _LINES, _LONG = (
    100,
    1500,
    500,
)  # of a patch that are shown, and characters of a line: a browser shall stay quick
_PATCH = jinja2.Environment(loader=jinja2.PackageLoader("labenv.web", "."), autoescape=True, trim_blocks=True)


@dataclass(frozen=True)
class _Past:
    """What there is to be listed, newest first: what commands changed, and moments that have a name."""

    entries: tuple[Entry, ...]
    left_out: int
    moments: tuple[tuple[int, str], ...]


class History:
    """Three views of one history. Each is read when it is asked for."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        with ui.row().classes("bar"):
            button("Changes", self.load, "List the changes")
            self._moment = ui.select(
                [_START], value=_START, label="Since", with_input=True, new_value_mode="add-unique"
            )
            self._moment.props("dense options-dense").classes("choice")
            button("Compare", self._compare, "Compare with that moment")
            there = desk.sight.lab.steps.values() if desk.sight.lab else ()
            steps = {step.id: f"{step.id}  {step.title}" for step in there}
            self._step = ui.select(steps, label="Step", with_input=True).props("dense options-dense").classes("choice")
            button("When", self._when, "Since when does the step pass or fail")
        self._state = State()
        self._body = ui.element("div").classes("panel")

    async def load(self) -> None:
        """List what changed until now."""
        with self._state.during("Reading the history …"):
            past = await self._desk.ask(_past)
            self._moment.set_options(
                [_START, *(name.removeprefix("saved as ") for _, name in past.moments if name != "start")]
            )
            self._body.clear()
            with self._body:
                words("h2", "Changes, the newest first").classes("heading")
                self._list(past)

    async def _compare(self) -> None:
        since = str(self._moment.value or _START)
        with self._state.during("Comparing …"):
            text = await self._desk.ask(_difference, None if since == _START else since)
            self._body.clear()
            with self._body:
                words("h2", f"Since {since}").classes("heading")
                _draw(text, f"labenv diff{'' if since == _START else f' {since!r}'}")

    async def _when(self) -> None:
        if not self._step.value:
            return
        with self._state.during("Reading the history …"):
            stories = await self._desk.ask(_stories, str(self._step.value))
            self._body.clear()
            with self._body:
                words("h2", f"Step {self._step.value} over time").classes("heading")
                for each in stories:
                    self._tell(each)

    def _tell(self, each: Story) -> None:
        good = "" if each.since is None else "pass" if each.holds else "fail"
        with ui.element("section").classes(f"next {good}"):
            ui.label(str(each))
            if each.since is not None and each.evidence and not each.holds:
                ui.label(each.evidence)
            if each.note:
                ui.label(each.note).classes("note")
        with ui.element("ul").classes("changes"):
            for entry in story.entries(each.edits):
                self._entry(entry)

    def _list(self, past: _Past) -> None:
        rows: list[tuple[int, Entry | str]] = [(entry.edits[0].time, entry) for entry in past.entries]
        rows += [(time, name) for time, name in past.moments if not past.left_out or time >= rows[-1][0]]
        with ui.element("ul").classes("changes"):
            for time, what in sorted(rows, key=lambda row: row[0], reverse=True):
                if isinstance(what, Entry):
                    self._entry(what)
                else:
                    words("li", f"{story.clock(time)}  {what}").classes("note")
        if past.left_out:
            ui.label(f"{many(past.left_out, 'older change')} not listed here: labenv history").classes("note")

    def _entry(self, entry: Entry) -> None:
        """A line, which opens to what was changed."""
        with ui.element("li"), ui.element("details") as details:
            with ui.element("summary"):
                words("span", story.clock(entry.edits[0].time)).classes("note")
                with ui.element("span"):
                    for part in story.files(entry):
                        with ui.element("span").classes("change"):
                            words("b", part.machine)
                            words("span", part.title)
                            words("span", f"+{part.added} -{part.removed}").classes("note")
                words("span", entry.said).classes("note")
            place = ui.element("div")
        details.on("toggle", partial(self._open, place, entry.edits), args=["isTrusted"])

    async def _open(self, place: ui.element, edits: Sequence[Edit]) -> None:
        if place.default_slot.children:
            return
        with told():
            text = await self._desk.ask(_patch, edits[:_FILES])
            if not place.default_slot.children:
                with place:
                    _draw(text, f"labenv history {edits[0].machine} --patch", len(edits) - _FILES)


def _past(engine: Engine, environment: Environment) -> _Past:
    book = look_back.opened(engine, environment, silent)
    there = story.entries(book.edits())
    named = [(int(save.made.timestamp()), f"saved as {save.name}") for save in look_back.saves(engine, environment)]
    return _Past(
        tuple(there[:_ENTRIES]),
        max(0, len(there) - _ENTRIES),
        tuple(reversed([(book.began(), "start"), *sorted(named)])),
    )


def _difference(engine: Engine, environment: Environment, since: str | None) -> str:
    book = look_back.opened(engine, environment, silent)
    old = look_back.moment(engine, environment, book, since, teacher=False)
    paths = book.differing(old)
    return book.diff(old, *paths) if paths else ""


def _patch(engine: Engine, environment: Environment, edits: Sequence[Edit]) -> str:
    return look_back.opened(engine, environment, silent).patch(*edits)


def _stories(engine: Engine, environment: Environment, step: str) -> list[Story]:
    return story.when(look_back.opened(engine, environment, silent), step)


def _draw(text: str, command: str, files_left: int = 0) -> None:
    """A patch, its first lines; `command` shows all of it."""
    if not text:
        ui.label("No differences.")
        return
    lines = patch.lines(text)
    shown = [(kind, line if len(line) <= _LONG else f"{line[:_LONG]}…") for kind, line in islice(lines, _LINES)]
    html = _PATCH.get_template("patch.html.j2").render(lines=shown)
    ui.html(html, sanitize=False).classes("patch")  # the template escapes
    if (left := sum(1 for _ in lines)) or files_left > 0:
        more = [many(left, "more line")] * bool(left) + [many(files_left, "more file")] * (files_left > 0)
        ui.label(f"{' and '.join(more)}: {command}").classes("note")
