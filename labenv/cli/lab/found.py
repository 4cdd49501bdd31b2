"""Which labs there are, and which of them may run."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from labenv.cli import common
from labenv.cli.common import JsonOption


def list_(json: JsonOption = False) -> None:
    """List the labs with their stages, and where they are found.

    labenv finds its own labs, those in ~/.config/labenv/labs, in the folders of LABENV_LABS (separated by colons), and in installed
    packages.

    Example:

      labenv lab list
    """
    from labenv.errors import UsageError
    from labenv.lab import labs, model
    from labenv.text import one_line

    entries: list[dict[str, Any]] = []
    problems = [*labs.doubled().values()]
    for place in labs.everywhere():
        try:
            lab = model.read(place.folder)
            entries.append(
                {
                    "id": lab.id,
                    "title": one_line(lab.title),
                    "steps": len(lab.steps),
                    "stages": [{"id": stage.id, "title": one_line(stage.title)} for stage in lab.stages],
                    "folder": str(place.folder),
                    "where": place.where,
                }
            )
        except UsageError as error:
            problems.append(str(error))
    if json:
        common.print_json({"labs": entries, "problems": problems})
        return
    for entry in entries:
        mark = ", the default" if entry["id"] == labs.default() else ""
        print(f"{entry['id']}: {entry['title']} ({entry['steps']} steps{mark})")
        if not labs.is_shipped(Path(entry["folder"])):
            print(f"  in {entry['folder']} ({entry['where']})")
        for stage in entry["stages"]:
            print(f"  {stage['id']:<8} {stage['title']}")
    for problem in problems:
        print(f"labenv: {problem}", file=sys.stderr)


def trust(
    lab: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", autocompletion=common.complete_lab, help="A lab, or its folder.")
    ],
    always: Annotated[
        bool, typer.Option("--always", help="Whatever is changed in its folder: for a lab that you write yourself.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Trust it no longer.")] = False,
) -> None:
    """Say that you trust a lab from outside labenv, so that its commands may run.

    A lab is a program: its checks run on this computer as you, its commands and images as root in the machines. A lab that has changed
    needs it again.

    Examples:

      labenv lab trust ./mylab

      labenv lab trust ./mylab --always
    """
    from labenv.errors import UsageError
    from labenv.lab import labs
    from labenv.lab import trust as trusting

    folder = labs.find(lab)
    if labs.is_shipped(folder):
        raise UsageError(f"{lab} is a part of labenv, which needs no more trust than labenv itself.")
    if forget:
        trusting.forget(folder)
        print(f"{folder} is not trusted any more.")
        return
    digest = trusting.trust(folder, always=always)
    print(f"Trusted: {folder}, {'whatever is changed in it' if always else f'as it is now (SHA-256 {digest})'}.")
