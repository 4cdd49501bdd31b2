"""The saves on the page: keep the state of the machines, and go back to it."""

from datetime import datetime
from typing import Any

from nicegui import ui

from labenv.engine import Engine, save_store
from labenv.environment import Environment
from labenv.environments import saves
from labenv.events import silent
from labenv.web.desk import Desk
from labenv.web.parts import button, sure, told, words


class Saves:
    """The list of saves, newest first."""

    def __init__(self, desk: Desk) -> None:
        """Draw into the element that is open now."""
        self._desk = desk
        with ui.row().classes("bar"):
            self._name = ui.input("Name", placeholder="save-1").props("dense")
            button("Save", self._save, "Save the state of the machines")
            self._state = words("span", "").classes("note").props('role="status"')
        self._list = ui.element("div").classes("panel")

    async def load(self) -> None:
        """List what there is now."""
        with told():
            there = await self._desk.ask(_documents)
            self._list.clear()
            with self._list:
                if not there:
                    ui.label("None yet.")
                for one in sorted(there, key=lambda one: str(one["made"]), reverse=True):
                    with ui.row().classes("bar"):
                        made = datetime.fromisoformat(one["made"]).astimezone()
                        words("b", one["name"])
                        words("span", f"{made:%Y-%m-%d %H:%M} · {one['bytes'] / 1e6:.1f} MB").classes("note")
                        button("Restore", lambda name=one["name"]: self._restore(name), f"Restore {one['name']}")

    async def _save(self) -> None:
        with told():
            self._state.set_text("Saving …")
            try:
                if name := self._name.value:
                    saves.check_name(name)
                made = await self._desk.ask(saves.save, name or None, silent)
                self._name.set_value("")
                self._state.set_text(f"Saved as {made.name}.")
            except BaseException:
                self._state.set_text("")
                raise
        await self.load()

    async def _restore(self, name: str) -> None:
        asked = f"Go back to {name}? The state of now is saved first. Your terminals end."
        if not await sure(asked, "Restore"):
            return
        with told():
            self._state.set_text("Restoring …")
            try:
                await self._desk.ask(_restore, name)
            finally:
                self._state.set_text("")
            self._state.set_text(f"{name} is restored.")
        await self.load()


def _documents(engine: Engine, environment: Environment) -> list[dict[str, Any]]:
    return [saves.document(engine, found) for found in save_store.found(engine, environment.student.id)]


def _restore(engine: Engine, environment: Environment, name: str) -> None:
    saves.restore(engine, environment.student.id, name, silent)
