"""An environment in one file, to continue on another computer.

It is the output of `docker save` for a save's images, gzipped, after its history, which an engine ignores. Everything in
it is named by its SHA-256 (OCI image specification: config and layers are content-addressed), so the whole file is
verified before an engine reads it.
"""

import gzip
import hashlib
import json
import posixpath
import re
import tarfile
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labenv import __version__, student
from labenv.engine import LABEL, Engine, bundle, save_store
from labenv.engine.save_store import Save
from labenv.environment import Environment
from labenv.environments import history, saves
from labenv.environments.changing import changing
from labenv.environments.plan import plan_again
from labenv.errors import EngineError, UsageError
from labenv.events import Listener, announced

_BLOCK = 1 << 20
_LEVEL = 1  # of gzip: a person waits for it
_HISTORY = "history/"
_BLOB = re.compile(rf"(?:blobs/sha256/|{_HISTORY})?([0-9a-f]{{64}})(?:\.json)?")


def export(engine: Engine, environment: Environment, file: Path, listen: Listener) -> int:
    """Write an environment in its current state to `file` and return its size in bytes. Raises as `export_save`."""
    who = environment.student.id
    name = f"export-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    history.collect_now(engine, environment, listen)
    made = saves.save(engine, environment, name, listen)
    try:
        return _write(engine, made, file, listen)
    finally:
        with suppress(EngineError), changing(engine, who, listen):
            save_store.remove(engine, made)


def export_save(engine: Engine, student_id: str, name: str, file: Path, listen: Listener) -> int:
    """Write a save to `file` and return its size in bytes.

    Raises UsageError if there is none of that name or the file cannot be written, EngineError.
    """
    return _write(engine, saves.named(engine, student_id, name), file, listen)


def _write(engine: Engine, made: Save, file: Path, listen: Listener) -> int:
    with announced(listen, "export", f"writing {file}"):
        return bundle.pack(engine, [copy.tag for copy in made.copies], file, _LEVEL, before=_member(made, listen))


def _member(made: Save, listen: Listener) -> bytes:
    """The history of a save's environment as a member of a tar archive; empty if there is none."""
    told = history.packed(made.environment, listen)
    if not told:
        return b""
    member = tarfile.TarInfo(_HISTORY + hashlib.sha256(told).hexdigest())
    member.size = len(told)
    return member.tobuf() + told + bytes(-len(told) % tarfile.BLOCKSIZE)


def load(engine: Engine, file: Path, listen: Listener) -> Save:
    """Load the save in an archive into the engine, and return it.

    The whole file is verified first. Raises UsageError if it is damaged, of another version of labenv, for another processor,
    or if its name is in use; EngineError. Then nothing has changed.
    """
    with announced(listen, "import", f"checking {file}"):
        found = _verified(file)
        _refuse_foreign(engine, found, file)
    with changing(engine, found.student_id, listen):
        for other in save_store.tidied(engine, found.student_id):
            if other.stamp == found.stamp:
                return other
            if other.name == found.name:
                raise UsageError(
                    f"{found.student_id} already has a different save called {found.name}. Remove it first: "
                    f"labenv saves --remove {found.name} -s {found.student_id}"
                )
        try:
            with announced(listen, "import", f"loading {found.student_id}'s machines"):
                bundle.feed(engine, file, listen)
        except BaseException:
            with suppress(EngineError):
                save_store.tidied(engine, found.student_id)
            raise
        if not engine.environments(found.student_id):  # an existing history would be replaced
            _take_history(found, file, listen)
        return found


def _take_history(found: Save, file: Path, listen: Listener) -> None:
    with gzip.open(file, "rb") as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        member = archive.next()
        content = archive.extractfile(member) if member and member.name.startswith(_HISTORY) else None
        if content:
            history.unpack(found.environment, content.read(), listen)


@dataclass
class _Contents:
    """The content of a file of images: the digest of each member, small members as JSON, and the links between members."""

    digests: dict[str, str] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def digest(self, name: str) -> str:
        """The SHA-256 of a member. Raises LookupError."""
        return self.digests[self.links.get(name, name)]


def _verified(file: Path) -> Save:
    try:
        with gzip.open(file, "rb") as packed:
            contents = _read(packed)
        return _understood(contents, file)
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {file}.") from error
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"{file} is not a complete archive of an environment ({error or type(error).__name__}). Copy it again, or export it "
            f"again. Nothing was changed here."
        ) from error


def _read(packed: gzip.GzipFile) -> _Contents:
    contents = _Contents()
    with tarfile.open(fileobj=packed, mode="r|") as archive:
        for member in archive:
            if member.issym() or member.islnk():  # a layer that two images share
                folder = posixpath.dirname(member.name) if member.issym() else ""
                contents.links[member.name] = posixpath.normpath(posixpath.join(folder, member.linkname))
            content = archive.extractfile(member) if member.isfile() and not member.islnk() else None
            if content is None:
                continue
            digest, start = hashlib.sha256(), b""
            while block := content.read(_BLOCK):
                digest.update(block)
                start = start or block
            contents.digests[member.name] = digest.hexdigest()
            if member.size < _BLOCK:
                with suppress(ValueError):
                    contents.documents[member.name] = json.loads(start)
    while packed.read(_BLOCK):  # the checksum is at the very end
        pass
    return contents


def _understood(contents: _Contents, file: Path) -> Save:
    """The save that the images are. Raises LookupError, ValueError, TypeError for content that does not fit together."""
    for name, digest in contents.digests.items():
        blob = _BLOB.fullmatch(name)
        if blob and blob[1] != digest:
            raise ValueError(f"{name} was changed")
    copies: dict[str, save_store.Copy] = {}
    for entry in contents.documents["manifest.json"]:
        config = contents.documents[entry["Config"]]
        if not _BLOB.fullmatch(entry["Config"]):
            raise ValueError(f"{entry['Config']} is not named by its checksum")
        layers = [(name, f"sha256:{contents.digest(name)}") for name in entry["Layers"]]
        expected = config["rootfs"]["diff_ids"]
        for (name, digest), wanted in zip(layers, expected, strict=True):
            if digest != wanted and not name.startswith("blobs/"):  # a blob may be compressed; its name was compared
                raise ValueError(f"{name} was changed")
        [tag] = entry["RepoTags"]
        labels = config["config"]["Labels"] or {}
        machine = labels.get("labenv.machine", "")
        if (
            tag.rpartition("/")[2]
            != f"{save_store.REPOSITORY}:{labels.get(LABEL)}.{labels.get(save_store.STAMP)}.{machine}"
        ):
            raise UsageError(f"{file} is not an archive of an environment: it contains the image {tag!a}.")
        # An archive without this label is older, and of the first format.
        if (form := labels.get(save_store.FORMAT, "1")) != save_store.CURRENT:
            raise UsageError(
                f"{file} is an archive of format {ascii(form)[1:-1]}, written by labenv "
                f"{ascii(labels.get(save_store.VERSION, 'of unknown version'))[1:-1]}; labenv {__version__} reads format "
                f"{save_store.CURRENT}. Import it with that labenv, or export it again with this one."
            )
        copies[machine] = save_store.Copy(machine, tag, labels | {"architecture": config["architecture"]})
    names = next(iter(copies.values())).labels[save_store.MACHINES].split(",")
    first = copies[names[0]].labels
    if set(names) != set(copies) or any(c.labels[save_store.STAMP] != first[save_store.STAMP] for c in copies.values()):
        raise ValueError("its machines do not belong to one save")
    named = [ref["annotations"].get("io.containerd.image.name", "") for ref in _references(contents)]
    if strangers := [name for name in named if name and not name.endswith(tuple(c.tag for c in copies.values()))]:
        raise ValueError(f"it would replace the image {strangers[0]}")
    return Save(first[LABEL], first[save_store.NAME], first[save_store.STAMP], tuple(copies[name] for name in names))


def _references(contents: _Contents) -> list[dict[str, Any]]:
    """The images as newer engines list them (OCI image layout, index.json)."""
    return [ref for ref in contents.documents.get("index.json", {}).get("manifests", []) if ref.get("annotations")]


def _refuse_foreign(engine: Engine, found: Save, file: Path) -> None:
    """Raise UsageError for what cannot run here. What an archive says about itself is untrusted input."""
    try:
        then = found.environment
        student.check_id(found.student_id)
        student.check_x(then.student.x)
        student.check_first(then.student.first, found.student_id)
        saves.check_name(found.name)
        if not re.fullmatch(r"[a-z0-9]{1,64}", then.student.password):
            raise ValueError("its password")
    except (LookupError, ValueError) as error:
        raise UsageError(f"{file} does not name a valid student and environment ({error}). Export it again.") from error
    plan_again(then.student, then.lab, then.stage, then.topology, found.machines).lab.check_stage(then.stage)
    there = {copy.labels["architecture"] for copy in found.copies}
    if there != {engine.architecture}:
        raise UsageError(
            f"{file} is for {', '.join(sorted(there))} processors, but this engine runs on {engine.architecture}. Import it on a computer of that kind."
        )
