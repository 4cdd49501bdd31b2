"""A machine's mail log while checks run."""

import threading
import time
from collections.abc import Callable

from labenv.checks.machine import Machine

_SOON, _SELDOM = 0.02, 0.25  # seconds from look to look, at first and at last; a look costs some 3 ms


class Maillog:
    """A machine's /var/log/maillog from the moment this object was made; safe to share between threads."""

    def __init__(self, machine: Machine) -> None:
        """Remember where the log ends now."""
        self._machine = machine
        self._lock = threading.Lock()
        self._size = int(machine.output("stat -c %s /var/log/maillog 2>/dev/null || echo 0"))
        self._text = ""

    def read(self) -> str:
        """All whole lines since the beginning."""
        with self._lock:
            # A log that shrank was rotated: it begins anew.
            said = self._machine.channel.run(
                f"[ $(stat -c %s /var/log/maillog) -ge {self._size} ] && from={self._size} || from=0; "
                "echo $from; tail -c +$((from + 1)) /var/log/maillog"
            ).stdout
            start, _, new = said.partition(b"\n")
            whole = new[: new.rfind(b"\n") + 1]
            self._size = int(start) + len(whole)
            self._text += whole.decode(errors="replace")
            return self._text

    def until(self, holds: Callable[[str], bool], seconds: float = 10) -> str:
        """The log as soon as `holds` is true of it, or as it is after so many seconds."""
        deadline = time.monotonic() + seconds
        pause = _SOON
        while not holds(log := self.read()) and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 1.2, _SELDOM)  # what takes long is not to be slowed down by being looked at
        return log
