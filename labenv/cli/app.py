"""The `labenv` command with its commands in the order in which a person meets them."""

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from labenv import __version__
from labenv.cli import (
    bench,
    checking,
    client,
    desktop,
    doctor,
    drill,
    environments,
    guide,
    handin,
    history,
    images,
    lab,
    machines,
    saves,
    solve,
    trace,
)


class _Chapters(TyperGroup):
    """Lists the commands in chapters, as many as they are."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each chapter with its commands, in the order in which they were added."""
        chapters: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            chapter = getattr(command, "rich_help_panel", None)
            chapters.setdefault(str(chapter), []).append((name, command.get_short_help_str(limit=200)))
        for chapter, rows in chapters.items():
            with formatter.section(chapter):
                formatter.write_dl(rows)


app = typer.Typer(
    name="labenv",
    cls=_Chapters,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: to draw it with Rich takes longer than all else that it does
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="A mail lab of three machines in one command: BIND on host, Postfix on vm2, Postfix and Dovecot on vm3, under "
    "your own domain.",
    epilog="Start with: labenv up asmith15. Exit codes: 0 done, 1 a check failed, 2 wrong usage or bad input, 3 the "
    "engine or a machine is not there or broke.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"labenv {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


CHAPTERS: dict[str, dict[str, Callable[..., None]]] = {
    "The machines": {
        "up": environments.up,
        "status": environments.status,
        "shell": machines.shell,
        "exec": machines.execute,
        "logs": machines.logs,
        "desktop": desktop.desktop,
        "client": client.client,
        "reboot": machines.reboot,
        "down": environments.down,
    },
    "Keeping it": {
        "save": saves.save,
        "restore": saves.restore,
        "saves": saves.saves,
        "reset": saves.reset,
        "export": saves.export,
        "import": saves.load,
        "history": history.history,
        "diff": history.diff,
        "when": history.when,
    },
    "The sheet": {
        "check": checking.check,
        "next": guide.next_,
        "hint": guide.hint,
        "solve": solve.solve,
        "trace": trace.trace,
        "logbook": handin.logbook,
    },
    "Handing in": {"evidence": handin.evidence, "submit": handin.submit, "review": handin.review},
    "Upkeep": {"doctor": doctor.doctor, "render": environments.render, "bench": bench.bench},
}
for _chapter, _commands in CHAPTERS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_chapter)(_command)
app.add_typer(drill.app, name="drill", rich_help_panel="The sheet")
app.add_typer(images.app, name="images", rich_help_panel="Upkeep")
app.add_typer(lab.app, name="lab", rich_help_panel="Upkeep")
