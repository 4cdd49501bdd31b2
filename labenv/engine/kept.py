"""A second copy of each save, outside the engine: what its machines have beyond their images, in the user's own folder of state.

`docker system prune` removes every image and volume that nothing runs on, and with them all saves. A copy takes a tenth of a
megabyte: the files that changed since a machine was made (kept.sh). A machine that came out of a save stands on that save's
copy. From a copy and labenv's own images, a save's images are made again (kept.pl).

Nothing depends on a copy. What is in it is only ever unpacked in a container.
"""

import io
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker.errors

from labenv import places, plain_tar
from labenv.engine import Engine, recipe
from labenv.engine.channel import Channel
from labenv.engine.errors import refusals
from labenv.engine.image_sources import latest, title
from labenv.engine.images import Images
from labenv.environment import container_name
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener
from labenv.text import decoded

MANIFEST = "save.json"
_FORMAT = 1
_STUDENT, _STAMP = re.compile(r"[a-z0-9-]{1,40}", re.ASCII), re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}", re.ASCII)
_ANY_STAMP = re.compile(rf"{_STAMP.pattern}(?:\.parent)?", re.ASCII)
_PARENT = ".parent"  # the end of the name of a removed save's copy, on which a machine still stands
_DRAFT = ".part"
_LAYING = "laying"  # a file that is there while a copy is laid over an image
_LARGEST = 32_000_000  # bytes of one machine's copy
_MOST = 400  # files of a copy
_MACHINE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
_LAYER = re.compile(rf"{_MACHINE.pattern}\.\d{{1,3}}", re.ASCII)
SAVE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}", re.ASCII)
_SECONDS = 60.0  # to make one, which takes a tenth of one; half a minute where packages were installed on a slow disk
_COPY = Path(__file__).with_suffix(".sh").read_text(encoding="utf-8")
_LAY = Path(__file__).with_suffix(".pl").read_text(encoding="utf-8")


class NoParentError(EngineError):
    """A machine came out of a save whose copy is not here, so there can be none of the machine either."""


def copied(channel: Channel, since: int) -> bytes:
    """What has changed in a running machine since a time (seconds since 1970). Raises EngineError."""
    said = channel.run(f"T={since}\n{_COPY}", _SECONDS, _LARGEST)
    if said.rc or not said.stdout:
        raise EngineError(f"the files of {channel.container} could not be copied: {said.complaint[:300] or said.rc}")
    return said.stdout


def copied_from_image(engine: Engine, tag: str, since: int) -> bytes:
    """The same from the image that a machine was saved as, for one that does not run. Raises EngineError."""
    settings = engine.settings(network_mode="none")
    options = {"entrypoint": ["sh", "-c", f"T={since}\n{_COPY}"], "command": [], "host_config": settings}
    with refusals("copying a machine's files"), engine.helper(tag, **options) as helper:
        output = engine.api.attach(helper, stdout=True, stderr=False, stream=True)
        engine.api.start(helper)
        found = bytearray()
        for piece in output:
            found += piece
            if len(found) > _LARGEST:
                raise EngineError(f"more than {_LARGEST / 1e6:.0f} MB were changed in a machine")
        if engine.api.wait(helper)["StatusCode"] or not found:
            raise EngineError("the files of a machine that does not run could not be copied")
    return bytes(found)


def store(manifest: dict[str, Any], new: Mapping[str, bytes]) -> None:
    """Write the copy of a save: what its `manifest` says of each machine, and for each machine what is `new`.

    A machine with a "parent", the stamp of another save, stands on that save's copy. Raises EngineError if that has none, or
    if nothing can be written; then nothing is.
    """
    folder = _folder(manifest["student"])
    if not folder.is_absolute():
        raise EngineError("you have no home folder. Set HOME or XDG_STATE_HOME")
    draft = folder / f"{manifest['stamp']}{_DRAFT}"
    try:
        draft.mkdir(mode=0o700, parents=True)
        places.state().joinpath("saves").chmod(0o700)
        for name, facts in manifest["machines"].items():
            below = _parent(manifest["student"], name, facts) if facts.get("parent") else None
            if below:
                facts |= {key: below[1]["machines"][name][key] for key in ("image", "id")}
            layers = [below[0] / layer for layer in below[1]["machines"][name]["layers"]] if below else []
            facts["layers"] = [f"{name}.{number}" for number in range(len(layers) + 1)]
            for layer, file in zip(facts["layers"], layers, strict=False):
                os.link(file, draft / layer)
            _write(draft / facts["layers"][-1], new[name])
        _write(draft / MANIFEST, json.dumps(manifest | {"format": _FORMAT}).encode())
        draft.rename(folder / manifest["stamp"])
    except OSError as error:
        raise EngineError(f"{folder} cannot be written: {error.strerror}. {places.way_out(folder)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _tidy(manifest["student"])


def manifests(student_id: str | None = None) -> list[dict[str, Any]]:
    """What is said of each copy, of one student or of all, oldest first."""
    students = [student_id] if student_id else _names(places.state() / "saves", _STUDENT)
    found = [_read(_folder(who) / stamp) for who in students for stamp in _names(_folder(who), _STAMP)]
    return sorted(filter(None, found), key=lambda manifest: str(manifest["stamp"]))


def manifest_of(student_id: str, stamp: str) -> dict[str, Any]:
    """What is said of the copy of one save, which `manifests` has named. Raises EngineError if it was removed meanwhile."""
    for manifest in manifests(student_id):
        if manifest["stamp"] == stamp:
            return manifest
    raise EngineError(
        f"{student_id}'s save of {stamp[:8]} was removed just now. `labenv saves` lists those that there are."
    )


def size(manifest: dict[str, Any], machine: str) -> int:
    """The bytes of a machine's copy; 0 if it was removed meanwhile, as the last push is by the next one."""
    folder = _folder(manifest["student"]) / manifest["stamp"]
    with suppress(FileNotFoundError):
        return sum((folder / layer).stat().st_size for layer in manifest["machines"][machine]["layers"])
    return 0


def stands_on(manifest: Mapping[str, Any]) -> set[str]:
    """The stamps of the saves that a copy's machines came out of, whose copies are needed for the next copy of them."""
    return {str(facts["parent"]) for facts in manifest["machines"].values() if facts.get("parent")}


def stamps(student_id: str) -> set[str]:
    """The stamps of all copies of a student, also of those that only machines stand on."""
    return {stamp.removesuffix(_PARENT) for stamp in _names(_folder(student_id), _ANY_STAMP)}


def has(student_id: str, stamp: str) -> bool:
    """Whether there is a whole copy with that stamp, also if only machines stand on it."""
    return any(True for _ in _whole(student_id, stamp))


def _whole(student_id: str, stamp: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of a copy and its manifest, wherever it is when it is looked for."""
    if _STUDENT.fullmatch(student_id) and _STAMP.fullmatch(stamp):
        for folder in (_folder(student_id) / f"{stamp}{end}" for end in ("", _PARENT)):
            if manifest := _read(folder):
                yield folder, manifest


def packed(student_id: str, stamp: str) -> bytes | None:
    """The copy with that stamp as a tar archive, for `unpack` elsewhere; None if there is none."""
    for folder, manifest in _whole(student_id, stamp):
        with suppress(FileNotFoundError):  # `drop` renames it meanwhile, or removes it
            return _archive(folder, (MANIFEST, *_layers(manifest)))
    return None


def _archive(folder: Path, names: Iterable[str]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            content = (folder / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def unpack(student_id: str, stamp: str, data: bytes) -> dict[str, Any]:
    """Store a copy that was packed elsewhere, and return what is said of it. Raises UsageError for what is none, EngineError."""
    folder = _folder(student_id)
    draft = folder / f"{stamp}{_DRAFT}"
    if not _STUDENT.fullmatch(student_id) or not _STAMP.fullmatch(stamp):
        raise UsageError("A copy of a save has the id of a student and a stamp.")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        places.state().joinpath("saves").chmod(0o700)
        names = set[str]()
        for member, pieces in plain_tar.members(io.BytesIO(data)):
            name = member.name
            right = member.kind == "file" and (name == MANIFEST or _LAYER.fullmatch(name))
            if not right or name in names or len(names) >= _MOST:
                raise UsageError(f"What was sent as a copy of {student_id}'s machines has parts that no copy has.")
            names.add(name)
            _write(draft / name, b"".join(pieces))
        final = folder / stamp
        manifest = _read(draft, final)
        if manifest is None or not _is_sound(manifest, names):
            raise UsageError(
                f"What was sent as a copy of {student_id}'s machines is incomplete, or of another version."
            )
        if not final.exists():
            draft.rename(final)
    except plain_tar.Unreadable as error:
        raise UsageError(f"What was sent as a copy of {student_id}'s machines is no archive ({error}).") from error
    except OSError as error:
        raise EngineError(f"{folder} cannot be written: {error.strerror}. {places.way_out(folder)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _tidy(student_id)
    return manifest


def drop(student_id: str, stamp: str, *, needed: bool) -> None:
    """Remove the copy of a save that is removed. One that a machine stands on, as `needed` says, only stops to be a save's."""
    folder = _folder(student_id) / stamp
    with suppress(OSError):
        if needed:
            folder.rename(folder.with_name(stamp + _PARENT))
        else:
            shutil.rmtree(folder)
            _tidy(student_id)


def drop_unneeded(student_id: str, needed: Iterable[str]) -> None:
    """Remove what only machines stood on, but the copies with these stamps."""
    for stamp in _names(_folder(student_id), _ANY_STAMP):
        if stamp.endswith(_PARENT) and stamp.removesuffix(_PARENT) not in needed:
            shutil.rmtree(_folder(student_id) / stamp, ignore_errors=True)


def drop_parents(student_id: str) -> None:
    """Remove what only machines stood on that are gone, and what a killed command left."""
    for end in (_PARENT, _DRAFT):
        for path in _folder(student_id).glob(f"*{end}"):
            shutil.rmtree(path, ignore_errors=True)
    _tidy(student_id)


def rebuild(
    engine: Engine, manifest: dict[str, Any], tags: Mapping[str, tuple[str, list[str]]], listen: Listener
) -> None:
    """Make the images of a save again: for each machine a tag, and the changes that set its labels (docker-commit(1)).

    Says so if an image of labenv's is not the one that the save was made on. Raises EngineError.
    """
    machines = manifest["machines"]
    names = {name: title(facts["image"]) for name, facts in machines.items()}
    known = latest()
    if unknown := sorted(set(names.values()) - set(known)):
        raise EngineError(f"The save was made on an image that this version of labenv does not have: {unknown[0]}.")
    absent = {names[name] for name, facts in machines.items() if not _id(engine, facts["image"])}
    images = Images(engine)
    images.build(images.lacking(known[name] for name in absent), listen)
    other = []
    for name, facts in machines.items():
        base = known[names[name]].tag if names[name] in absent else facts["image"]
        if _id(engine, base) != facts["id"]:
            other.append(name)
        tag, changes = tags[name]
        _lay(engine, base, _folder(manifest["student"]) / manifest["stamp"], facts["layers"], tag, changes)
    if other:
        text = f"{', '.join(other)}: labenv's image was built again since this was saved, so programs may be of other versions"
        listen(Event("restore", text, "warn"))


def recover(engine: Engine, student_id: str) -> None:
    """Remove the container that a killed `rebuild` left. For a command that holds the student's lock. Raises EngineError."""
    mark = _folder(student_id) / _LAYING
    if mark.exists():
        with refusals("removing what an interrupted restore left"), suppress(docker.errors.NotFound):
            engine.api.remove_container(_container(student_id), force=True, v=True)
        mark.unlink(missing_ok=True)


def up(engine: Engine, student_id: str) -> None:
    """Note that a student has machines on an engine; `down` drops the note."""
    with suppress(OSError):
        path = places.state() / "up" / student_id
        if path.is_absolute():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(f"{engine.facts.ident} {time.time():.0f}", encoding="utf-8")


def down(student_id: str) -> None:
    """Drop the note that a student has machines."""
    with suppress(OSError):
        path = places.state() / "up" / student_id
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def since(engine: Engine, student_id: str) -> float | None:
    """When labenv last made machines of a student on that engine, if no `down` removed them since; None if it did not."""
    with suppress(OSError, ValueError):
        told, _, moment = (places.state() / "up" / student_id).read_text(encoding="utf-8").rpartition(" ")
        return float(moment) if told == engine.facts.ident else None  # asked last, because an engine takes its time
    return None


def ups() -> list[str]:
    """The students for whom `up` was noted, on any engine."""
    return _names(places.state() / "up", _STUDENT)


def _folder(student_id: str) -> Path:
    return places.state() / "saves" / student_id


def _tidy(student_id: str) -> None:
    """Remove the folders that nothing is in any more."""
    with suppress(OSError):
        _folder(student_id).rmdir()
        _folder(student_id).parent.rmdir()


def _names(folder: Path, form: re.Pattern[str]) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if form.fullmatch(name))
    except OSError:
        return []


def _read(folder: Path, named: Path | None = None) -> dict[str, Any] | None:
    """The manifest in a folder, which is to be `named` so; None for one that is damaged or of another version."""
    named = named or folder
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        right = manifest["format"] == _FORMAT and (manifest["student"], manifest["stamp"]) == (
            named.parent.name,
            named.name.removesuffix(_PARENT),
        )
        layers = _layers(manifest)
        if right and layers and all(_LAYER.fullmatch(layer) and (folder / layer).is_file() for layer in layers):
            return manifest
    return None


def _layers(manifest: Mapping[str, Any]) -> list[str]:
    return [layer for facts in manifest["machines"].values() for layer in facts["layers"]]


def _is_sound(manifest: Mapping[str, Any], names: set[str]) -> bool:
    """Whether a manifest from elsewhere says what labenv would have written, of just the files with these names."""
    layers = _layers(manifest)
    return (
        len(layers) == len(set(layers))
        and {MANIFEST, *layers} == names
        and all(isinstance(manifest.get(key), str) for key in ("name", "engine"))
        and bool(SAVE_NAME.fullmatch(manifest["name"]))
        and isinstance(manifest.get("records", {}), dict)
        and all(_is_sound_machine(name, facts) for name, facts in manifest["machines"].items())
    )


def _is_sound_machine(name: str, facts: Mapping[str, Any]) -> bool:
    labels = facts.get("labels")
    return (
        bool(_MACHINE.fullmatch(name))
        and bool(facts["layers"])
        and all(layer.rpartition(".")[0] == name for layer in facts["layers"])
        and all(isinstance(facts.get(key), str) for key in ("image", "id", "parent"))
        and (facts["parent"] == "" or bool(_STAMP.fullmatch(facts["parent"])))
        and isinstance(labels, dict)
        and all(isinstance(value, str) for value in labels.values())
    )


def _parent(student_id: str, machine: str, facts: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    for end in ("", _PARENT):
        folder = _folder(student_id) / f"{facts['parent']}{end}"
        if (manifest := _read(folder)) and machine in manifest["machines"]:
            return folder, manifest
    raise NoParentError(f"{machine} came out of a save that has none, from an archive or an earlier version of labenv")


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _id(engine: Engine, tag: str) -> str:
    with refusals("looking for an image"):
        try:
            return str(engine.api.inspect_image(tag)["Id"])
        except docker.errors.ImageNotFound:
            return ""


@contextmanager
def _noted(folder: Path) -> Iterator[None]:
    """Note that there may be a container during the block; the note stays for `recover` if the block fails."""
    with suppress(OSError):
        (folder / _LAYING).touch()
    yield
    (folder / _LAYING).unlink(missing_ok=True)


def _container(student_id: str) -> str:
    return container_name(student_id, "copy")


def _lay(engine: Engine, base: str, folder: Path, layers: Iterable[str], tag: str, changes: list[str]) -> None:
    settings = engine.settings(network_mode="none")
    # A commit cannot take an entrypoint away.
    options = {"command": ["perl", "-e", _LAY], "host_config": settings, "name": _container(folder.parent.name)}
    with _noted(folder.parent), refusals("making a save's images again"), engine.helper(base, **options) as helper:
        engine.api.put_archive(helper, "/", _packed(folder, layers))
        engine.api.start(helper)
        if engine.api.wait(helper)["StatusCode"]:
            said = decoded(engine.api.logs(helper, tail=20)).strip()
            raise EngineError(f"The copy of the save in {folder} cannot be laid over the image {base}: {said}")
        changes = [*changes, f"CMD {json.dumps([recipe.INIT])}"]
        engine.api.commit(helper, *tag.split(":"), pause=False, changes=changes)


def _packed(folder: Path, layers: Iterable[str]) -> bytes:
    """The files of a copy as an archive for the engine."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for number, content in enumerate(_contents(folder, layers)):
            entry = tarfile.TarInfo(f".labenv-kept/{number}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _contents(folder: Path, layers: Iterable[str]) -> Iterator[bytes]:
    for layer in layers:
        yield (folder / layer).read_bytes()
