"""Labs from outside labenv are programs: nothing of one is run until its user has said so.

The answer is remembered by a digest of the lab's files, so that a changed lab is asked about again; or for the folder, whatever is
changed there, which is for its author. One file for each folder, so that no two commands write the same one.
"""

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labenv import places
from labenv.errors import NeedsConsent, UsageError
from labenv.lab.model import Lab

NOT_FILES = {"__pycache__", ".git"}  # what may change there is no part of the lab
_MOST_FILES = 20_000


class Untrusted(NeedsConsent):
    """A lab from outside labenv that the user has not been asked about yet."""

    question = "Do you trust who wrote it, and run it?"

    def __init__(self, lab: Lab, known: bool) -> None:
        """The lab as it is now; `known` is whether another state of the same folder is trusted."""
        self.folder = lab.folder
        changed = ", and has changed since you trusted it" if known else ""
        self.about = (
            f"The lab '{lab.id}' ({lab.title}) in {lab.folder} is not a part of labenv{changed}. A lab is a program: its checks run on "
            f"this computer as you, with all that you may do, and its commands and images run as root in the machines."
        )
        super().__init__(f"{self.about} If you trust who wrote it: labenv lab trust {shlex.quote(str(lab.folder))}")

    def agree(self) -> None:
        """Remember that the user trusts the lab as it is now. Raises UsageError as `trust` does."""
        trust(self.folder)


@dataclass
class _Known:
    """What is remembered about a folder: its trusted states, the stamp of the last one, whether any state is trusted."""

    folder: str
    always: bool = False
    digests: list[str] = field(default_factory=list)
    stamp: str = ""


def require(lab: Lab) -> None:
    """Raise Untrusted unless the user trusts a lab as it is now; UsageError as `digest` does."""
    known = _read(_file(lab.folder))
    if known and known.always:
        return
    now = _stamp(lab.folder)
    if known and known.stamp == now:
        return
    what = digest(lab.folder)
    if known and what in known.digests:  # files were touched or copied: the next command need not read them
        known.stamp = now
        _write(known)
        return
    if not any(what in other.digests for other in _all()):
        raise Untrusted(lab, bool(known and known.digests))


def trust(folder: Path, *, always: bool = False) -> str:
    """Trust the lab in a folder as it is now, or with `always` whatever is changed there; returns the digest of its files.

    Raises UsageError as `digest` does, and if that cannot be remembered.
    """
    stamp, what = _stamp(folder), digest(folder)
    known = _read(_file(folder)) or _Known(str(folder))
    known.always |= always
    known.stamp = stamp
    known.digests = [*(other for other in known.digests if other != what), what]
    _write(known)
    return what


def forget(folder: Path) -> None:
    """Trust the lab in a folder no longer, nor the same files elsewhere."""
    states = set(known.digests) if (known := _read(_file(folder))) else set()
    for other in [*_all()]:
        if other.folder == str(folder) or states & set(other.digests):
            _file(Path(other.folder)).unlink(missing_ok=True)


def folders() -> list[Path]:
    """The folders of the labs that the user has trusted, as far as they are there."""
    return sorted(Path(known.folder) for known in _all() if (Path(known.folder) / "lab.yaml").is_file())


def digest(folder: Path) -> str:
    """A hash over all files of a lab: their names, what is in them, whether they can be run.

    Raises UsageError if one cannot be read, for a link that leads out of the lab to a folder, and for too many files.
    """
    found = hashlib.sha256()
    for path in _files(folder):
        name = path.relative_to(folder)
        status = path.lstat()
        kind = "x" if status.st_mode & 0o100 else "f"
        if stat.S_ISLNK(status.st_mode):
            found.update(f"{name} l {os.readlink(path)}\n".encode())
            if _is_in_an_image(name):
                continue
            kind = "f"
        if not path.is_file():
            continue
        try:
            with open(path, "rb") as source:
                content = hashlib.file_digest(source, "sha256").hexdigest()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}. Make it readable, or remove it.") from error
        found.update(f"{name} {kind} {content}\n".encode())
    return found.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """The files of a lab and its links, in order."""
    count = 0
    for top, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if name not in NOT_FILES)
        links = [name for name in below if os.path.islink(os.path.join(top, name))]
        for name in sorted([*files, *links]):
            path = Path(top, name)
            count += 1
            if count > _MOST_FILES:
                raise UsageError(f"{folder} has more than {_MOST_FILES} files. A lab is a folder of its own.")
            inside = _is_in_an_image(path.relative_to(folder))
            if name in links and not inside and not path.resolve().is_relative_to(folder.resolve()):
                raise UsageError(f"{path} is a link to a folder outside the lab. A lab is one folder: copy it there.")
            yield path


def _is_in_an_image(name: Path) -> bool:
    """Whether a file goes into an image as it is: a link there means something in a machine, and nothing here."""
    return name.parts[0] == "images" and len(name.parts) > 2 and name.parts[2:] != ("Dockerfile",)


def _stamp(folder: Path) -> str:
    """What is different once a file of a lab has been changed: quick, because no file is read."""
    found = hashlib.sha256()
    for path in _files(folder):
        with suppress(OSError):  # a link to nothing
            for status in (path.lstat(), path.stat()):
                told = status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
                found.update(f"{path} {told}\n".encode())
    return found.hexdigest()


def _place() -> Path:
    return places.state() / "trusted-labs"


def _file(folder: Path) -> Path:
    return _place() / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"


def _all() -> Iterator[_Known]:
    for path in sorted(_place().glob("*.json")):
        if known := _read(path):
            yield known


def _read(path: Path) -> _Known | None:
    try:
        tree: Any = json.loads(path.read_bytes())
        return _Known(str(tree["folder"]), tree["always"] is True, [*map(str, tree["digests"])], str(tree["stamp"]))
    except (OSError, ValueError, LookupError, TypeError):  # not trusted yet, or damaged: it is asked again
        return None


def _write(known: _Known) -> None:
    path = _file(Path(known.folder))
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_text(json.dumps(vars(known)), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}), so which labs you trust cannot be remembered. {places.way_out(path)}"
        ) from error
