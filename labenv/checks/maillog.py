"""A machine's mail log while checks run."""

import threading
import time
from collections.abc import Callable

from labenv.checks.machine import Machine
from labenv.text import decoded

_SOON, _SELDOM = 0.02, 0.25  # seconds between two looks, at first and at last; a look costs some 3 ms
_QUIET = 5.0  # seconds without a new line; a daemon that asks a dead resolver is silent as long (resolv.conf(5))
_LARGEST = 4_000_000  # characters that are kept, the newest: a log that shrinks again and again would fill the memory


class Maillog:
    """A machine's /var/log/maillog since this object was made; threads may share it."""

    def __init__(self, machine: Machine) -> None:
        """Remember the current end of the log."""
        self._machine = machine
        self._lock = threading.Lock()
        self._size = int(machine.output("stat -c %s /var/log/maillog 2>/dev/null || echo 0"))
        self._text = ""

    def read(self) -> str:
        """All whole lines since the beginning, the newest if they are too many."""
        with self._lock:
            # A log that shrank was rotated: it begins again.
            said = self._machine.channel.run(
                f"[ $(stat -c %s /var/log/maillog) -ge {self._size} ] && from={self._size} || from=0; "
                "echo $from; tail -c +$((from + 1)) /var/log/maillog"
            ).stdout
            start, _, new = said.partition(b"\n")
            whole = new[: new.rfind(b"\n") + 1]
            self._size = int(start) + len(whole)
            self._text = (self._text + decoded(whole))[-_LARGEST:]
            return self._text

    def until(self, holds: Callable[[str], bool], seconds: float = 10) -> str:
        """The log as soon as `holds` is true for it, or as it is after that many seconds, or when it has been quiet for long."""
        began = grew = time.monotonic()
        pause, length = _SOON, -1
        while not holds(log := self.read()) and (now := time.monotonic()) < min(began + seconds, grew + _QUIET):
            grew, length = (now, len(log)) if len(log) != length else (grew, length)
            time.sleep(pause)
            pause = min(pause * 1.2, _SELDOM)  # look less often at what takes long, so as not to slow it down
        return log
