"""The evidence command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, MachineArgument, StudentOption, write_text
from labenv.cli.output import document

if TYPE_CHECKING:
    pass


def evidence(
    machine: MachineArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to this file.")
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Print the evidence that the course's own check collects on a machine, to hand it in.

    Example:

      labenv evidence vm3 -o vm3.txt
    """
    from dataclasses import asdict

    from labenv.classroom.handins import evidence as core

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        found = core.collect(engine, common.chosen(engine, student), machine)
    for remark in found.remarks:
        print(remark, file=sys.stderr)
    if output:
        write_text(output, found.text)
    if json:
        common.print_json(asdict(found))
    elif not output:
        document(found.text)
