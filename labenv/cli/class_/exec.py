"""The class exec command."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import AssignmentOption, ClassOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption


def execute(
    machine: Annotated[
        str,
        typer.Argument(
            metavar="MACHINE",
            autocompletion=common.complete_machine,
            help="A machine of each environment; labenv status lists them.",
        ),
    ],
    command: Annotated[list[str], typer.Argument(metavar="-- CMD…", help="The command and its arguments, after `--`.")],
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=3600, help="Stop the command after that time.")
    ] = 60,
    json: JsonOption = False,
) -> None:
    """Run one command in a machine of each student, as root. Each line of output begins with the student's id.

    The exit code is the highest of all.

    Examples:

      labenv class exec vm3 -- postconf -n mydestination

      labenv class exec host --only 'a*' -- sh -c 'tail -n 3 /var/log/messages'
    """
    from labenv.classroom.running import there as known
    from labenv.classroom.running.execute import execute as run_all

    of = opened(folder)
    common.if_interrupted("The command may have run in some of the machines. What it printed there is lost.")
    with screen.progress(quiet=True) as listen:
        engine = open_engine(of, listen)
        there = known.environments(engine, of, only, lab)
        coming = run_all(engine, there, machine, command, listen, seconds=timeout)
        done, errors = told.sorted_out(coming)
    if json:
        rows = [{"student": who, "code": ran.rc, "output": "\n".join(ran.lines)} for who, ran in done.items()]
        common.print_json(told.document(of, rows, errors))
    else:
        for who, ran in done.items():
            for line in ran.lines or ([] if not ran.rc else [f"(exit code {ran.rc}, no output)"]):
                print(f"{who}: {line}")
    told.finish(errors, len(done) + len(errors), at_least=max((ran.rc for ran in done.values()), default=0))
