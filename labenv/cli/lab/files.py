"""A lab's files: lint finds errors in them, schema is for editors."""

from typing import Annotated

import typer

from labenv.cli import common
from labenv.cli.common import JsonOption


def lint(
    lab: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FOLDER", autocompletion=common.complete_lab, help="A lab, or its folder. Default: all labs."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Find errors in a lab's files: a step without a check, a hint or a solution, unknown names, and more.

    A note, such as one about a text that is not translated, is not an error. Exit code 0: no errors; 2: errors found.

    Examples:

      labenv lab lint

      labenv lab lint ./mylab
    """
    from labenv.lab import labs
    from labenv.lab import lint as linting

    folders = [labs.find(lab)] if lab else [place.folder for place in labs.everywhere()]
    found = {folder.name: linting.lint(folder) for folder in folders}
    notes = {folder.name: [] if found[folder.name] else linting.notes(folder) for folder in folders}
    if json:
        entries = [
            {"lab": name, "findings": [f.to_dict() for f in findings], "notes": [f.to_dict() for f in notes[name]]}
            for name, findings in found.items()
        ]
        common.print_json({"labs": entries})
    else:
        for name, findings in found.items():
            for note in notes[name]:
                print(f"{name}: note: {note}")
            for finding in findings:
                print(f"{name}: {finding}")
            if not findings:
                print(f"{name}: no errors")
    if any(found.values()):
        raise typer.Exit(2)


def schema(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="lab or steps: only the schema of that file.")
    ] = None,
) -> None:
    """Print the JSON schemas of a lab's YAML files, so that an editor can complete and check them.

    Example:

      labenv lab schema steps > steps.schema.json
    """
    from labenv.errors import UsageError
    from labenv.lab import lint as linting

    schemas = linting.schemas()
    if file is not None and file not in schemas:
        raise UsageError(f"There is no schema {file!a}. The schemas are: {', '.join(schemas)}.")
    common.print_json(schemas[file] if file else schemas)
