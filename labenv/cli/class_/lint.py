"""The commands that look a class over: lint, and schema for editors."""

from typing import TYPE_CHECKING

import typer

from labenv.cli import common
from labenv.cli.class_.common import ClassOption
from labenv.cli.common import JsonOption

if TYPE_CHECKING:
    from labenv.classroom.folder.lint import Looked


def lint(folder: ClassOption = None, json: JsonOption = False) -> None:
    """Look a class over: its class.yaml, its roster, its labs; and show the id that each student gets.

    A note is not an error. Exit code 0: no errors; 2: errors found.

    Examples:

      labenv class lint

      labenv class lint -c ops345
    """
    from labenv.classroom.folder import lint as core
    from labenv.classroom.folder import load

    looked = core.lint(load.find(folder))
    if json:
        common.print_json(looked.to_dict())
    else:
        _show(looked)
    if looked.findings:
        raise typer.Exit(2)


def schema() -> None:
    """Print the JSON schema of class.yaml, so that an editor can complete and check it.

    Example:

      labenv class schema > class.schema.json
    """
    from labenv.classroom.folder import load

    common.print_json(load.schema())


def _show(looked: "Looked") -> None:
    """Print who gets which id, then what is to be said."""
    from labenv.cli import show
    from labenv.text import clean

    if looked.roster:
        members = looked.roster.members
        columns = {
            "in the roster": [one.given for one in members],
            "id": [one.id for one in members],
            "name": [one.name for one in members],
            "e-mail": [one.email for one in members],
            "X": ["" if one.x is None else f"{one.x}" for one in members],
            "SSH keys": [f"{len(one.keys)}" if one.keys else "" for one in members],
        }
        there = {title: cells for title, cells in columns.items() if any(cells)}
        show.table([*there], [*zip(*there.values(), strict=True)])
    for each in looked.of.labs if looked.of else ():
        dates = [
            f"{word} {moment:%Y-%m-%d %H:%M %Z}" for word, moment in (("opens", each.open), ("due", each.due)) if moment
        ]
        print(f"{each.name}: {', '.join(dates)}" if dates else each.name)
    for note in looked.notes:
        print(f"note: {clean(str(note))}")
    for finding in looked.findings:
        print(clean(str(finding)))
    if looked.of and looked.roster and not looked.findings:
        print(f"{looked.of.name}: {len(looked.roster.members)} students, no errors")
