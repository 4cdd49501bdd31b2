"""Beginning a class: its folder, with comments."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from labenv.classroom.folder import load, roster
from labenv.errors import UsageError
from labenv.lab import drills, labs, model

_STARTER = Path(__file__).with_name("starter")
_IGNORED = "# What labenv keeps of the students: grades, logs, passwords.\nrecords/\n"


def write(folder: Path, name: str | None, students: Path | None, wanted: Sequence[str]) -> list[Path]:
    """Write the folder of a class with these labs, by name or folder. Returns the files that it has now.

    The roster is a copy of the file `students`, or an example. Raises UsageError, before anything is written, for a class that is
    there already, an unknown lab or a roster that cannot be used; also if the folder cannot be written, and then leaves nothing.
    """
    own = folder / load.ROSTER
    if students:
        roster.read(students)
    stays = students is not None and own.exists() and own.samefile(students)
    for there in (folder / load.FILE, *(() if stays else (own,))):
        if os.path.lexists(there):
            raise UsageError(f"{there} exists, and nothing is overwritten. Choose another folder.")
    texts = {folder / load.FILE: _class(folder, name, wanted).encode()}
    if not stays:
        texts[own] = students.read_bytes() if students else _starter("roster.csv").encode()
    ignored = folder / ".gitignore"
    if not os.path.lexists(ignored):
        texts[ignored] = _IGNORED.encode()
    is_new = not folder.exists()
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            with path.open("xb") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise UsageError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error
    return [*texts]


def _class(folder: Path, name: str | None, wanted: Sequence[str]) -> str:
    own = folder.resolve().name
    values = {
        "NAME": json.dumps(name or own, ensure_ascii=False),
        "IDENT": load.label(own),
        "ZONE": _zone(),
        "LABS": "\n".join(_lab(folder, lab) for lab in wanted or [labs.default()]),
    }
    return _filled("class.yaml", values)


def _lab(folder: Path, wanted: str) -> str:
    """The entry of a lab, which has drills of its own in the comments."""
    found = labs.find(wanted)
    lab = model.read(found)
    reference = wanted
    if labs.named(wanted) != found:  # its folder was named
        below = os.path.relpath(found, folder.resolve())
        reference = json.dumps(below if below.startswith("../") else f"./{below}", ensure_ascii=False)
    drill = next((path.stem for path in drills.files(lab)), "DRILL")
    return _filled("lab.yaml", {"LAB": reference, "STAGE": lab.stages[0].id, "DRILL": drill, "POINTS": lab.id})


def _zone() -> str:
    """The time zone of this computer, by its name in the tz database; UTC where it does not say one."""
    with suppress(OSError, ValueError, ZoneInfoNotFoundError):
        name = os.environ.get("TZ") or os.readlink("/etc/localtime").partition("zoneinfo/")[2]
        return ZoneInfo(name.removeprefix(":")).key
    return "UTC"


def _filled(name: str, values: Mapping[str, str]) -> str:
    """A file of the starter with each word in capitals replaced that has a value."""
    return re.sub(r"\b[A-Z]+\b", lambda found: values.get(found[0], found[0]), _starter(name))


def _starter(name: str) -> str:
    return (_STARTER / name).read_text(encoding="utf-8")
