"""What the files that matter to the sheet say at a moment, with the rules in force: to tell what was changed since."""

import hashlib
import io
import tarfile
from difflib import SequenceMatcher
from typing import NamedTuple

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import EngineError
from labenv.parallel import Together

# A file's place ("vm2:/etc/postfix/main.cf") and its lines.
Content = dict[str, list[str]]

# The one list of those files lies in each machine: see this script there.
_COLLECT = "/usr/lib/labenv/history now"
_RULES = "/run/labenv-rules"


def content(engine: Engine, environment: Environment) -> Content:
    """What the files of all running machines say. Raises EngineError if a machine does not answer."""
    running = [machine for machine in environment.machines if machine.state == "running" and not machine.optional]

    def of(container: str) -> dict[str, list[str]]:
        with engine.shell(container) as channel:
            packed = channel.run(_COLLECT)
        if not packed.stdout:
            raise EngineError(f"The files of {container} could not be read: {packed.complaint}")
        return {path: said.data.decode(errors="replace").splitlines() for path, said in unpacked(packed.stdout).items()}

    with Together(max(1, len(running))) as pool:
        found = list(pool.map(of, [machine.container for machine in running]))
    return {
        f"{machine.name}:{path}": lines
        for machine, files in zip(running, found, strict=True)
        for path, lines in files.items()
    }


class Said(NamedTuple):
    """What a file says, and since when (seconds since 1970)."""

    data: bytes
    time: float


def unpacked(packed: bytes) -> dict[str, Said]:
    """What each file says in what a machine has packed: a link where it leads, "iptables-save" the rules in force."""
    found: dict[str, Said] = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive:
            path = f"/{member.name.lstrip('/')}"
            since = float(member.pax_headers.get("ctime", member.mtime))  # `cp -p` and `mv` bring an old mtime along
            if member.issym():
                found[path] = Said(f"-> {member.linkname}\n".encode(), since)
            elif file := archive.extractfile(member):
                data = file.read()
                name = "iptables-save" if path == _RULES else path
                found[name] = Said(_hashed(data) if path == "/etc/shadow" else data, since)
    return found


def beyond(before: Content, fault: Content, after: Content) -> int:
    """How many lines differ after from before, apart from the places where the fault changed something."""
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
    """Where in the old lines something else stands in the new ones, and how many lines that is."""
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [(i1, i2, max(i2 - i1, j2 - j1)) for kind, i1, i2, j1, j2 in steps if kind != "equal"]


def _hashed(data: bytes) -> bytes:
    """Nobody needs the hashes of passwords outside: that a line is another one shows all the same."""
    return b"".join(hashlib.sha256(line).hexdigest().encode() + b"\n" for line in data.splitlines())
