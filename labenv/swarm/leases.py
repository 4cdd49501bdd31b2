"""Which node has a student's environment, and how current the copy is that was pushed of it: a file for each student.

They lie in labenv's folder of state on the manager, and the keeper writes them. A node has an environment from when its supervisor
`begin`s until it `end`s, or until another node's begins: whoever has it no more may not push over its state (the `generation`).
"""

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from labenv import places, student
from labenv.errors import LabenvError, UsageError
from labenv.swarm import words
from labenv.text import many, one_line

_MOST_MOVES = 20
_LONGEST = 100  # characters of a node's name
_NEWS = timedelta(hours=12)


class Gone(UsageError):
    """Another node has the environment now, or nobody."""


@dataclass(frozen=True)
class Move:
    """An environment went from a node to another: when, and the time of the copy that it goes on from ("" if it began again).

    It was `lost` if the node did not end it; `seen` is when that node was last heard of. Times are UTC, ISO 8601. `aside` is the
    save with what was found on the lost node later. `stands` are the stamps of copies that its machines there may stand on, without which no
    such save can be made.
    """

    source: str
    target: str
    at: str
    pushed: str
    lost: bool
    seen: str = ""
    aside: str = ""
    stands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lease:
    """Who has a student's environment: the `node` (its id in the swarm) and its name, since `begun`; no node if nobody has.

    `up` is when it was up there, and `parts` how long the supervisor took for what (seconds); `failed` is the sentence about
    why it could not come up. `pushed` is when the copy with that `stamp` was made. Times are UTC, ISO 8601. While it is `stale`, what the
    node may have of the student is not what it was given: until it comes up.
    """

    student: str
    class_id: str
    generation: int = 0
    node: str = ""
    name: str = ""
    begun: str = ""
    up: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    failed: str = ""
    pushed: str = ""
    stamp: str = ""
    moves: tuple[Move, ...] = ()
    stale: bool = False

    @property
    def is_up(self) -> bool:
        """Whether a node has the environment, and it came up there."""
        return bool(self.node and self.up)

    @property
    def is_over(self) -> bool:
        """Whether the environment was removed for good, with what was pushed."""
        return not self.name


def folder() -> Path:
    """Where they are."""
    return places.state() / "swarm" / "leases"


def is_kept() -> bool:
    """Whether this user's labenv manages a swarm on this computer, so that there are leases that count (labenv.swarm.setup).

    A folder that they may not look into holds nothing of theirs, as another user's home.
    """
    return os.path.exists(places.state() / "swarm" / words.CERTIFICATE)


def placed(student_id: str) -> Lease | None:
    """The lease of a student whose environment a swarm that is managed here has, or keeps for later; None for any other."""
    lease = read(student_id) if is_kept() else None
    return None if lease is None or lease.is_over else lease


def is_placed(student_id: str) -> bool:
    """Whether there is such a lease."""
    return placed(student_id) is not None


def read(student_id: str) -> Lease | None:
    """The lease of a student, None if there never was one, its file is damaged, or the id is not valid."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError, UsageError):
        path = folder() / f"{student.check_id(student_id)}.json"
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        moves = tuple(Move(**{**move, "stands": tuple(move.get("stands", ()))}) for move in told.pop("moves"))
        return _checked(Lease(**told, moves=moves))
    return None


def _checked(lease: Lease) -> Lease:
    """The lease. Raises TypeError, ValueError if something in it is not what it should be."""
    texts = [lease.student, lease.class_id, lease.node, lease.name, lease.failed, lease.stamp]
    times = [lease.begun, lease.up, lease.pushed]
    for move in lease.moves:
        texts += (move.source, move.target, move.aside, *move.stands)
        times += [move.at, move.pushed, move.seen]
    for moment in filter(None, times):
        datetime.fromisoformat(moment)
    if type(lease.generation) is not int or not all(isinstance(text, str) for text in texts):
        raise TypeError("not a lease")
    return lease


def everything(class_id: str | None = None) -> dict[str, Lease]:
    """All leases (of one class, if given), by student."""
    found = (read(path.stem) for path in sorted(folder().glob("*.json")))
    return {each.student: each for each in found if each and class_id in (None, each.class_id)}


def left_on(student_id: str) -> set[str]:
    """The stamps of copies that a student's machines on lost nodes may stand on, until what is there was kept aside."""
    lease = read(student_id)
    return {stamp for move in lease.moves for stamp in move.stands} if lease else set()


def changed() -> int:
    """A number that is another one whenever a lease was written since."""
    with suppress(OSError):
        return folder().stat().st_mtime_ns
    return 0


def drop(student_id: str) -> None:
    """Remove the lease of a student whose environment was removed everywhere, so that no node can still have a stale one."""
    (folder() / f"{student_id}.json").unlink(missing_ok=True)


def now() -> str:
    """The time as leases have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Leases:
    """The leases, for the one who may change them: the keeper. Safe to share between threads."""

    def __init__(self) -> None:
        """Look at what there is when it is asked for."""
        self._lock = threading.Lock()
        self._seen: dict[str, str] = {}  # when a node was last heard of
        self._leaving: dict[str, tuple[int, float]] = {}  # whose environment is being ended: its generation, since when

    def heard(self, node: str) -> None:
        """Note that a node is alive."""
        self._seen[node] = now()

    def leaving(self, student_id: str, generation: int) -> None:
        """Note that a node gives an environment up, and may still push. Raises Gone if another node has it now."""
        with self._mine(student_id, generation):
            self._leaving[student_id] = generation, time.monotonic()

    def left_by(self, student_id: str, node: str) -> str:
        """The name of another node that is giving an environment up now; "" if none is, or not for as long as Swarm lets it."""
        lease = read(student_id)
        generation, since = self._leaving.get(student_id, (0, 0.0))
        if lease and lease.node not in ("", node) and lease.generation == generation:
            return lease.name if time.monotonic() - since < words.GRACE else ""
        return ""

    def begin(
        self,
        student_id: str,
        class_id: str,
        node: str,
        name: str,
        has: Callable[[str], bool] = bool,
        stands: Callable[[str], tuple[str, ...]] = lambda _: (),
    ) -> tuple[Lease, bool]:
        """Give an environment to a node; returns the lease, and whether what that node may still have of the student is stale.

        `has` tells whether there is a copy with a stamp: without one, the environment does not go on from it. `stands` tells what machines
        stand on of which that is the last copy. Raises UsageError if another class has a student of that id.
        """
        name = one_line(name)[:_LONGEST]
        with self._changing(student_id, class_id) as held:
            before = held if has(held.stamp) else replace(held, pushed="", stamp="")
            # Asked again before it came up, because the answer was lost or keeping aside failed, it is as stale as before.
            is_stale = bool(before.generation) and (before.node != node or before.stale)
            moves = before.moves
            source = before.name or (moves[-1].target if moves else "")
            if before.node and before.node != node:
                # Where it could not come up, nobody has worked.
                lost, seen = bool(before.up or not before.failed), self._seen.get(before.node, "")
                left = stands(before.stamp)
                move = Move(before.name, name, now(), before.pushed, lost=lost, seen=seen, stands=left)
                moves = (*moves, move)[-_MOST_MOVES:]
            elif not before.node and source and source != name:
                moves = (*moves, Move(source, name, now(), before.pushed, lost=False))[-_MOST_MOVES:]
            lease = replace(
                before,
                generation=before.generation + 1,
                node=node,
                name=name,
                begun=now(),
                up="",
                parts={},
                failed="",
                moves=moves,
                stale=is_stale,
            )
            _write(lease)
        return lease, is_stale

    def came_up(self, student_id: str, generation: int, parts: dict[str, float]) -> None:
        """Note that an environment is up, and how long that took. Raises Gone."""
        with self._mine(student_id, generation) as lease:
            _write(replace(lease, up=now(), parts=parts, failed="", stale=False))

    def failed(self, student_id: str, generation: int, sentence: str) -> None:
        """Note why an environment cannot come up. Raises Gone."""
        with self._mine(student_id, generation) as lease:
            _write(replace(lease, failed=one_line(sentence)[:1000]))

    def pushed(self, student_id: str, generation: int, stamp: str) -> Lease:
        """Note that there is a copy, unless one that was made later is there already; returns the lease. Raises Gone."""
        with self._mine(student_id, generation) as before:
            # Two may push, a warden and the supervisor that ends. Stamps of one node's clock tell which was made later.
            if before.pushed >= before.begun and stamp <= before.stamp:
                return before
            lease = replace(before, pushed=now(), stamp=stamp)
            _write(lease)
        return lease

    def check(self, student_id: str, generation: int) -> Lease:
        """The lease, for whoever has it. Raises Gone."""
        with self._mine(student_id, generation) as lease:
            return lease

    def end(self, student_id: str, generation: int) -> None:
        """Note that a node has given an environment up, with all that was in it. Raises Gone if another node has it now."""
        with self._mine(student_id, generation, ended=True) as lease:
            _write(replace(lease, node="", up="", failed=""))

    def forget(self, student_id: str) -> str:
        """Note that an environment was removed for good, with all that was pushed; returns the stamp of what was pushed last.

        What is left of it on a node that does not answer now is stale. Raises UsageError for an id that is not valid.
        """
        student.check_id(student_id)
        with self._lock:
            lease = read(student_id)
            if lease:  # which stays, so that an old generation never counts again
                _write(Lease(student_id, lease.class_id, lease.generation + 1))
        return lease.stamp if lease else ""

    def kept_aside(self, student_id: str, name: str, save: str) -> None:
        """Note in which save is what was found on a node that had lost the environment."""
        with self._lock:
            lease = read(student_id)
            if lease:
                moves = [
                    replace(m, aside=save) if m.source == name and m.lost and not m.aside else m for m in lease.moves
                ]
                moves = [replace(m, stands=()) if m.source == name else m for m in moves]
                _write(replace(lease, moves=tuple(moves)))

    def _changing(self, student_id: str, class_id: str) -> "_Held":
        return _Held(self._lock, student.check_id(student_id), class_id)

    def _mine(self, student_id: str, generation: int, *, ended: bool = False) -> "_Held":
        return _Held(self._lock, student.check_id(student_id), None, generation, ended)


@dataclass
class _Held:
    """A lease while it may be changed. Raises UsageError for one of another class, Gone for one of another generation.

    Nor may one be changed that has `ended`, unless that is said: whoever comes late with it changes nothing.
    """

    lock: threading.Lock
    student: str
    class_id: str | None
    generation: int | None = None
    ended: bool = False

    def __enter__(self) -> Lease:
        self.lock.acquire()
        try:
            lease = read(self.student) or Lease(self.student, self.class_id or "")
            if self.class_id is not None and lease.class_id != self.class_id:
                if lease.node:
                    raise UsageError(f"{self.student} has an environment of the class {lease.class_id} in this swarm.")
                lease = Lease(self.student, self.class_id, lease.generation)
            if self.generation is not None and lease.generation != self.generation:
                raise Gone(f"{self.student}'s environment is on {(lease.node and lease.name) or 'no node'} now.")
            if self.generation is not None and not lease.node and not self.ended:
                raise Gone(f"{self.student}'s environment was ended.")
        except BaseException:
            self.lock.release()
            raise
        return lease

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def loss(lease: Lease) -> Move | None:
    """The last time that an environment went on elsewhere because its node was lost; None if it never did."""
    return next((move for move in reversed(lease.moves) if move.lost), None)


def news(lease: Lease) -> Move | None:
    """The same, if it was lately, so that the student may not know of it yet."""
    lost = loss(lease)
    return lost if lost and datetime.now(UTC) - datetime.fromisoformat(lost.at) < _NEWS else None


def minutes(lost: Move) -> int | None:
    """How many minutes of work are not in an environment any more, at most; None if all of it is not."""
    if not lost.pushed:
        return None
    last = datetime.fromisoformat(lost.seen or lost.at)
    # It may have gone on for a moment after it was heard of.
    return max(1, math.ceil((last - datetime.fromisoformat(lost.pushed)).total_seconds() / 60))


def told(lease: Lease) -> Iterator[str]:
    """What a student should know of the last time that the environment's node was lost, in sentences; nothing if it never was."""
    lost = loss(lease)
    if not lost:
        return
    when = f" at about {clock(lost.seen)}" if lost.seen else ""
    yield f"The server {lost.source} was lost{when}, and your environment went on on {lost.target} at {clock(lost.at)}."
    if count := minutes(lost):
        yield f"It is as it was at {clock(lost.pushed)}: up to {many(count, 'minute')} of your work may be missing."
    else:
        yield "It began again from the start, because there was no copy of it."
    if lost.aside:
        yield f"{lost.source} came back, and what was there is kept as a save. To go back to it: labenv restore {lost.aside}"
    else:
        yield f"If {lost.source} comes back, what was there is kept as a save."


def said(lease: Lease) -> str:
    """The same for a teacher, without the student's name; "" if nothing was lost."""
    lost = loss(lease)
    if not lost:
        return ""
    count = minutes(lost)
    how = f"up to {many(count, 'minute')}" if count else "everything"
    kept = f"; what was there is the save {lost.aside}" if lost.aside else ""
    return f"lost {how} with {lost.source} at {clock(lost.seen or lost.at)}{kept}"


def clock(moment: str) -> str:
    """A time of a lease as this computer's clock shows it, with the date if that is not today's."""
    there = datetime.fromisoformat(moment).astimezone()
    return there.strftime("%H:%M" if there.date() == datetime.now().astimezone().date() else "%Y-%m-%d %H:%M")


def _write(lease: Lease) -> None:
    path = folder() / f"{lease.student}.json"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".part")
        with open(draft, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(asdict(lease), file)
            file.flush()
            os.fsync(file.fileno())  # a power cut leaves this one or the one before
        draft.rename(path)
    except OSError as error:
        raise LabenvError(f"{path} cannot be written: {error.strerror}. {places.way_out(path)}") from error
