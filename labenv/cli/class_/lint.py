"""The class lint command."""

from labenv.cli import common
from labenv.cli.class_.common import ClassOption, opened
from labenv.cli.common import JsonOption


def lint(folder: ClassOption = None, json: JsonOption = False) -> None:
    """Look a class over: its class.yaml, its roster, and the ids that students get.

    Examples:

      labenv class lint

      labenv class lint -c ops345
    """
    there = opened(folder)
    if json:
        common.print_json({"class": there.id, "students": [one.id for one in there.members]})
        return
    print(f"{there.name}: {len(there.members)} students")
