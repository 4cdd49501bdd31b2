"""Beginning a lab."""

from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: a-z, 0-9 and '-', beginning with a letter.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="The folder to make. Default: NAME in the current folder.")
    ] = None,
) -> None:
    """Write a small lab that works, with comments: the beginning of your own.

    It has two machines, three steps with checks, hints and solutions, faults and a drill. You are trusted with what you change there.

    Example:

      labenv lab new mylab
    """
    from labenv.lab import new as beginning

    made = beginning.write(name, folder or Path(name))
    print(f"Wrote {made}. Next:")
    for line in (
        "lab lint {}                      find errors",
        "up asmith15 --lab {} --at start  bring it up, before the first step",
        "lab test {}                      prove it on real machines",
    ):
        print(f"  labenv {line.format(beginning.shown(made))}")
