"""What is in a further place: the copies, histories and leases of all students of the swarm, as they are on the manager's disk."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from labenv import places
from labenv.engine import kept
from labenv.engine.save_store import STAMPED
from labenv.environments.history.repository import path_of
from labenv.errors import LabenvError
from labenv.swarm import setup
from labenv.swarm.leases import Lease, everything
from labenv.swarm.place import Place, Unusable, packed

STATUS = "place.json"  # in labenv's folder for the swarm: what became of the last time


class Mirror:
    """Puts into a place what is new, and removes there what is gone here.

    What was there before this swarm was made stays: with a new manager, it is all that is left of the one before.
    """

    def __init__(self, place: Place) -> None:
        """Put nothing yet."""
        self._place = place
        self._there: dict[str, set[str]] = {}
        self._written: dict[str, object] = {}
        self._failed = ""
        self._since = setup.made().strftime(STAMPED)

    def go(self) -> None:
        """Do it once. What fails is written down, and tried again the next time."""
        failed = ""
        for student, lease in everything().items():
            try:
                self._one(student, lease)
            except Unusable as error:  # nor would it take what others have
                failed = str(error)
                break
            except LabenvError as error:
                failed = str(error)
            except OSError as error:
                failed = f"{student}'s copies cannot be read: {error.strerror}."
        if failed and failed != self._failed:
            print(failed, file=sys.stderr, flush=True)
        self._failed = failed
        with suppress(OSError):  # a full disk: the log says it
            status = places.state() / "swarm" / STATUS
            status.write_text(json.dumps({"url": self._place.url, "failed": failed}), encoding="utf-8")

    def _one(self, student: str, lease: Lease) -> None:
        if student not in self._there:
            self._there[student] = self._place.names(f"{student}/copies")
        there, here = self._there[student], {f"{stamp}.tar" for stamp in kept.stamps(student)}
        for name in sorted(here - there):
            if content := kept.packed(student, name.removesuffix(".tar")):
                self._place.put(f"{student}/copies/{name}", content)
                there.add(name)
        self._once(f"{student}/lease.json", lease, lambda: json.dumps(asdict(lease)).encode())
        history = path_of(student)
        if history.is_dir():
            self._once(f"{student}/history.tar", _newest(history), lambda: packed(history))
        for name in sorted(there - here):  # last: what is new is there by now
            if name > self._since:
                self._place.drop(f"{student}/copies/{name}")
                there.discard(name)

    def _once(self, name: str, state: object, content: Callable[[], bytes]) -> None:
        if self._written.get(name) != state:
            self._place.put(name, content())
            self._written[name] = state


def _newest(folder: Path) -> float:
    """When something in a repository was last changed: a commit moves a branch."""
    return max((path.stat().st_mtime for path in [folder, *folder.glob("refs/**/*")]), default=0.0)
