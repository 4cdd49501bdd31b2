"""A person at a terminal: a root shell of a machine, with editors, questions and answers.

Nothing here uses labenv's internals: it types into `labenv shell` and reads the screen.
"""

import os
import re
import sys
from collections.abc import Callable

import pexpect
import pytest

_PATIENCE = 120  # `yum install` on a machine with a load of 17 took one minute
_CONTROL = re.compile(r"\x1b\[[?>0-9;]*[a-zA-Z]|\x1b[=>]|\x1b\]8;;[^\x1b]*\x1b\\|\x1b\][^\x07]*\x07|\r|\x07")
ESCAPE, CTRL_C, CTRL_D = "\x1b", "\x03", "\x04"


class Terminal:
    """A terminal with a root shell of a machine on it."""

    def __init__(self, student: str, machine: str) -> None:
        self.machine = machine
        self.screen = pexpect.spawn(
            sys.executable,
            ["-m", "labenv", "shell", machine, "-s", student],
            encoding="utf-8",
            dimensions=(50, 200),
            timeout=_PATIENCE,
            env={**os.environ, "TERM": "xterm"},
        )
        self.prompt = rf"\[[\w-]+@{machine} [^\]]+\][#$] "
        self.screen.expect(self.prompt)
        # A shell that learns its terminal's size only after its first prompt draws that prompt again.
        self.screen.send("echo $((6 * 7)) words\r")
        self.until("42 words")
        self.until(self.prompt)

    def until(self, pattern: str) -> str:
        """Read until the pattern is on the screen; returns what came, without the terminal's control sequences."""
        try:
            self.screen.expect(pattern)
        except (pexpect.TIMEOUT, pexpect.EOF):
            came = _CONTROL.sub("", self.screen.before or "")
            pytest.fail(f"{self.machine}: waiting for {pattern!r}; on the screen:\n{came}")
        return _CONTROL.sub("", f"{self.screen.before}{self.screen.after}")

    def type(self, line: str, *answers: tuple[str, str]) -> str:
        """Type a command; answer its questions, (question, answer) in turn; returns its output up to the next prompt."""
        self.screen.send(f"{line}\r")
        came = ""
        for question, answer in answers:
            came += self.until(question)
            self.screen.send(answer)
        return came + self.until(self.prompt)

    def vi(self, path: str, search: str, keys: str) -> None:
        """Edit with vi: look for a line, then press keys."""
        self.screen.send(f"vi {path}\r")
        self.until(r'"\S+" \d+L')
        self.screen.send(f"/{search}\r{keys}{ESCAPE}:wq\r")
        self.until("written")
        self.until(self.prompt)

    def nano(self, path: str, search: str, line: str) -> None:
        """Edit with nano: look for a line, cut it out, type another, write the file, leave."""
        self.screen.send(f"nano {path}\r")
        self.until("GNU nano")
        self.screen.send("\x17")
        self.until("Search")
        self.screen.send(f"{search}\r\x0b{line}\r\x0f")
        self.until("File Name to Write")
        self.screen.send("\r")
        self.until("Wrote")
        self.screen.send("\x18")
        self.until(self.prompt)

    def paste(self, path: str, text: str, redirect: str = ">") -> None:
        """Paste a text into a file, as it is."""
        self.screen.send(f"cat {redirect} {path}\r")
        for line in text.splitlines():
            self.screen.send(f"{line}\r")
        self.screen.send(CTRL_D)
        self.until(self.prompt)

    def log(self, pattern: str) -> None:
        """Watch /var/log/maillog until a line appears."""
        self.screen.send("tail -n +1 -f /var/log/maillog\r")
        self.until(pattern)
        self.screen.send(CTRL_C)
        self.until(self.prompt)

    def mail(self, recipient: str, subject: str, text: str) -> None:
        """Send a message with `mail`, which asks for the subject; a dot ends it."""
        self.type(f"mail {recipient}", ("Subject: ", f"{subject}\r"), ("To: ", f"{text}\r.\r"))


Open = Callable[[str, str], Terminal]
