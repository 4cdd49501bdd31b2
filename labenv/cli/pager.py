"""Long output in a pager, as git shows it: only in a terminal, and only what exceeds its screen."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from labenv.cli import output
from labenv.text import decoded

# As git(1) sets them for less(1) and lv(1): less ends at once if all fits, shows colours, and leaves the text on the screen.
_SETTINGS = {"LESS": "FRX", "LV": "-c"}
_CHOSEN_BY = ("LABENV_PAGER", "GIT_PAGER", "PAGER")
_USUAL = "less"
_NOT_THERE = (126, 127)  # of a shell: the command cannot be run, or is not there
_COLOUR = re.compile("\x1b\\[[0-9;]*m")


@contextmanager
def paged(no_pager: bool) -> Iterator[None]:
    """Show in a pager what the block prints on stdout, unless the user does not want one, or it fits the screen."""
    command = "" if no_pager or not sys.stdout.isatty() else _chosen()
    if not command:
        yield
        return
    real, held = sys.stdout, _Held()
    sys.stdout = output.over(held)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = real
        _show(held.getvalue(), command)


class _Held(io.BytesIO):
    """What is kept back for the pager. It is for a terminal, in the end; a stream over it that is gone does not close it."""

    def close(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


def _chosen() -> str:
    """The pager's command line; empty for none. An empty variable, or `cat`, means none."""
    chosen = next((os.environ[name] for name in _CHOSEN_BY if name in os.environ), None)
    if chosen is None:
        return _USUAL if shutil.which(_USUAL) else ""
    return "" if chosen.strip() == "cat" else chosen.strip()


def _show(text: bytes, command: str) -> None:
    size = os.get_terminal_size(sys.stdout.fileno())  # LINES and COLUMNS do not follow a window
    shown = _COLOUR.sub("", decoded(text, keep="\x1b")).splitlines()
    lines = sum(max(1, -(-len(line) // size.columns)) for line in shown)
    if lines < size.lines:
        _print(text)
        return
    environment = {**_SETTINGS, **os.environ}
    with subprocess.Popen(["/bin/sh", "-c", command], stdin=subprocess.PIPE, env=environment) as pager:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's
        try:
            with suppress(BrokenPipeError):  # closed before the end
                pager.communicate(text)
        finally:
            signal.signal(signal.SIGINT, before)
    if pager.returncode in _NOT_THERE:
        _print(text)


def _print(text: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
