"""Shows the core's events: live progress in a terminal, plain lines in a log; always on stderr."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from labenv.events import Event, Listener


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Listener]:
    """A listener that shows progress during the block; `quiet` shows only notes and warnings."""
    if sys.stderr.isatty() and not quiet:
        with _live() as listen:
            yield listen
    else:
        yield _plain(quiet)


def _plain(quiet: bool) -> Listener:
    started: dict[str, float] = {}

    def listen(event: Event) -> None:
        if event.kind == "start":
            started[event.step] = time.monotonic()
            if not quiet:
                _say(f"{event.step}: {event.message} …")
        elif event.kind == "done" and not quiet:
            took = time.monotonic() - started.pop(event.step, time.monotonic())
            _say(f"{event.step}: done in {took:.1f} s")
        elif event.kind in ("note", "warn"):
            _say(f"{event.step}: {event.message}")

    return listen


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
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.text import Text

    console = Console(stderr=True)
    columns = (SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    with Progress(*columns, TextColumn("[dim]{task.fields[line]}"), console=console) as bars:

        def listen(event: Event) -> None:
            with lock:
                if event.kind == "start" and event.step in tasks:  # the step continues in another way
                    bars.update(tasks[event.step], description=_safe(event.message), line="")
                elif event.kind == "start":
                    tasks[event.step] = bars.add_task(_safe(event.message), total=1, line="")
                elif event.kind == "done" and event.step in tasks:
                    bars.update(tasks.pop(event.step), completed=1, line="")
                elif event.kind == "log" and event.step in tasks:
                    bars.update(tasks[event.step], line=_safe(event.message)[: max(10, console.width - 60)])
                elif event.kind in ("note", "warn"):
                    style = "yellow" if event.kind == "warn" else "cyan"
                    bars.console.print(Text(f"{event.step}: {event.message}", style=style))

        yield listen


def _safe(text: str) -> str:
    return text.replace("[", "\\[")
