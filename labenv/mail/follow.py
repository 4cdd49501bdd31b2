"""A machine's mail log while checks run, and without their lines once they have run.

A check needs the log as it is, and a student wants it as if nobody had checked. So the lines are taken out at the end, and not kept
out: most lines about a message name only its queue id, so a filter of rsyslogd(8) could not tell them from others; and a log that
was not written for a while could not show that it is written. follow.pl says how.
"""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from labenv.checks import lines
from labenv.checks.machine import Machine
from labenv.computer import slowness
from labenv.errors import EngineError
from labenv.text import decoded

PATH = "/var/log/maillog"
NAMED = "/var/log/messages"  # where named(8) logs
_SOON, _SELDOM = 0.02, 0.25  # seconds between two looks, at first and at last; a look costs some 3 ms
_QUIET = 5.0  # seconds without a new line; a daemon that asks a dead resolver is silent as long (resolv.conf(5))
_LARGEST = 4_000_000  # characters that are kept, the newest: a log that shrinks again and again would fill the memory
_SUSPICION = 1.0  # seconds without what is waited for, after which the log itself is tried; a line takes milliseconds
_TRIAL = 1.0  # seconds that a line of labenv's own may take
PROGRAM = lines.program(Path(__file__).with_suffix(".pl"))
# Why rsyslogd(8) may not write the log: what is in the way first.
_WHY = rf"""
state=$(systemctl is-active rsyslog)
[ "$state" = active ] || {{ echo "rsyslog is $state and $(systemctl is-enabled rsyslog)"; exit; }}
state=$(systemctl is-active systemd-journald)
[ "$state" = active ] || {{ echo "systemd-journald, which passes messages on to rsyslog, is $state"; exit; }}
[ "$(df --output=avail /var/log | tail -n 1)" -gt 0 ] || {{ echo "the disk is full"; exit; }}
open=$(ls -l /proc/$(systemctl show --value -p MainPID rsyslog)/fd | sed -n 's|.* -> \({PATH}..*\)|\1|p')
[ -z "$open" ] || {{ echo "rsyslog still has the old file open, which is now $open: restart rsyslog"; exit; }}
[ -e {PATH} ] || {{ echo "the file does not exist"; exit; }}
start=$(systemctl show --timestamp=us+utc --value -p ActiveEnterTimestamp rsyslog)
changed=$(find /etc/rsyslog.conf /etc/rsyslog.d -type f -newermt "$start" | head -n 1)
[ -z "$changed" ] || {{ echo "rsyslog runs with the settings from before $changed was changed: systemctl restart rsyslog"; exit; }}
echo "rsyslog runs, but /etc/rsyslog.conf does not send all messages of the facility mail there"
"""


def take_out(machine: Machine, log: str, token: str, *sets: Iterable[str]) -> None:
    """Take the lines of the runs that are over out of a machine's log, among them those of the run that has this token.

    The `sets` are the addresses from which labenv connects, those from which nobody else does, the domains to which it wrote, and the
    sessions of Dovecot that others began for it. A machine of an earlier version, without labenv's own tools, keeps the lines, and so does one that does not answer.
    """
    if machine.has_tools:
        with suppress(EngineError):
            machine.run("perl -e %s take %s %s %s %s %s %s $$", PROGRAM, token, *map(" ".join, sets), log)


class Maillog:
    """A machine's /var/log/maillog since this object was made; threads may share it."""

    def __init__(self, machine: Machine) -> None:
        """Remember the current end of the log."""
        self._machine = machine
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        self._tried: str | None = None
        self._began = 0.0  # the latest look, in time.monotonic()
        self._size = int(machine.output(f"stat -c %s {PATH} 2>/dev/null || echo 0"))
        self._text = ""

    def read(self) -> str:
        """All whole lines since the beginning, the newest if they are too many."""
        asked = time.monotonic()
        with self._lock:
            if self._began > asked:  # another thread has begun to look since, while this one waited for its turn
                return self._text
            self._began = time.monotonic()
            # A log that shrank was rotated: it begins again.
            said = self._machine.channel.run(
                f"[ $(stat -c %s {PATH}) -ge {self._size} ] && from={self._size} || from=0; "
                f"echo $from; tail -c +$((from + 1)) {PATH}"
            ).stdout
            start, _, new = said.partition(b"\n")
            whole = new[: new.rfind(b"\n") + 1]
            self._size = int(start) + len(whole)
            self._text = (self._text + decoded(whole))[-_LARGEST:]
            return self._text

    def until(
        self, holds: Callable[[str], bool], seconds: float = 10, *, hopeless: Callable[[], object] = lambda: False
    ) -> str:
        """The log as soon as `holds` is true for it, or as it is after that many seconds, or when it has been quiet for long.

        After one second it gives up if nothing writes the log, or if `hopeless` is true.
        """
        began = grew = time.monotonic()
        pause, length = _SOON, -1
        while not holds(log := self.read()) and (now := time.monotonic()) < min(began + seconds, grew + _QUIET):
            if now - began > _SUSPICION and (self.dead or hopeless()):
                break
            grew, length = (now, len(log)) if len(log) != length else (grew, length)
            time.sleep(pause)
            pause = min(pause * 1.2, _SELDOM)  # look less often at what takes long, so as not to slow it down
        return log

    @property
    def dead(self) -> str:
        """Why nothing writes the log, as a sentence; "" if it has a message, or a line of labenv's own gets there: tried once."""
        with self._trying:
            if self._tried is None:
                self._tried = self._try()
            return self._tried

    def _try(self) -> str:
        if "message-id=<" in self._text:
            return ""
        line = f"labenv check looks whether this log is written ({time.monotonic_ns()})"
        self._machine.run("logger -p mail.info -t labenv %s", line)
        deadline = time.monotonic() + _TRIAL * slowness()
        while time.monotonic() < deadline:
            if line in self.read():
                return ""
            time.sleep(_SOON)
        why = (self._machine.run("sh -c %s", _WHY).stdout.splitlines() or ["it is not known why"])[0]
        return f"nothing writes {PATH} on {self._machine.name}: {why}"
