"""Where labs are found: in labenv, in the user's folder, in those of LABENV_LABS, and in installed packages; or by their folder.

A lab's name is the `id` in its lab.yaml. No lab can take the place of one that labenv ships, and two others of one name are both
refused, so that a name means one lab.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from labenv import labs as shipped_labs
from labenv import places, resources
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.lab import model, translation, trust
from labenv.lab.model import Lab, is_id, parsed
from labenv.text import one_line, shown

GROUP = "labenv.labs"  # the entry points of installed packages with a lab
FOLDERS = "LABENV_LABS"  # folders with labs, or of labs, separated as in PATH


class Missing(UsageError):
    """The lab of an environment is not here."""


@dataclass(frozen=True)
class Place:
    """A lab that was found: its name, its folder, and where that is, in words."""

    name: str
    folder: Path
    where: str


def names() -> list[str]:
    """The names of all labs that are found, those that labenv ships first."""
    return list(dict.fromkeys(place.name for place in everywhere()))


def default() -> str:
    """The lab that is used when none is named."""
    return shipped_labs.DEFAULT


def everywhere() -> list[Place]:
    """All labs that are found, those that labenv ships first. A name may be there more than once: see `doubled`."""
    found = [*_shipped(), *sorted([*_in_folders(), *_installed()], key=lambda place: place.name)]
    once: dict[Path, Place] = {}
    for place in found:
        once.setdefault(place.folder, place)
    return list(once.values())


def doubled() -> dict[str, str]:
    """For each name that several labs have, what follows from it, as a sentence."""
    there: dict[str, list[Place]] = defaultdict(list)
    for place in everywhere():
        there[place.name].append(place)
    return {name: _said(name, places) for name, places in there.items() if len(places) > 1}


def named(name: str) -> Path | None:
    """The folder of the lab with that name, which is never taken for a path; None if there is none.

    Raises UsageError if several labs have it. Installed packages are looked at last: to list them takes longer than all the rest.
    """
    if not is_id(name):
        return None
    for places_ in (_shipped, _in_folders, _installed):
        found = {place.folder: place for place in places_() if place.name == name}
        if len(found) > 1:
            raise UsageError(_said(name, list(found.values())))
        if found:
            return next(iter(found))
    return None


def find(lab: str) -> Path:
    """The folder of a lab that a user names, or of which they give the folder: with a slash, or where no lab has that name.

    Raises UsageError, which lists the labs, if there is none.
    """
    folder = Path(lab)
    if "/" not in lab and lab not in (".", "..") and (found := named(lab)):
        return found
    if (folder / "lab.yaml").is_file():
        return folder.resolve()
    if folder.is_file():
        raise UsageError(
            f"{one_line(lab)} is a file, and a lab is a folder. Name the folder: {one_line(str(folder.parent))}"
        )
    if "/" in lab or folder.is_dir():
        raise UsageError(f"{shown(lab)} is not a lab: it has no file lab.yaml. To begin one: labenv lab new NAME")
    raise UsageError(
        f"There is no lab '{shown(lab)}'. The labs are: {', '.join(names())}. Or give a lab's folder: ./{shown(lab)}"
    )


def read(folder: Path, languages: tuple[str, ...] = ()) -> Lab:
    """The lab in a folder with those before it, and with its texts in one of `languages` where they are translated.

    Nobody is asked whether they are trusted. Raises UsageError as `model.read` does, and if one before it is not there or is after it.
    """
    return _led_to(model.read(folder, languages), ())


def _led_to(lab: Lab, later: tuple[str, ...]) -> Lab:
    """A lab with those before it; `later` are the names of those after it."""
    if not lab.after:
        return lab
    later = (*later, lab.id)
    said = f"{lab.folder / 'lab.yaml'}: after: "
    if lab.after in later:
        circle = ", which is after ".join(f"'{name}'" for name in (*later[later.index(lab.after) :], lab.after))
        raise UsageError(f"{said}{circle}. The first lab of a course has no `after`.")
    if not (folder := named(lab.after)):
        raise UsageError(f"{said}there is no lab '{shown(lab.after)}'. The labs are: {', '.join(names())}.")
    return replace(lab, before=_led_to(model.read(folder), later))


def next_after(lab: Lab) -> list[str]:
    """The names of the labs that begin where that one ends, those that labenv ships first."""
    return list(dict.fromkeys(place.name for place in everywhere() if _id(place.folder, "after") == lab.id))


def load(lab: str) -> Lab:
    """The lab of that name or in that folder, as its author wrote it.

    What is kept or handed on (JSON, reports, submissions, the history) has these texts, so that it is the same whoever made it, and
    two students' can be compared. Raises UsageError if there is none, `Untrusted` for one from elsewhere that the user does not know.
    """
    return _load(find(lab), ())


def of(environment: Environment) -> Lab:
    """The lab of an environment, as its author wrote it: from the folder that it was made from, or else by its name.

    Raises Missing if it is neither there nor here; `Untrusted`.
    """
    return _load(_folder_of(environment), ())


def spoken_of(environment: Environment) -> Lab:
    """The lab of an environment for a person at a terminal: with texts in the language that the user reads. Raises as `of` does."""
    return _load(_folder_of(environment), translation.wanted(os.environ))


def spoken(lab: str) -> Lab:
    """The lab of that name or in that folder, for a person at a terminal. Raises as `load` does."""
    return _load(find(lab), translation.wanted(os.environ))


def is_shipped(folder: Path) -> bool:
    """Whether a lab's folder is a part of labenv."""
    return folder.is_relative_to(resources.labs())


def _folder_of(environment: Environment) -> Path:
    kept = Path(environment.lab_folder)
    if environment.lab_folder and (kept / "lab.yaml").is_file() and _id(kept) == environment.lab:
        return kept
    if found := named(environment.lab):
        return found
    gone = (
        f", whose folder {one_line(environment.lab_folder)} is gone"
        if environment.lab_folder
        else ", which is not here"
    )
    raise Missing(
        f"{environment.student.id}'s environment is of the lab '{shown(environment.lab)}'{gone}. Put the lab there again, into "
        f"{own_folder()}, or name its folder in {FOLDERS}. Without it, these work: status, shell, exec, logs, save, down."
    )


@cache
def _load(folder: Path, languages: tuple[str, ...]) -> Lab:
    found = read(folder, languages)
    for lab in found.course:
        if not is_shipped(lab.folder):
            trust.require(lab)
    return found


def _shipped() -> Iterator[Place]:
    for path in sorted(resources.labs().glob("*/lab.yaml")):
        yield Place(path.parent.name, path.parent, "labenv itself")


def own_folder() -> Path:
    """Where a user's own labs are."""
    return places.config() / "labs"


def _in_folders() -> Iterator[Place]:
    yield from _below(own_folder(), str(own_folder()))
    for given in filter(None, os.environ.get(FOLDERS, "").split(os.pathsep)):
        yield from _below(Path(given), f"{FOLDERS}, {given}")


def _below(folder: Path, where: str) -> Iterator[Place]:
    """The lab in a folder, or those in the folders in it."""
    for path in [folder / "lab.yaml"] if (folder / "lab.yaml").is_file() else sorted(folder.glob("*/lab.yaml")):
        yield Place(_id(path.parent) or path.parent.name, path.parent.resolve(), where)


def _id(folder: Path, key: str = "id") -> str:
    """The name of the lab in a folder, or of the one that another `key` names; "" if its file says none."""
    try:
        tree = parsed(folder / "lab.yaml")
    except UsageError:
        return ""
    name = tree.get(key) if isinstance(tree, dict) else None
    return name if isinstance(name, str) and is_id(name) else ""


def _installed() -> Iterator[Place]:
    from importlib import metadata  # takes longer than the work of most commands

    for point in metadata.entry_points(group=GROUP):
        if folder := _package(point.value):
            package = f" {point.dist.name}" if point.dist else ""
            yield Place(_id(folder) or point.name, folder, f"the installed package{package}")


def _package(name: str) -> Path | None:
    """The folder of a package, of which nothing is run: not of its parents either, as `find_spec` would; None if it is not there."""
    from importlib import util  # as above

    first, *rest = name.partition(":")[0].strip().split(".")
    try:
        spec = util.find_spec(first)
    except (ImportError, ValueError):
        return None
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place, *rest).resolve()
        if (folder / "lab.yaml").is_file():
            return folder
    return None


def _said(name: str, found: list[Place]) -> str:
    """What it means that several labs have one name."""
    listed = "; ".join(f"{place.folder} ({place.where})" for place in found)
    if is_shipped(found[0].folder):
        return f"labenv's own lab '{name}' is used, not {'; '.join(str(p.folder) for p in found[1:])}. Give that one another id."
    return (
        f"Several labs are called '{name}': {listed}. Remove one, give it another id, or name the folder that you mean."
    )
