"""The content of the watched files at a moment, with the firewall rules in force: to find out what was changed since."""

import hashlib
import io
import tarfile
from difflib import SequenceMatcher
from typing import NamedTuple

from labenv.engine import Engine
from labenv.environment import Environment, Machine
from labenv.errors import EngineError
from labenv.parallel import Together
from labenv.plain_tar import Unreadable, Unzipped
from labenv.text import decoded

# A file's place ("vm2:/etc/postfix/main.cf") and its lines.
Content = dict[str, list[str]]

# The one list of the watched files lies in each machine: see this script there.
_COLLECT = "/usr/lib/labenv/history now"
_LARGEST = 64_000_000
_RULES = "/run/labenv-rules"


def content(engine: Engine, environment: Environment) -> Content:
    """The content of the watched files on all running machines. Raises EngineError if a machine does not answer."""
    running = [machine for machine in environment.machines if machine.state == "running" and not machine.optional]

    def of(machine: Machine) -> dict[str, list[str]]:
        with engine.shell(machine) as channel:
            packed = channel.run(_COLLECT)
        if packed.rc == 0 and not packed.stdout and not packed.complaint:  # the lab watches no files of this machine
            return {}
        try:
            if not packed.stdout:
                raise Unreadable(packed.complaint)
            return {path: decoded(said.data).splitlines() for path, said in unpacked(packed.stdout).items()}
        except (Unreadable, tarfile.TarError, ValueError) as error:
            raise EngineError(f"The files of {machine.container} could not be read: {error}") from error

    with Together(max(1, len(running))) as pool:
        found = list(pool.map(of, running))
    return {
        f"{machine.name}:{path}": lines
        for machine, files in zip(running, found, strict=True)
        for path, lines in files.items()
    }


class Said(NamedTuple):
    """The content of a file, and since when (seconds since 1970)."""

    data: bytes
    time: float


def unpacked(packed: bytes) -> dict[str, Said]:
    """The content of each file in a machine's archive: a link's target; for "iptables-save" the rules in force.

    Raises Unreadable for more than 64 MB, tarfile.TarError.
    """
    found: dict[str, Said] = {}
    whole = Unzipped(io.BytesIO(packed), _LARGEST).read(_LARGEST + 1)
    with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as archive:
        for member in archive:
            if member.issparse():  # a file of a few bytes could say that it is a large one
                continue
            path = f"/{member.name.lstrip('/')}"
            since = float(member.pax_headers.get("ctime", member.mtime))  # `cp -p` and `mv` keep an old mtime
            if member.issym():
                found[path] = Said(f"-> {member.linkname}\n".encode(), since)
            elif file := archive.extractfile(member):
                data = file.read()
                name = "iptables-save" if path == _RULES else path
                found[name] = Said(_hashed(data) if path == "/etc/shadow" else data, since)
    return found


def beyond(before: Content, fault: Content, after: Content) -> int:
    """How many lines differ between before and after, except in the places where the fault changed something."""
    return sum(
        _beyond(before.get(path, []), fault.get(path, []), after.get(path, []))
        for path in {*before, *after}
        if before.get(path) != after.get(path)
    )


def _beyond(before: list[str], fault: list[str], after: list[str]) -> int:
    places = [(start, end) for start, end, _ in _changes(before, fault)]
    return sum(
        lines for start, end, lines in _changes(before, after) if not any(s <= end and start <= e for s, e in places)
    )


def _changes(old: list[str], new: list[str]) -> list[tuple[int, int, int]]:
    """Where the new lines differ from the old ones, and in how many lines."""
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(i1, i2, max(i2 - i1, j2 - j1)) for kind, i1, i2, j1, j2 in steps if kind != "equal"]


def _hashed(data: bytes) -> bytes:
    """Strip password hashes, which nobody needs outside: a changed line is still seen as changed."""
    return b"".join(hashlib.sha256(line).hexdigest().encode() + b"\n" for line in data.splitlines())
