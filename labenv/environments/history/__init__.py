"""The history of an environment: what the files that matter said at each moment, and what the checks said to it.

The machines keep what they say whenever it has changed (images/base, /usr/lib/labenv/history); labenv comes for it with its
commands, and writes it down outside of them.
"""

import contextlib
import io
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labenv.engine.channel import Channel
from labenv.engine.content import unpacked
from labenv.environment import Environment
from labenv.environments.history.repository import Change, Repository, has_git
from labenv.errors import LabenvError
from labenv.events import Event, Listener
from labenv.parallel import Together

__all__ = ["Repository", "begin", "collect", "collect_now", "forget", "has_git", "note", "packed", "told", "unpack"]

if TYPE_CHECKING:
    from labenv.engine import Engine

_SCRIPT = "/usr/lib/labenv/history"
_BROKEN = (tarfile.TarError, zlib.error, OSError, EOFError, ValueError)


def collect(environment: Environment, channels: Mapping[str, Channel], listen: Listener, said: str = "") -> None:
    """Write down what the machines have kept since the last time, as done by the command `said` if it is given.

    What cannot be written down is told, and stays in the machines until the next time.
    """
    if not has_git():
        return
    with _telling(listen, "what has changed was not written down"):
        with Together(max(1, len(channels))) as pool:
            kept = list(pool.map(lambda name: _kept(name, channels[name], said), channels))
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
    """The same over channels of its own, to the machines that run or the one that is named."""
    there = [each for each in environment.regular if machine in (None, each.name)]
    running = [each for each in there if each.state == "running"]
    with contextlib.ExitStack() as stack:
        channels = {each.name: stack.enter_context(engine.shell(each)) for each in running}
        collect(environment, channels, listen, said)


def begin(engine: "Engine", environment: Environment, listen: Listener) -> None:
    """Write down what an environment began with, unless that was done: what is changed first is an edit then."""
    if has_git() and not Repository(environment).exists:
        collect_now(engine, environment, listen)


@contextlib.contextmanager
def told(engine: "Engine", environment: Environment, listen: Listener, said: str) -> Iterator[None]:
    """What changes during the block is written down as done by the command `said`."""
    collect_now(engine, environment, listen)
    try:
        yield
    finally:
        collect_now(engine, environment, listen, said)


def note(environment: Environment, results: Mapping[str, Mapping[str, str]], listen: Listener) -> None:
    """Write down what a run of the checks found: of each, "step/check/machine", its status and evidence.

    That this cannot be done is told.
    """
    if not has_git():
        return
    with _telling(listen, "the results were not written down"):
        Repository(environment).note(time.time(), results)


def packed(environment: Environment, listen: Listener) -> bytes:
    """All that is written down of an environment, for `unpack`; nothing if nothing is, or, told, if it cannot be had."""
    with _telling(listen, "the history is left out"):
        return Repository(environment).packed() if has_git() else b""
    return b""


def unpack(environment: Environment, data: bytes, listen: Listener) -> None:
    """Go on with a history that was packed elsewhere; that this cannot be done is told."""
    with _telling(listen, "the history was not taken over"):
        if not has_git():
            raise LabenvError("there is no git on this computer")
        Repository(environment).unpack(data)


def forget(environment: Environment) -> None:
    """Remove the history of an environment."""
    Repository(environment).remove()


@contextlib.contextmanager
def _telling(listen: Listener, what: str) -> Iterator[None]:
    """Nothing fails for want of a history: what cannot be done with it is told."""
    try:
        yield
    except LabenvError as error:
        listen(Event("history", f"{what}: {error}", "note"))


def _kept(name: str, channel: Channel, said: str) -> list[Change]:
    """What a machine has kept; a copy that cannot be read, such as of a full disk, is left out."""
    given = channel.run(f"[ ! -x {_SCRIPT} ] || {_SCRIPT} give").stdout
    if not given:
        return []
    changes = []
    try:
        with tarfile.open(fileobj=io.BytesIO(given)) as archive:
            for member in archive:
                if part := archive.extractfile(member):
                    with contextlib.suppress(*_BROKEN):
                        changes.append(Change(name, member.name, unpacked(part.read()), float(member.name), said))
    except _BROKEN as error:
        raise LabenvError(f"what {name} has kept cannot be read ({error})") from error
    return changes
