"""The saves on the page: keep the state of the machines, and go back to it. The commands of that name do it."""

from datetime import datetime
from typing import Any

from nicegui import ui

from labenv.engine import Engine, save_store
from labenv.environment import Environment
from labenv.environments import saves
from labenv.events import silent
from labenv.web.desk import Desk
from labenv.web.parts import State, button, sure, told, words


class Saves:
    """The list of saves, newest first."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        with ui.row().classes("bar"):
            self._name = ui.input("Name", placeholder="save-1").props("dense")
            button("Save", self._save, "Save the state of the machines")
            self._state = State()
        self._list = ui.element("ul").classes("panel changes")

    async def load(self) -> None:
        """List what there is now."""
        with told():
            there = await self._desk.ask(_documents)
            self._list.clear()
            with self._list:
                if not there:
                    words("li", "None yet.")
                for one in sorted(there, key=lambda one: str(one["made"]), reverse=True):
                    self._draw(one)

    def _draw(self, one: dict[str, Any]) -> None:
        name = one["name"]
        made = datetime.fromisoformat(one["made"]).astimezone()
        with ui.element("li"), ui.row().classes("save"):
            words("b", name)
            words("span", f"{made:%Y-%m-%d %H:%M:%S} · {one['stage']} · {one['bytes'] / 1e6:.1f} MB").classes("note")
            ui.space()
            button("Restore", lambda: self._restore(name), f"Restore {name}")
            button("Remove", lambda: self._remove(name), f"Remove {name}")

    async def _save(self) -> None:
        with self._state.during("Saving …") as hear:
            if name := self._name.value:
                saves.check_name(name)
            made = await self._desk.labenv("save", *filter(None, [name]), hear=hear)
            self._name.set_value("")
            self._state.done = f"Saved as {made['name']}."
        await self.load()

    async def _restore(self, name: str) -> None:
        if not await sure(f"Go back to {name}? The state of now is saved first. Your terminals end.", "Restore"):
            return
        with self._state.during("Restoring …") as hear:
            await self._desk.labenv("restore", name, hear=hear)
            self._state.done = f"{name} is restored."
        await self.load()

    async def _remove(self, name: str) -> None:
        if not await sure(f"Remove the save {name}?", "Remove"):
            return
        with self._state.during("Removing …"):
            await self._desk.change(["saves", "--remove", name, "--yes"], _remove, name)
        await self.load()


def _documents(engine: Engine, environment: Environment) -> list[dict[str, Any]]:
    return [saves.document(engine, found) for found in save_store.found(engine, environment.student.id)]


def _remove(engine: Engine, environment: Environment, name: str) -> None:
    saves.remove(engine, environment.student.id, name, silent)
