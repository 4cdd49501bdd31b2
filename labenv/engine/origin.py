"""What lies among the programs, libraries and units of a machine that its image did not bring.

What an image brings is looked up in a container of the image itself, and kept by the image's id, which is a digest of its
content: nothing that is in a machine, a save or an archive can change it. What a package makes that the image keeps for `yum
install` counts as brought.
"""

import hashlib
import json
import os
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from labenv import places
from labenv.engine import Engine, debian, tools
from labenv.engine.channel import Channel
from labenv.engine.errors import refusals
from labenv.engine.image_sources import REPOSITORY, latest
from labenv.engine.stream import TOOLS
from labenv.environment import Machine
from labenv.errors import EngineError
from labenv.events import silent
from labenv.parallel import Together
from labenv.text import decoded

# Where systemd finds units, beside /usr (systemd.unit(5)). Generators are switched off, so nothing makes any below /run by itself.
_UNITS = (
    *(f"/etc/systemd/{folder}" for folder in ("system", "system.control")),
    *(f"/run/systemd/{folder}" for folder in ("system", "system.control", "transient")),
)
# What a link among the units may name and still only say what starts at boot, or never.
_FOUND = re.compile(rf"->(/dev/null|((/usr)?/lib/systemd/system/|({'|'.join(_UNITS)})/)?[^/]+)", re.DOTALL)
# With which settings each unit starts (systemd-system.conf(5)).
_MANAGER = tuple(f"/{top}/systemd/{name}" for top in ("etc", "run") for name in ("system.conf", "system.conf.d"))
_CACHE = "/etc/ld.so.cache"
# What decides which libraries a program gets (ld.so(8), ldconfig(8)), beside the cache, which ldconfig makes.
_LINKER = ("/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
_MERGED = ("/bin", "/sbin", "/lib", "/lib64")  # links into /usr (file-hierarchy(7))
# Where the programs are that the checks ask, and what stands before them; and what those are made of.
_FIRST = ("/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/local", *_MERGED, *_UNITS, *_MANAGER, *_LINKER)
_PLACES = (*_FIRST, "/usr/lib")
_PATIENCE = 120  # seconds; reading all programs of a machine takes one, of a computer that has time
_SHORT = 10  # seconds, where the checks wait
_SHOWN = 5
_BROUGHT = "from the image or its packages"
_LONGEST = 100  # characters of a path that are shown
_UNREADABLE = "unreadable"  # as `digests` says it
_LARGEST_CACHE = 200_000  # bytes; a machine's has ten thousand
_PATH_MAX = 4096
_MAGIC = b"glibc-ld.so.cache1.1"
_LIBRARIES = re.compile(r"/(usr/(local/)?)?lib(64)?/")
_UNPACKED = "/tmp/packages"
# Scripts that are called by the name of a package, and lay files of the image's over it when yum has installed it.
_LAYOUTS = "/usr/lib/labenv/packages"
# Before the name of a package that has a file, in a digest's place.
_PACKAGED = "package:"
# What the image has, and which of its packages have which files; of images without such a list, all that its packages have.
_PRISTINE = f"""
{TOOLS}/bin/digests 0 {" ".join(_PLACES)}
mkdir -p {_UNPACKED} && cd {REPOSITORY} || exit 0
[ ! -e Links ] || while read -r link name; do
    mkdir -p "{_UNPACKED}${{link%/*}}" && ln -s "/etc/alternatives/$name" "{_UNPACKED}$link"
done <Links
for script in {_LAYOUTS}/*; do
    own=/usr/share/labenv/${{script##*/}}
    [ ! -d "$own" ] || cp -R "$own/." {_UNPACKED}
done
if [ -e Contents ]; then
    sed 's#^\\([^ ]*\\) \\(.*\\)#{_PACKAGED}\\1\\x00\\2\\x00#' Contents | tr -d '\\n'
else
    for package in *.deb; do dpkg-deb -x $package {_UNPACKED}; done
fi
cd {_UNPACKED} && exec {TOOLS}/bin/digests 0 {_UNPACKED}
"""
_UNPACK = f"""
for package; do dpkg-deb -x {REPOSITORY}/$package.deb {_UNPACKED}; done
cd {_UNPACKED} && exec {TOOLS}/bin/digests 0 {_UNPACKED}
"""

# The digests that a file may have, by its path.
Digests = dict[str, list[str]]
# Which files a machine began with beside those of its image, each with its digest.
Laid = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True)
class Strange:
    """What in a machine differs from what its image brought, what neither it nor a package brought, and what cannot be read."""

    machine: str
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """It in words that accuse nobody."""
        return (
            *(
                f"On {self.machine}, {_shown(paths)} {one if len(paths) == 1 else more}."
                for paths, one, more in (
                    (self.changed, "differs from what the image brought", "differ from what the image brought"),
                    (self.added, f"is not {_BROUGHT}", f"are not {_BROUGHT}"),
                    (self.unread, "could not be read whole", "could not be read whole"),
                )
                if paths
            ),
            *self.remarks,
        )


def strange(
    engine: Engine, machine: Machine, channel: Channel, *, since_made: bool = False, laid: Laid | None = None
) -> Strange:
    """What the programs of a machine differ in from what its image brought.

    With `since_made`, only programs and units that were changed after the machine was made are read: that takes some ten
    milliseconds, and does not see libraries, nor what a save brought along. `laid` tells what labenv itself laid over the image of
    a machine. Raises EngineError.
    """
    since, where, patience = (machine.made, _FIRST, _SHORT) if since_made else (0, _PLACES, _PATIENCE)
    found = _read(channel.run(f"{TOOLS}/bin/digests {since} {' '.join(where)}", patience).stdout)
    foreign = _foreign(channel.run(f"{TOOLS}/bin/cat {_CACHE}", _SHORT, _LARGEST_CACHE).stdout)
    if not found and not foreign:
        return Strange(machine.name)
    image, remark = image_of(engine, machine)
    if not image:
        return Strange(machine.name, added=foreign, remarks=(remark,))
    packages_in = _repository(engine, machine)
    known = _known(engine, image, packages_in)
    odd = [(path, said) for path, said in found if said not in known.get(path, ()) and not _is_off(path, said, known)]
    digests = {digest for path, _ in odd for digest in known.get(path, ())}
    if packages := sorted(digest.removeprefix(_PACKAGED) for digest in digests if digest.startswith(_PACKAGED)):
        unpacked = _known(engine, image, packages_in, *packages)
        odd = [(path, said) for path, said in odd if said not in unpacked.get(path, ())]
    if odd and laid:
        own = laid(machine.name)
        odd = [(path, said) for path, said in odd if own.get(path) != said]
    odd.sort()
    read = [path for path, said in odd if said != _UNREADABLE]
    return Strange(
        machine.name,
        changed=tuple(path for path in read if path in known),
        added=(*(path for path in read if path not in known), *foreign),
        unread=tuple(path for path, said in odd if said == _UNREADABLE),
        remarks=(remark,) if remark else (),
    )


def _is_off(path: str, said: str, known: Digests) -> bool:
    """Whether it is a link to nowhere for a unit that nobody brought: a package's way to say that it needs none here."""
    return path not in known and path.startswith("/usr/lib/systemd/system/") and said == "->/dev/null"


def _read(said: bytes) -> list[tuple[str, str]]:
    """Pairs of path and digest, without the links among the units that only say what starts at boot."""
    words = [decoded(word) for word in said.split(b"\0")[:-1]]
    units = tuple(f"{folder}/" for folder in _UNITS)
    pairs = zip(words[1::2], words[::2], strict=True)
    return [(path, digest) for path, digest in pairs if not (path.startswith(units) and _FOUND.fullmatch(digest))]


def _foreign(cache: bytes) -> tuple[str, ...]:
    """The libraries that the linker's cache leads to outside the folders for libraries; the cache itself if it is none.

    What it looks like is told in glibc's sysdeps/generic/dl-cache.h: a header of 48 bytes with the number of entries, and
    entries of 24 bytes, of which the third number is the place of the path in the file.
    """
    if not cache:  # none: then the linker looks into the folders for libraries alone
        return ()
    if not cache.startswith(_MAGIC):
        return (_CACHE,)
    try:
        count = struct.unpack_from("=I", cache, len(_MAGIC))[0]
        places = {struct.unpack_from("=8xI12x", cache, 48 + 24 * entry)[0] for entry in range(count)}
        paths = {decoded(cache[place : cache.index(b"\0", place, place + _PATH_MAX)]) for place in places}
    except (struct.error, ValueError):  # it ends before its entries do, or before a path does
        return (_CACHE,)
    return tuple(sorted(path for path in paths if not _LIBRARIES.match(path) or "/../" in path))


def image_of(engine: Engine, machine: Machine) -> tuple[str, str]:
    """The id of labenv's image that a machine stands on, and a remark if that is another one than it was made from.

    The id is empty if that image is not on the engine. Raises EngineError.
    """
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
        tag = latest()[name].tag
        other = next(i["Id"] for i in engine.api.images(tag))
        return other, f"{remark}: it was compared with {tag}, whose programs may be of other versions."
    return "", f"{remark}, so its programs could not be compared."


def _repository(engine: Engine, machine: Machine) -> str:
    """The volume in which a machine has the repository of another image (labenv.engine.repository); empty if it has its own image's."""
    with refusals(f"looking for the packages of {machine.name}"):
        mounts = engine.api.inspect_container(machine.container)["Mounts"]
    return next((mount.get("Name", "") for mount in mounts if mount["Destination"] == REPOSITORY), "")


def _known(engine: Engine, image: str, repository: str, *packages: str) -> Digests:
    """What an image brings, or what some packages of its repository, or of the one in that volume, would bring. Raises EngineError."""
    script = _UNPACK if packages else _PRISTINE
    folder = places.cache("origin")
    key = hashlib.sha256(" ".join((image, script, repository, *packages)).encode()).hexdigest()
    kept = folder and folder / f"{key}.json"
    if kept:
        with suppress(OSError, ValueError):  # not cached yet, or damaged
            known: Digests = json.loads(kept.read_bytes())
            return known
    known = defaultdict(list)
    for path, digest in _read(_pristine(engine, image, repository, script, packages)):
        inside = path.removeprefix(_UNPACKED)
        # A package may still name the folders that Debian has merged.
        merged = f"/usr{inside}" if inside.startswith(tuple(f"{folder}/" for folder in _MERGED)) else inside
        known[merged].append(digest)
    if kept:
        draft = kept.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            draft.write_text(json.dumps(known), encoding="utf-8")
            draft.replace(kept)
    return known


def _pristine(engine: Engine, image: str, repository: str, script: str, packages: Sequence[str]) -> bytes:
    """The digests of an image's files, taken in a container of it that nobody else has touched."""
    binds = [tools.bind(engine, silent), *([f"{repository}:{REPOSITORY}:ro"] if repository else [])]
    settings = engine.settings(binds=binds, network_mode="none")
    entrypoint = [f"{TOOLS}/bin/sh", "-c", script, "sh"]
    with (
        refusals("looking at what an image brings"),
        engine.helper(image, entrypoint=entrypoint, command=list(packages), host_config=settings) as reader,
    ):
        engine.api.start(reader)
        engine.api.wait(reader)
        said: bytes = engine.api.logs(reader, stdout=True, stderr=False)
        return said


def _shown(paths: Sequence[str]) -> str:
    """The first of them, each cut where it is very long."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(path if len(path) <= _LONGEST else f"{path[:_LONGEST]}…" for path in paths[:_SHOWN]) + more


def all_strange(
    engine: Engine,
    channels: Sequence[tuple[Machine, Channel]],
    *,
    since_made: bool = False,
    laid: Laid | None = None,
) -> tuple[str, ...]:
    """Sentences about the running machines, in their order. A machine that cannot be read gets a sentence too."""
    with Together(len(channels)) as pool:
        said = pool.map(lambda each: _said(engine, each[0], each[1], since_made, laid), channels)
        return tuple(sentence for sentences in said for sentence in sentences)


def _said(engine: Engine, machine: Machine, channel: Channel, since_made: bool, laid: Laid | None) -> tuple[str, ...]:
    if machine.state != "running":
        return ()
    if not machine.has_tools:
        sentence = (
            f"{machine.name} was made by Compose or by an earlier version of labenv, so its programs cannot be compared with "
            f"what its image brought. `labenv save` and `labenv restore` make it again as it is."
        )
        return () if since_made else (sentence,)
    try:
        return strange(engine, machine, channel, since_made=since_made, laid=laid).sentences
    except EngineError as error:
        return (f"The programs of {machine.name} could not be compared with what its image brought: {error}",)
