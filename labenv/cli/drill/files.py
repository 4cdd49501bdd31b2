"""Commands for the files of drills: list, lint, schema."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common
from labenv.cli.common import JsonOption
from labenv.cli.request import LabOption
from labenv.text import many

FromOption = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", file_okay=False, exists=True, help="Also use the drills in this folder."),
]


def list_(
    folder: FromOption = None,
    answers: Annotated[bool, typer.Option("--answers", help="Show layer and fault, for teachers.")] = False,
    lab: LabOption = None,
    json: JsonOption = False,
) -> None:
    """List the drills by level, each with what a user reports.

    Examples:

      labenv drill list

      labenv drill list --from ./mydrills --answers
    """
    from labenv.cli import screen
    from labenv.lab import drill_translations, drills, labs
    from labenv.student import Student

    chosen = lab or labs.default()
    the_lab = labs.load(chosen) if json else labs.spoken(chosen)
    example = Student("asmith15", 90, "ann", "")
    with screen.progress() as listen:
        spoken = [drill_translations.spoken(drill, the_lab) for drill in drills.catalogue(the_lab, folder, listen)]
        found = [(drill, drills.filled(drill.symptom, example)) for drill in spoken]
    if json:
        entries = [
            {"name": drill.name, "level": drill.level, "symptom": text}
            | ({"layer": drill.layer, "also": list(drill.also), "title": drill.title} if answers else {})
            for drill, text in found
        ]
        common.print_json({"lab": the_lab.id, "drills": entries})
        return
    if not found:
        print(f"{the_lab.id} has no drills.")
    elif not lab and len(names := labs.names()) > 1:
        other = next(name for name in names if name != the_lab.id)
        print(
            f"These are the drills of {the_lab.id}. Those of another lab: labenv drill list --lab {other}",
            file=sys.stderr,
        )
    for drill, text in found:
        answer = f"{' or '.join(drill.layers)}: {drill.title}"
        print(f"{drill.level}  {drill.name}\n   {answer if answers else text}")


def lint(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Default: the drills of the lab and of your own folder.")
    ] = None,
    lab: LabOption = None,
    json: JsonOption = False,
) -> None:
    """Find errors in drill files, with line numbers. The file NAME.yaml is the drill NAME.

    Your own drills are in ~/.config/labenv/drills, or in the folder that LABENV_DRILLS names. A note, such as one about a
    renamed key, is not an error. Exit code 0: no errors; 2: errors found.

    Example:

      labenv drill lint ./mydrills
    """
    from labenv.lab import drill_translations, drills, labs

    the_lab = labs.load(lab or labs.default())
    files = [path for path in drills.files(the_lab, folder) if folder is None or path.parent == folder]
    found = [finding for path in files for finding in drills.lint(path, the_lab) or drill_translations.lint(path)]
    notes = [note for path in files for note in drills.notes(path)]
    if not found:
        notes += [note for path in files for note in drill_translations.notes(path)]
    if json:
        common.print_json({"drills": len(files), "findings": [*map(vars, found)], "notes": [*map(vars, notes)]})
    else:
        for note in notes:
            print(f"{note.file}:{note.line}: note: {note.sentence}")
        print("\n".join(map(str, found)) or f"{many(len(files), 'drill')}: no errors")
    if found:
        raise typer.Exit(2)


def schema() -> None:
    """Print the JSON schema of a drill file, so that an editor can complete and check it.

    Example:

      labenv drill schema > drill.schema.json
    """
    from labenv.lab import drills

    common.print_json(drills.schema())
