"""Shows the core's events: live progress in a terminal, plain lines in a log; always on stderr."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from labenv.cli import fold
from labenv.events import Event, Listener
from labenv.text import one_line

_SILENCE = 10  # seconds after which a log gets a line about what takes long


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Listener]:
    """A listener that shows progress during the block; `quiet` shows only notes and warnings."""
    if sys.stderr.isatty() and not quiet:
        with _live() as listen:
            yield listen
    elif quiet:
        yield _Log(quiet=True).listen
    else:
        with _Log().reminding() as listen:
            yield listen


@dataclass
class _Doing:
    """A step that has begun, when, and its last line of detail."""

    began: float
    line: str = ""


class _Log:
    """Plain lines. A step that takes long says every ten seconds that it goes on, and what it does."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._begun: dict[str, _Doing] = {}

    def listen(self, event: Event) -> None:
        """Take an event."""
        if event.kind == "start":
            self._begun[event.step] = _Doing(time.monotonic())
            if not self._quiet:
                _say(f"{event.step}: {event.message} …")
        elif event.kind == "done" and not self._quiet:
            doing = self._begun.pop(event.step, None)
            _say(f"{event.step}: done in {time.monotonic() - doing.began if doing else 0:.1f} s")
        elif event.kind == "log" and event.step in self._begun:
            self._begun[event.step].line = one_line(event.message)
        elif event.kind in ("note", "warn"):
            _say(f"{event.step}: {event.message}")

    @contextmanager
    def reminding(self) -> Iterator[Listener]:
        """The listener, and a thread that reminds of what goes on during the block."""
        over = threading.Event()

        def remind() -> None:
            while not over.wait(_SILENCE):
                for step, doing in list(self._begun.items()):
                    taken = time.monotonic() - doing.began
                    if taken >= _SILENCE / 2:
                        _say(f"{step}: {taken:.0f} s so far{f', {doing.line}' if doing.line else ''}")

        threading.Thread(target=remind, daemon=True).start()
        try:
            yield self.listen
        finally:
            over.set()


def _say(line: str) -> None:
    """Write a line in one call: `print` writes the newline separately, and another thread's line may come between.

    That nobody can read it (a full disk, a closed terminal) is no reason to leave work half done.
    """
    with suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@contextmanager
def _live() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TimeElapsedColumn
    from rich.table import Column
    from rich.text import Text

    class Doing(ProgressColumn):
        """What is being done, and its last line of detail: on one line, shortened at its end."""

        def render(self, task: Task) -> Text:
            detail = (f"  {task.fields['line']}", "dim") if task.fields["line"] else ""
            return Text.assemble(task.description, detail, no_wrap=True, overflow="ellipsis")

    console = Console(stderr=True)
    whole = Column(no_wrap=True)
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    columns = (SpinnerColumn(finished_text="[green]✓", table_column=whole), Doing(), TimeElapsedColumn(whole))
    with Progress(*columns, console=console) as bars:

        def listen(event: Event) -> None:
            with lock:
                if event.kind == "start" and event.step in tasks:  # the step continues in another way
                    bars.update(tasks[event.step], description=event.message, line="")
                elif event.kind == "start":
                    tasks[event.step] = bars.add_task(event.message, total=1, line="")
                elif event.kind == "done" and event.step in tasks:
                    bars.update(tasks.pop(event.step), completed=1, line="")
                elif event.kind == "log" and event.step in tasks:
                    bars.update(tasks[event.step], line=one_line(event.message))
                elif event.kind in ("note", "warn"):
                    style = "yellow" if event.kind == "warn" else "cyan"
                    lines = fold.fold(f"{event.step}: {event.message}", console.width)
                    bars.console.print(Text("\n".join(lines), style=style), soft_wrap=True)

        yield listen
