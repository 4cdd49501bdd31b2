"""Drills on the page: a fault in the finished environment, from what a user reports to how it went."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import background_tasks, ui

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments import drill_records
from labenv.environments.drill_records import Result, Running
from labenv.events import silent
from labenv.lab import drills, labs
from labenv.sheet import drill, drill_words
from labenv.text import many
from labenv.web.desk import Desk, Sight
from labenv.web.parts import State, button, sure, words

_ANY = "any level"


@dataclass(frozen=True)
class _Now:
    """What a student may know: what a user reports and the hints so far, if a drill runs; how many there are of each level; how others went."""

    running: Running | None
    symptom: str
    hints: Sequence[str]
    layers: Mapping[str, str]
    levels: Mapping[int, int]
    over: Sequence[Result]


class Drills:
    """The drill that runs, or a choice of one; below it how others went. All that is done is done by the command of that name."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        self._runs = desk.sight.drills
        self._state = State()
        self._body = ui.element("div").classes("panel")
        self._past = ui.element("div").classes("panel")
        ui.context.client.on_delete(desk.show(self._seen))

    async def load(self) -> None:
        """Draw it as it is now."""
        with self._state.during("Looking for a drill …"):
            self._draw(await self._desk.ask(_now))

    def _seen(self, sight: Sight) -> None:
        """A drill begins or ends elsewhere, too."""
        if sight.drills != self._runs:
            self._runs = sight.drills
            background_tasks.create(self.load(), name="drills", context=self._body)

    def _draw(self, now: _Now) -> None:
        self._body.clear()
        self._past.clear()
        with self._body:
            if now.running:
                self._draw_running(now, now.running)
            else:
                self._draw_choice(now.levels)
        with self._past:
            for number, result in enumerate(reversed(now.over)):
                _draw_result(result, is_open=not number and not now.running)

    def _draw_choice(self, levels: Mapping[int, int]) -> None:
        if not levels:
            ui.label("This lab has no drills.")
            return
        words(
            "p",
            "A drill puts one fault into your finished environment, and shows what a user reports. Find the fault, and fix it. "
            "All checks must pass before; your environment is saved first.",
        )
        choices = {0: f"{_ANY} ({many(sum(levels.values()), 'drill')})"}
        choices |= {level: f"level {level} ({many(count, 'drill')})" for level, count in sorted(levels.items())}
        with ui.row().classes("bar"):
            level = ui.select(choices, value=0, label="Level; 1 is the easiest").props("dense options-dense")
            button("Start a drill", lambda: self._start(int(level.value or 0)))

    def _draw_running(self, now: _Now, running: Running) -> None:
        with ui.element("section").classes("next fail").props('aria-label="The report"'):
            words("b", f"A user reports: {now.symptom}")
            ui.label(drill_words.going(running)).classes("note")
        words("h2", "1. Where is the fault? Say so before you change anything").classes("heading")
        if running.diagnoses:
            ui.label(f"Your diagnosis: {', '.join(entry.layer for entry in running.diagnoses)}")
        with ui.row().classes("bar"):
            layer = ui.select({name: f"{name}: {says}" for name, says in now.layers.items()}, label="Layer")
            layer.props("dense options-dense").classes("choice")
            button("Record my diagnosis", lambda: self._diagnose(layer.value))
        words("h2", "2. Fix it").classes("heading")
        with ui.element("ol").classes("hints"):
            for text in now.hints:
                words("li", text)
        with ui.row().classes("bar"):
            if left := len(running.drill.hints) - len(now.hints):
                button("Hint", self._hint, f"Next hint, of {left} that are left")
            words("span", "There is no further hint." if not left else f"{left} left. The report counts them.").classes(
                "note"
            )
        words("h2", "3. End").classes("heading")
        with ui.row().classes("bar"):
            button("Check", self._check, "Check whether it is fixed")
            button("Give up", self._give_up)
            words("span", f"The environment before the drill is saved as {running.saved}.").classes("note")

    async def _start(self, level: int) -> None:
        chosen = ["--level", f"{level}"] if level else []
        await self._do("start", *chosen, doing="Checking your environment before the drill …")

    async def _diagnose(self, layer: str | None) -> None:
        if layer:
            await self._do("diagnose", layer, doing="Recording …")

    async def _hint(self) -> None:
        await self._do("hint", doing="Recording …")

    async def _check(self) -> None:
        said = await self._do("check", doing="Checking …")
        if said and not said["over"]:
            self._state.say(drill_words.goes_on(said["failing"]))

    async def _give_up(self) -> None:
        if await sure("End the drill, fix the fault and show what it was?", "Give up"):
            await self._do("give-up", "--yes", doing="Fixing the fault …")

    async def _do(self, command: str, *arguments: str, doing: str) -> Any:
        """What a command of drills says, None if it failed; then draw what there is now."""
        said = None
        with self._state.during(doing) as hear:
            said = await self._desk.labenv("drill", command, *arguments, hear=hear)
        await self.load()
        return said


def _now(engine: Engine, environment: Environment) -> _Now:
    lab, who = labs.spoken_of(environment), environment.student.id
    runs = drill_records.running(engine, who)
    runs = runs if runs and runs.begun else None
    there = drills.catalogue(lab, None, silent)
    return _Now(
        runs,
        drill.symptom(runs, environment, lab) if runs else "",
        drill.hints(runs, environment, lab) if runs else (),
        lab.layers,
        Counter(each.level for each in there),
        [drill.retold(result, environment, lab) for result in drill_records.over(engine, who)],
    )


def _draw_result(result: Result, *, is_open: bool) -> None:
    with ui.element("details").classes("drill").props("open" if is_open else ""):
        words("summary", drill_words.outcome(result))
        with ui.element("dl").classes("facts"):
            for name, text in drill_words.rows(result):
                words("dt", name)
                words("dd", text)
            words("dt", "One way to fix it")
            with ui.element("dd"):
                words("pre", result.solution)
