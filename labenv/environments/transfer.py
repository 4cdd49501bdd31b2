"""An environment in one file, to continue on another computer.

It is the output of `docker save` for a save's images, gzipped, after its history. Everything in it is named by its SHA-256
(OCI image specification: config and layers are content-addressed).
"""

import hashlib
import re
import tarfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from labenv import plain_tar
from labenv.engine import Engine, bundle, image_file, save_store
from labenv.engine.image_file import ImageFile
from labenv.engine.labels import MACHINE
from labenv.engine.save_store import Save
from labenv.environment import Environment
from labenv.environments import foreign, history, saves
from labenv.environments.changing import changing
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.plain_tar import Unreadable

_LEVEL = 1  # of gzip: a person waits for it
_FOLDER = "history/"
_HISTORY = re.compile(rf"{_FOLDER}[0-9a-f]{{64}}")
_LARGEST_HISTORY = 64_000_000


def export(engine: Engine, environment: Environment, file: Path, listen: Listener) -> int:
    """Write an environment in its current state to `file` and return its size in bytes. Raises as `export_save`."""
    who = environment.student.id
    name = f"export-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if environment.own_topology:
        listen(Event("export", "the topology is a file of yours: no other computer can import this archive", "warn"))
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
    with changing(engine, student_id, listen):
        made = save_store.ensure(engine, saves.named(engine, student_id, name), listen)
    return _write(engine, made, file, listen)


def _write(engine: Engine, made: Save, file: Path, listen: Listener) -> int:
    with announced(listen, "export", f"writing {file}"):
        return bundle.pack(
            engine, [copy.tag for copy in made.copies], file, listen, _LEVEL, before=_member(made, listen)
        )


def _member(made: Save, listen: Listener) -> bytes:
    """The history of a save's environment as a member of a tar archive; empty if there is none."""
    told = history.packed(made.environment, listen)
    if not told:
        return b""
    member = tarfile.TarInfo(_FOLDER + hashlib.sha256(told).hexdigest())
    member.size = len(told)
    return member.tobuf() + told + bytes(-len(told) % tarfile.BLOCKSIZE)


def load(engine: Engine, file: Path, listen: Listener) -> Save:
    """Load the save in an archive into the engine, and return it.

    The whole file is verified first. Raises UsageError if it is damaged, of another version of labenv, for another processor,
    contains what no save does, or if its name is in use; EngineError. Then nothing has changed.
    """
    with announced(listen, "import", f"checking {file}"):
        given, found = _verified(file, listen)
        if processors := given.foreign(engine.architecture):
            raise UsageError(
                f"{file} is for {processors} processors, but this engine runs on {engine.architecture}. Import it on a computer of "
                f"that kind."
            )
    with changing(engine, found.student_id, listen):
        for other in save_store.tidied(engine, found.student_id):
            if other.stamp == found.stamp:
                return save_store.ensure(engine, other, listen)
            if other.name == found.name:
                raise UsageError(
                    f"{found.student_id} already has a different save called {found.name}. Remove it first: "
                    f"labenv saves --remove {found.name} -s {found.student_id}"
                )
        try:
            with announced(listen, "import", f"loading {found.student_id}'s machines"):
                given = foreign.marked(given)
                named = {image.labels[MACHINE]: image.digest for image in given.images}
                tags = {named[c.machine]: (save_store.temporary(found.student_id), c.tag) for c in found.copies}
                image_file.load(engine, given, tags, listen)
        except BaseException:
            with suppress(EngineError):
                save_store.tidied(engine, found.student_id)
            raise
        if not engine.environments(found.student_id):  # an existing history would be replaced
            _take_history(found, given, listen)
        return found


def _verified(file: Path, listen: Listener) -> tuple[ImageFile, Save]:
    try:
        given = image_file.verified(file, _HISTORY, listen=listen)
        for name in filter(_HISTORY.fullmatch, given.digests):
            if given.sizes[name] > _LARGEST_HISTORY:
                raise Unreadable(f"its history has more than {_LARGEST_HISTORY} bytes")
            if name != f"{_FOLDER}{given.digests[name]}":
                raise Unreadable("its history was changed")
        return given, foreign.save_in(given)
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {file}.") from error
    except (OSError, Unreadable) as error:
        raise UsageError(
            f"{file} is not a complete archive of an environment ({error}). Copy it again, or export it again. Nothing was "
            f"changed here."
        ) from error


def _take_history(found: Save, given: ImageFile, listen: Listener) -> None:
    with plain_tar.opened(given.path) as packed:
        for member, content in plain_tar.members(plain_tar.Unzipped(packed, image_file.LARGEST_WHOLE), notes=True):
            if not _HISTORY.fullmatch(member.name) or member.size > _LARGEST_HISTORY:
                return  # it comes first, or there is none
            told = b"".join(content)
            if hashlib.sha256(told).hexdigest() == given.digests.get(member.name):
                history.unpack(found.environment, told, listen)
            return
