"""The options of `up` and `render` that say which environment to create."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common
from labenv.lab import labs

if TYPE_CHECKING:
    pass


NetOption = Annotated[
    int | None,
    typer.Option(
        "--net", metavar="X", help="The X of 192.168.X.0/24. Default: derived from the id, or the next free one."
    ),
]
FirstOption = Annotated[
    str | None,
    typer.Option("--first", metavar="NAME", help="First name, for the sheet's second account. Default: from the id."),
]
StageOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="STAGE",
        autocompletion=common.complete_stage,
        help="Stage to enter, of those that `labenv lab list` shows. Default: the last, the finished sheet.",
    ),
]
LabOption = Annotated[
    str | None,
    typer.Option(
        "--lab",
        metavar="NAME|FOLDER",
        autocompletion=common.complete_lab,
        help=f"The lab: its name, or its folder. Default: {labs.default()}.",
    ),
]
TopologyOption = Annotated[
    Path | None, typer.Option("--topology", metavar="FILE", help="Use your own topology instead of the lab's.")
]
OutsideOption = Annotated[
    bool,
    typer.Option(
        "--outside",
        help="Short for --with outside, the world outside: other domains, and the account <id>@myseneca.ca.",
    ),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="PROFILE",
        autocompletion=common.complete_profile,
        help="Add the optional machines of this profile of the lab's topology, now or later. Repeatable.",
    ),
]


def profiles(outside: bool, others: list[str] | None) -> frozenset[str]:
    """The topology profiles that the options select."""
    return frozenset({*(["outside"] if outside else ()), *(others or ())})
