"""What lies among the programs, libraries and units of a machine that its image did not bring.

What an image brings is looked up in a container of the image itself, and kept by the image's id, which is a digest of its
content: nothing that is in a machine, a save or an archive can change it. What a package makes that the image keeps for `yum
install` counts as brought.
"""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labenv import places
from labenv.engine import Engine, debian, refusals, tools
from labenv.engine.channel import Channel
from labenv.engine.images import wanted
from labenv.engine.stream import TOOLS
from labenv.environment import Machine
from labenv.errors import EngineError
from labenv.events import silent
from labenv.parallel import Together
from labenv.text import decoded

_UNITS = "/etc/systemd/system/"
# Where the programs are that the checks ask, and what stands before them; and what those are made of.
_FIRST = ("/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local", _UNITS, "/etc/ld.so.preload")
_PLACES = (*_FIRST, "/usr/lib")
_PATIENCE = 120  # seconds; reading all programs of a machine takes one, of a computer that has time
_SHORT = 10  # seconds, where the checks wait
_SHOWN = 5
_UNPACKED = "/tmp/packages"
_PRISTINE = f"""
{TOOLS}/bin/digests 0 {" ".join(_PLACES)}
for package in /usr/share/labenv/repo/*.deb; do
    [ ! -e $package ] || dpkg-deb -x $package {_UNPACKED}
done
cd {_UNPACKED} && exec {TOOLS}/bin/digests 0 {_UNPACKED}
"""

# The digests that a file may have, by its path.
Digests = dict[str, list[str]]


@dataclass(frozen=True)
class Strange:
    """The files of a machine that differ from what its image brought, and those that neither it nor a package brought."""

    machine: str
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """It in words that accuse nobody."""
        return (
            *([f"On {self.machine}, {_listed(self.changed)} from what the image brought."] if self.changed else []),
            *(
                [f"On {self.machine}, {_listed(self.added, not_from=True)} from the image or its packages."]
                if self.added
                else []
            ),
            *self.remarks,
        )


def strange(engine: Engine, machine: Machine, channel: Channel, *, since_made: bool = False) -> Strange:
    """What the programs of a machine differ in from what its image brought.

    With `since_made`, only programs and units that were changed after the machine was made are read: that takes some ten
    milliseconds, and does not see libraries, nor what a save brought along. Raises EngineError.
    """
    since, where, patience = (machine.made, _FIRST, _SHORT) if since_made else (0, _PLACES, _PATIENCE)
    found = _read(channel.run(f"{TOOLS}/bin/digests {since} {' '.join(where)}", patience).stdout)
    if not found:
        return Strange(machine.name)
    image, remark = _origin(engine, machine)
    if not image:
        return Strange(machine.name, remarks=(remark,))
    known = _known(engine, image)
    odd = sorted(path for path, said in found if said not in known.get(path, ()))
    changed = tuple(path for path in odd if path in known)
    return Strange(machine.name, changed, tuple(path for path in odd if path not in known), (remark,) if remark else ())


def _read(said: bytes) -> list[tuple[str, str]]:
    """Pairs of path and digest; a link in the place of units only says what starts at boot."""
    words = [decoded(word) for word in said.split(b"\0")[:-1]]
    pairs = zip(words[1::2], words[::2], strict=True)
    return [(path, digest) for path, digest in pairs if not (path.startswith(_UNITS) and digest.startswith("->"))]


def _origin(engine: Engine, machine: Machine) -> tuple[str, str]:
    """The id of labenv's image that a machine stands on, and a remark if that is another one than it was made from."""
    with refusals(f"looking for the image of {machine.name}"):
        made_from = engine.api.inspect_image(engine.api.inspect_container(machine.container)["Image"])
        layers = made_from["RootFS"]["Layers"]
        here: dict[str, Any] = {}
        for listed in engine.api.images(filters={"label": debian.LABEL}):
            if any(tag.removeprefix("localhost/").startswith("labenv/") for tag in listed["RepoTags"] or []):
                here[listed["Id"]] = engine.api.inspect_image(listed["Id"])["RootFS"]["Layers"]
    below = [image for image, its in here.items() if its == layers[: len(its)]]
    if below:
        return max(below, key=lambda image: len(here[image])), ""
    name = (made_from["Config"]["Labels"] or {}).get(debian.LABEL, "")
    remark = f"The image that {machine.name} was made from is not on this engine"
    with suppress(KeyError, StopIteration), refusals("looking for an image"):
        tag = wanted()[name].tag
        return next(i["Id"] for i in engine.api.images(tag)), f"{remark}: it was compared with {tag}."
    return "", f"{remark}, so its programs could not be compared."


def _known(engine: Engine, image: str) -> Digests:
    """What an image brings. Raises EngineError."""
    folder = places.cache("origin")
    kept = folder and folder / f"{hashlib.sha256(f'{image} {_PRISTINE}'.encode()).hexdigest()}.json"
    if kept:
        with suppress(OSError, ValueError):  # not cached yet, or damaged
            known: Digests = json.loads(kept.read_bytes())
            return known
    known = defaultdict(list)
    for path, digest in _read(_pristine(engine, image)):
        inside = path.removeprefix(_UNPACKED)
        # A package may still name the folders that Debian has merged (file-hierarchy(7)).
        merged = f"/usr{inside}" if inside.startswith(("/bin/", "/sbin/", "/lib")) else inside
        known[merged].append(digest)
    if kept:
        draft = kept.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            draft.write_text(json.dumps(known), encoding="utf-8")
            draft.replace(kept)
    return known


def _pristine(engine: Engine, image: str) -> bytes:
    """The digests of an image's files, taken in a container of it that nobody else has touched."""
    settings = engine.settings(binds=[tools.bind(engine, silent)], network_mode="none")
    with refusals("looking at what an image brings"):
        reader = engine.api.create_container(
            image,
            entrypoint=[f"{TOOLS}/bin/sh", "-c", _PRISTINE],
            command=[],
            host_config=settings,
            use_config_proxy=False,
        )["Id"]
        try:
            engine.api.start(reader)
            engine.api.wait(reader)
            said: bytes = engine.api.logs(reader, stdout=True, stderr=False)
            return said
        finally:
            engine.api.remove_container(reader, force=True)


def _listed(paths: Sequence[str], *, not_from: bool = False) -> str:
    """Paths as the subject of a sentence, with its verb."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    verb = ("is not" if not_from else "differs") if len(paths) == 1 else ("are not" if not_from else "differ")
    return f"{', '.join(paths[:_SHOWN])}{more} {verb}"


def all_strange(
    engine: Engine, channels: Sequence[tuple[Machine, Channel]], *, since_made: bool = False
) -> tuple[str, ...]:
    """Sentences about the running machines, in their order. A machine that cannot be read gets a sentence too."""
    with Together(len(channels)) as pool:
        said = pool.map(lambda each: _said(engine, each[0], each[1], since_made), channels)
        return tuple(sentence for sentences in said for sentence in sentences)


def _said(engine: Engine, machine: Machine, channel: Channel, since_made: bool) -> tuple[str, ...]:
    if machine.state != "running":
        return ()
    if not machine.has_tools:
        sentence = (
            f"{machine.name} was made by Compose or by an earlier version of labenv, so its programs cannot be compared with "
            f"what its image brought. `labenv save` and `labenv restore` make it again as it is."
        )
        return () if since_made else (sentence,)
    try:
        return strange(engine, machine, channel, since_made=since_made).sentences
    except EngineError as error:
        return (f"The programs of {machine.name} could not be compared with what its image brought: {error}",)
