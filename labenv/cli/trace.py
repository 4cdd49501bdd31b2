"""The trace command."""

import shutil
import sys
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, NoPagerOption, StudentOption
from labenv.errors import LabenvError
from labenv.events import silent

if TYPE_CHECKING:
    from labenv.mail.trace import Trace


def complete_message(ctx: typer.Context, incomplete: str) -> list[str]:
    """`latest`, and the ids of the newest messages of the chosen student's environment."""
    from labenv.mail.trace import recent

    try:
        engine = common.open_engine(silent, start=False)
        ids = recent(common.chosen(engine, ctx.params.get("student")), engine)
    except LabenvError:  # completion stays quiet
        ids = []
    return [name for name in ("latest", *ids) if name.startswith(incomplete)]


def trace(
    message: Annotated[
        str,
        typer.Argument(
            metavar="MESSAGE-ID|latest",
            autocompletion=complete_message,
            help="A message id, with or without <>, or a queue id. Default: the latest message or refused attempt.",
        ),
    ] = "latest",
    student: StudentOption = None,
    json: JsonOption = False,
    no_pager: NoPagerOption = False,
) -> None:
    """Follow one message through the logs of all machines, to its file or to where it stopped, and say why.

    Exit code 0: the path was shown, whether or not the message arrived; 2: no machine knows the message.

    Examples:

      labenv trace

      labenv trace 20261122232523.95EE128A034@vm2.asmith15.ops

      labenv trace latest --json | jq -r .verdict
    """
    from labenv.mail import trace as traces

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        found = traces.trace(environment, engine, message)
    if json:
        common.print_json({"student": environment.student.id, **found.to_dict()})
    else:
        from labenv.cli import pager

        with pager.paged(no_pager):
            _show(found)


def _show(found: "Trace") -> None:
    """Print the path as a timeline, with the log lines dim below each event, and the verdict at the end."""
    from rich.console import Console
    from rich.text import Text

    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 10_000  # grep needs whole lines
    out = Console(highlight=False, width=width, soft_wrap=True)
    recipients = ", ".join(dict.fromkeys(end.recipient for end in found.ends))
    out.print(Text(f"{found.id or 'An attempt'}, from {found.sender or '<>'} to {recipients}", style="bold"))
    wide = max([5, *(len(moment.machine) for moment in found.moments)])
    margin = " " * (11 + wide)

    def folded(text: str) -> list[str]:
        return wrap(text, max(20, width - len(margin)), break_long_words=False, break_on_hyphens=False)

    for moment in found.moments:
        first, *more = folded(moment.words)
        out.print(Text.assemble((f"{moment.time:%H:%M:%S}  {moment.machine:<{wide}} ", "cyan"), first))
        for part in more:
            out.print(Text(margin + part))
        for part in (part for line in moment.lines for part in folded(line)):
            out.print(Text(margin + part, style="dim"))
    for note in found.notes:
        out.print(Text(note, style="yellow"))
    out.print(Text(found.verdict, style="bold green" if found.delivered else "bold red"))
