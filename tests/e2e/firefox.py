"""Firefox on a desktop, used as a person uses it: its address bar, its warnings, and the forms of the pages that it shows.

Marionette sends the clicks and the typing (W3C WebDriver). Firefox is started for it with a profile of its own, to which the
policies of the image apply as to all.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labenv.engine import Engine
from tests.e2e.webdriver import Refused, started, until

_ENTER = "\ue007"  # https://www.w3.org/TR/webdriver2/#keyboard-actions
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # what a reference to an element is called there
_SHADOW = "shadow-6066-11e4-a52e-4f735466cecf"
_WARNING = "net-error-card"
_REASONS = f"return document.querySelector('{_WARNING}').shadowRoot.textContent"


class Firefox:
    """Firefox on the desktop in `container`."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._inside = started(engine, container, "firefox-esr", ".mozilla/firefox/driven", 2829)

    def open(self, address: str) -> None:
        """Type an address into the address bar, and press Enter."""
        self._context("chrome")
        bar = self._find("#urlbar-input")
        self._inside.command("WebDriver:ElementClick", id=bar)
        self._inside.command("WebDriver:ElementClear", id=bar)
        self._inside.command("WebDriver:ElementSendKeys", id=bar, text=address + _ENTER)
        self._context("content")

    @property
    def address(self) -> str:
        """The address of the page that is shown, which may be an error page in its place."""
        return str(self._inside.command("WebDriver:GetCurrentURL")["value"])

    def run(self, script: str, *arguments: Any) -> Any:
        """The return value of a function body in JavaScript in the page; None if the page goes away meanwhile."""
        try:
            return self._inside.run(script, *arguments)
        except Refused:
            return None

    def in_window(self, script: str, *arguments: Any) -> Any:
        """As `run`, but in the window around the page, with all of Firefox's rights."""
        self._context("chrome")
        try:
            return self._inside.run(script, *arguments)
        finally:
            self._context("content")

    def text(self) -> str:
        """The text that the page shows, in one line."""
        return " ".join((self.run("return document.body?.innerText") or "").split())

    def shows(self, text: str) -> None:
        """Wait until the page shows a text."""
        until(f"the page shows '{text}'", lambda: text in self.text())

    def type(self, field: str, text: str) -> None:
        """Put a text into a field of the page, by its selector, instead of what is in it."""
        element = self._found(field)
        self._inside.command("WebDriver:ElementClear", id=element)
        self._inside.command("WebDriver:ElementSendKeys", id=element, text=text)

    def click(self, *path: str) -> None:
        """Click on an element of the page, once it is there; one within web components by the way through them."""
        self._click(" ".join(path), lambda: self._find(*path))

    def trust(self, picture: Path) -> str:
        """Go on to the site against whose certificate Firefox warns, once its reasons are open; returns the code of its error."""
        self.click(_WARNING, "#advanced-button")
        code = until("the warning has a code", lambda: re.search(r"Error Code: (\w+)", self.run(_REASONS) or ""))
        until(
            "it lets the user go on",
            lambda: self.run(f"return !document.querySelector('{_WARNING}').exceptionButton.disabled"),
        )
        self.run(f"document.querySelector('{_WARNING}').exceptionButton.scrollIntoView()")
        self.screenshot(picture)
        self.click(_WARNING, "#exception-button")
        until("the site itself is shown", lambda: self.run(f"return !document.querySelector('{_WARNING}')"))
        return str(code[1])

    def follow(self, text: str) -> None:
        """Click on the link with a text, once it is there."""
        self._click(f"the link '{text}'", lambda: self._find(text, using="partial link text"))

    def screenshot(self, file: Path) -> None:
        """Write what its window shows to a PNG file."""
        self._context("chrome")
        self._inside.screenshot(file)
        self._context("content")

    def close(self) -> None:
        """Disconnect from it; it keeps running."""
        self._inside.close()

    def _context(self, value: str) -> None:
        self._inside.command("Marionette:SetContext", value=value)

    def _click(self, what: str, find: Callable[[], str]) -> None:
        def clicked() -> bool:
            try:
                self._inside.command("WebDriver:ElementClick", id=find())
            except Refused:  # it is not there yet, or something is in front of it
                return False
            return True

        until(f"{what} can be clicked", clicked)

    def _found(self, *path: str) -> str:
        def found() -> str | None:
            try:
                return self._find(*path)
            except Refused:
                return None

        return str(until(f"{' '.join(path)} is on the page", found))

    def _find(self, *path: str, using: str = "css selector") -> str:
        *components, last = path
        root: dict[str, str] = {}
        for component in components:
            element = self._inside.command("WebDriver:FindElement", using="css selector", value=component, **root)
            held = self._inside.command("WebDriver:GetShadowRoot", id=element["value"][_ELEMENT])
            root = {"shadowRoot": held["value"][_SHADOW]}
        name = "WebDriver:FindElementFromShadowRoot" if root else "WebDriver:FindElement"
        found = self._inside.command(name, using=using, value=last, **root)
        return str(found["value"][_ELEMENT])
