"""The texts of drills in other languages: beside NAME.yaml lies NAME.fr.yaml (labenv.lab.translation)."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from labenv import resources
from labenv.errors import UsageError
from labenv.lab import drills, translation
from labenv.lab.drills import Drill, Finding, Lines
from labenv.lab.model import Lab, parsed


def spoken(drill: Drill, lab: Lab) -> Drill:
    """The drill with its texts in the lab's languages, from the folder of the lab's drills and the user's own.

    A drill that runs is recorded in its own language, and may be another of the same name: then no translation fits it. Raises
    UsageError for a translation that cannot be read.
    """
    original = tree = drills.to_dict(drill)
    for folder in (lab.folder / "drills", drills.own_folder()):
        for path in translation.chosen(folder / f"{drill.name}.yaml", lab.languages):
            try:
                tree = translation.translated(original, tree, parsed(path), translation.DRILL)
            except (KeyError, TypeError) as error:
                raise UsageError(
                    f"{path} is not a translation. To see what is wrong: labenv drill lint {folder}"
                ) from error
    return drills.from_dict(drill.name, tree)


def lint(path: Path) -> Iterator[Finding]:
    """The problems in the translations of a drill that has none itself."""
    form = json.loads((resources.labs() / "drill.translation.schema.json").read_text(encoding="utf-8"))
    for language, file in translation.files(path).items():
        try:
            tree = parsed(file)
        except UsageError as error:
            yield Finding(str(file), 1, str(error))
            continue
        if not translation.is_language(language):
            yield Finding(str(file), 1, translation.no_language(language, path.stem))
        lines = Lines(file)
        misshaped = list(drills.misshaped(file, tree, form, lines))
        yield from misshaped
        if not misshaped:
            for place, sentence in drills.unrenderable(tree, translation.DRILL):
                yield drills.placed(file, lines, place, sentence)


def notes(path: Path, languages: Iterable[str] = ()) -> Iterator[Finding]:
    """What the translations of a drill lack, if neither it nor they have problems; into `languages` it should be translated."""
    original: dict[str, Any] = drills.to_dict(drills.from_dict(path.stem, parsed(path)))
    found = translation.files(path)
    for language in languages:
        if language not in found:
            lacking = path.with_suffix(f".{language}.yaml")
            [sentence] = translation.missing(original, None, translation.DRILL)
            yield Finding(str(lacking), 1, sentence)
    for language, file in found.items():
        told = original, parsed(file), translation.DRILL
        whole = language in translation.complete(found)
        for sentence in [*(translation.missing(*told) if whole else ()), *translation.changed(*told)]:
            yield Finding(str(file), 1, sentence)
