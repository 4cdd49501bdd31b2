"""Beginning a lab: a small one that works, with comments."""

import json
import shlex
import shutil
from pathlib import Path

from labenv.errors import UsageError
from labenv.lab import drills, labs, lint, trust
from labenv.lab.model import is_id

_STARTER = Path(__file__).resolve().parent / "starter"


def write(name: str, folder: Path) -> Path:
    """Write the lab `name` to a new folder, with the schemas for an editor; its author is trusted. Returns the folder.

    Raises UsageError for a name that a lab cannot have or that another has, for a folder that is there, or cannot be written.
    """
    if not is_id(name):
        raise UsageError(
            f"A lab cannot be called {name!a}: a name has up to 40 of a-z, 0-9 and '-', and begins with a letter."
        )
    if there := labs.named(name):
        raise UsageError(f"There is a lab '{name}' already, in {there}. Choose another name.")
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists. Choose another folder: labenv lab new {name} FOLDER")
    try:
        shutil.copytree(_STARTER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        file = folder / "lab.yaml"
        file.write_text(file.read_text(encoding="utf-8").replace("id: NAME", f"id: {name}"), encoding="utf-8")
        schemas = folder / ".schema"
        schemas.mkdir()
        for kind, schema in {**lint.schemas(), "drill": drills.schema()}.items():
            (schemas / f"{kind}.schema.json").write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}. Choose another folder.") from error
    made = folder.resolve()
    trust.trust(made, always=True)
    return made


def shown(folder: Path) -> str:
    """A folder as an argument in a shell here: relative, if it is below the current folder."""
    here = Path.cwd()
    return shlex.quote(
        f"./{folder.relative_to(here)}" if folder.is_relative_to(here) and folder != here else str(folder)
    )
