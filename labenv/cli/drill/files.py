"""Commands for the files of drills: list, lint, schema."""

from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common
from labenv.cli.common import JsonOption

FromOption = Annotated[
    Path | None,
    typer.Option("--from", metavar="DIR", file_okay=False, exists=True, help="Also use the drills in this folder."),
]


def list_(
    folder: FromOption = None,
    answers: Annotated[bool, typer.Option("--answers", help="Show layer and fault, for teachers.")] = False,
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

    lab = labs.load(labs.default()) if json else labs.spoken(labs.default())
    example = Student("asmith15", 90, "ann", "")
    with screen.progress() as listen:
        spoken = [drill_translations.spoken(drill, lab) for drill in drills.catalogue(lab, folder, listen)]
        found = [(drill, drills.filled(drill.symptom, example)) for drill in spoken]
    if json:
        entries = [
            {"name": drill.name, "level": drill.level, "symptom": text}
            | ({"layer": drill.layer, "also": list(drill.also), "title": drill.title} if answers else {})
            for drill, text in found
        ]
        common.print_json({"lab": lab.id, "drills": entries})
        return
    for drill, text in found:
        answer = f"{' or '.join(drill.layers)}: {drill.title}"
        print(f"{drill.level}  {drill.name}\n   {answer if answers else text}")


def lint(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Default: the drills of the lab and of your own folder.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find errors in drill files, with line numbers. The file NAME.yaml is the drill NAME.

    Your own drills are in ~/.config/labenv/drills, or in the folder that LABENV_DRILLS names. A note, such as one about a
    renamed key, is not an error. Exit code 0: no errors; 2: errors found.

    Example:

      labenv drill lint ./mydrills
    """
    from labenv.lab import drill_translations, drills, labs

    lab = labs.load(labs.default())
    files = [path for path in drills.files(lab, folder) if folder is None or path.parent == folder]
    found = [finding for path in files for finding in drills.lint(path, lab) or drill_translations.lint(path)]
    notes = [note for path in files for note in drills.notes(path)]
    if not found:
        notes += [note for path in files for note in drill_translations.notes(path)]
    if json:
        common.print_json({"drills": len(files), "findings": [*map(vars, found)], "notes": [*map(vars, notes)]})
    else:
        for note in notes:
            print(f"{note.file}:{note.line}: note: {note.sentence}")
        print("\n".join(map(str, found)) or f"{len(files)} drills: no errors")
    if found:
        raise typer.Exit(2)


def schema() -> None:
    """Print the JSON schema of a drill file, so that an editor can complete and check it.

    Example:

      labenv drill schema > drill.schema.json
    """
    from labenv.lab import drills

    common.print_json(drills.schema())
