"""Roundcube in Firefox, used as a person uses it: its login, its list of messages, its form for new ones."""

from pathlib import Path

from tests.e2e.firefox import Firefox
from tests.e2e.webdriver import until

_IDLE = "return document.readyState == 'complete' && window.rcmail?.busy === false"
_MESSAGE = "document.getElementById('messagecontframe')?.contentDocument?.getElementById('messagebody')?.innerText"
_SUBJECTS = "return [...document.querySelectorAll('#messagelist tr.message .subject a')].map(line => line.innerText)"


class Roundcube:
    """The webmail that Firefox shows."""

    def __init__(self, firefox: Firefox) -> None:
        self._firefox = firefox

    def log_in(self, user: str, password: str, picture: Path) -> None:
        """Log in, and wait for the inbox."""
        self._firefox.type("#rcmloginuser", user)
        self._firefox.type("#rcmloginpwd", password)
        self._firefox.screenshot(picture)
        self._firefox.click("#rcmloginsubmit")
        until("the webmail shows the inbox", lambda: "_task=mail" in self._firefox.address)

    def send(self, to: str, subject: str, text: str, picture: Path) -> None:
        """Write a message and send it; wait until it has been sent, and the webmail shows the inbox again."""
        self._press("#taskmenu a.compose")
        self._firefox.type("#compose_to input", f"{to},")
        self._firefox.type("#compose-subject", subject)
        self._firefox.type("#composebody", text)
        self._firefox.screenshot(picture)
        self._press(".formbuttons button.send")
        until(f"'{subject}' is sent", lambda: "_action=compose" not in self._firefox.address)

    def subjects(self) -> list[str]:
        """The subjects in the inbox, after looking for new messages."""
        self._press("#layout-list a.refresh")
        return self._firefox.run(_SUBJECTS) or []

    def read(self, subject: str) -> str:
        """Click on a message; returns the text that is shown."""
        until(f"'{subject}' is in the inbox", lambda: subject in self.subjects())
        self._firefox.follow(subject)
        return str(until(f"'{subject}' is shown", lambda: self._firefox.run(f"return {_MESSAGE}?.trim()")))

    def _press(self, button: str) -> None:
        """Click on a button, once a click has an effect."""
        until("the webmail is not busy", lambda: self._firefox.run(_IDLE))
        self._firefox.click(button)
