"""Commands for authors of labs: lint, schema, list."""

from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common, lab_test
from labenv.cli.common import JsonOption

app = typer.Typer(
    no_args_is_help=True,
    help="Tools for lab authors: find errors in a lab, prove it on real machines, print schemas, list labs.",
    epilog="Example: labenv lab lint ./mylab",
)


@app.command()
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
    from labenv import resources
    from labenv.lab import labs
    from labenv.lab import lint as linting

    if lab is None or lab in labs.names():
        folders = [resources.labs() / name for name in ([lab] if lab else labs.names())]
    else:
        folders = [Path(lab)]
    folders = [folder.resolve() for folder in folders]
    found = {folder.name: linting.lint(folder) for folder in folders}
    notes = {folder.name: [] if found[folder.name] else linting.notes(folder) for folder in folders}
    if json:
        entries = [
            {"lab": name, "findings": [*map(vars, findings)], "notes": [*map(vars, notes[name])]}
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


app.command("test")(lab_test.prove)


@app.command()
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


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List the labs with their stages.

    Example:

      labenv lab list
    """
    from labenv.lab import labs

    there = [labs.load(name) for name in labs.names()]
    if json:
        entries = [
            {
                "id": lab.id,
                "title": lab.title,
                "steps": len(lab.steps),
                "stages": [vars(stage) for stage in lab.stages],
            }
            for lab in there
        ]
        common.print_json({"labs": entries})
        return
    for lab in there:
        print(f"{lab.id}: {lab.title} ({len(lab.steps)} steps)")
        for stage in lab.stages:
            print(f"  {stage.id:<8} {stage.title}")
