"""The history of an environment: the content of the watched files at each moment, and the results of the checks.

Each machine records the watched files whenever they change (images/machine, /usr/lib/labenv/history). labenv commands collect
these records and store them outside the machines.
"""

import contextlib
import io
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labenv import plain_tar
from labenv.engine.channel import Channel
from labenv.engine.content import unpacked
from labenv.environment import Environment
from labenv.environments.history.form import is_moment
from labenv.environments.history.git import there as has_git
from labenv.environments.history.repository import Change, Repository, path_of
from labenv.errors import LabenvError
from labenv.events import Event, Listener
from labenv.parallel import Together

__all__ = [
    "Repository",
    "begin",
    "booted",
    "collect",
    "collect_now",
    "forget",
    "has_git",
    "note",
    "packed",
    "told",
    "unpack",
]

if TYPE_CHECKING:
    from labenv.engine import Engine

_SCRIPT = "/usr/lib/labenv/history"
_GIVE = f"[ ! -x {_SCRIPT} ] || {_SCRIPT} give"
_LEFT = (
    'cd /var/lib/labenv/history 2>/dev/null && [ -n "$(ls)" ] && tar -c $(ls)'  # the same, and nothing is recorded now
)
_BROKEN = (tarfile.TarError, plain_tar.Unreadable, OSError, EOFError, ValueError)
_LARGEST = 64_000_000  # bytes of what one machine has recorded since the last time


def collect(
    environment: Environment, channels: Mapping[str, Channel], listen: Listener, said: str = "", *, ask: str = _GIVE
) -> None:
    """Store what the machines have recorded since the last time, attributed to the command `said` if it is given.

    `ask` is how they are asked. If that fails, the user is told, and the records stay in the machines until the next time.
    """
    if not has_git():
        return
    with _telling(listen, "the latest changes could not be stored"):
        with Together(max(1, len(channels))) as pool:
            kept = list(pool.map(lambda name: _kept(name, channels[name], said, ask), channels))
        changes = [change for changes in kept for change in changes]
        if not changes:
            return
        Repository(environment).write(changes)
        for changes, channel in zip(kept, channels.values(), strict=True):
            if changes:
                channel.run(f"{_SCRIPT} took {max(change.name for change in changes)}")


def collect_now(
    engine: "Engine", environment: Environment, listen: Listener, said: str = "", *, machine: str | None = None
) -> None:
    """The same over channels of its own, to all running machines or only to the named one."""
    with _open(engine, environment, machine) as channels:
        collect(environment, channels, listen, said)


def booted(engine: "Engine", environment: Environment, listen: Listener, said: str) -> None:
    """Attribute what a boot has changed to the command `said`, but not what the machines recorded before it."""
    with _open(engine, environment) as channels:
        collect(environment, channels, listen, ask=_LEFT)
        collect(environment, channels, listen, said)


@contextlib.contextmanager
def _open(engine: "Engine", environment: Environment, machine: str | None = None) -> Iterator[dict[str, Channel]]:
    """Channels, during the block, to all running machines or only to the named one."""
    there = [each for each in environment.regular if machine in (None, each.name)]
    with contextlib.ExitStack() as stack:
        yield {each.name: stack.enter_context(engine.shell(each)) for each in there if each.state == "running"}


def begin(engine: "Engine", environment: Environment, listen: Listener) -> None:
    """Store the state that an environment began with, unless that was done, so that later changes count as edits."""
    with _telling(listen, "nothing can be recorded"):
        if has_git() and not Repository(environment).exists:
            collect_now(engine, environment, listen)


@contextlib.contextmanager
def told(
    engine: "Engine", environment: Environment, listen: Listener, said: str, *, machine: str | None = None
) -> Iterator[None]:
    """Attribute what changes during the block, on all machines or only on the named one, to the command `said`."""
    with _open(engine, environment, machine) as channels:  # one that breaks, as its machine reboots, opens again
        collect(environment, channels, listen)
        try:
            yield
        finally:
            collect(environment, channels, listen, said)


def note(environment: Environment, results: Mapping[str, Mapping[str, str]], listen: Listener) -> None:
    """Store the results of a run of the checks: the status and evidence of each "step/check/machine".

    If that fails, the user is told.
    """
    if not has_git():
        return
    with _telling(listen, "the results could not be stored"):
        Repository(environment).note(time.time(), results)


def packed(environment: Environment, listen: Listener) -> bytes:
    """The whole history of an environment, for `unpack`; empty if there is none or, with a note, if it cannot be read."""
    with _telling(listen, "the history is left out"):
        return Repository(environment).packed() if has_git() else b""
    return b""


def unpack(environment: Environment, data: bytes, listen: Listener) -> None:
    """Continue a history that was packed elsewhere; if that fails, the user is told."""
    with _telling(listen, "the history could not be imported"):
        if not has_git():
            raise LabenvError("git is not installed on this computer")
        Repository(environment).unpack(data)


def began(environment: Environment, listen: Listener) -> int:
    """Since when labenv has the environment's history, in seconds since 1970; 0 if it has none or, with a note, cannot read it."""
    with _telling(listen, "when it began cannot be read"):
        return Repository(environment).began() if has_git() else 0
    return 0


def forget(environment: Environment) -> None:
    """Remove the history of an environment."""
    Repository(environment).remove()


def drop(student_id: str) -> None:
    """Remove the history of a student's environment, whichever that was."""
    shutil.rmtree(path_of(student_id), ignore_errors=True)


@contextlib.contextmanager
def _telling(listen: Listener, what: str) -> Iterator[None]:
    """Nothing fails because of a history: what cannot be done with it becomes a note."""
    try:
        yield
    except LabenvError as error:
        listen(Event("history", f"{what}: {error}", "note"))


def _kept(name: str, channel: Channel, said: str, ask: str) -> list[Change]:
    """What a machine has recorded; a record that cannot be read, such as after a full disk, is left out."""
    given = channel.run(ask, most=_LARGEST).stdout
    if not given:
        return []
    changes = []
    try:
        for member, content in plain_tar.members(io.BytesIO(given), notes=True):
            if member.kind == "file" and is_moment(member.name):
                packed = b"".join(content)
                with contextlib.suppress(*_BROKEN):
                    changes.append(Change(name, member.name, unpacked(packed), float(member.name), said))
    except plain_tar.Unreadable as error:
        raise LabenvError(f"the records on {name} cannot be read ({error})") from error
    return changes
