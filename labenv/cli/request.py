"""The options of `up` and `render` that say which environment to create."""

from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common

NetOption = Annotated[
    int | None,
    typer.Option(
        "--net", metavar="X", help="The X of 192.168.X.0/24. Default: derived from the id, or the next free one."
    ),
]
SharedOption = Annotated[
    bool,
    typer.Option(
        "--shared-x",
        help="If another environment has the same X, take the same addresses. Then no ports are published: see labenv tunnel.",
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
        help="A lab of `labenv lab list`, which marks the default, or a lab's folder: ./mylab.",
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
