"""The `labenv` command and its commands, in the order in which a person meets them.

A command's module is loaded when that command is called: loading all of them takes as long as the work of most commands.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer._click.exceptions import MissingParameter
from typer._click.exceptions import UsageError as BadUsage
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from labenv import __version__
from labenv.errors import Interrupted, UsageError

# Each command, with its module and the name of its function or command group there.
CHAPTERS: dict[str, dict[str, str]] = {
    "Machines": {
        "up": "up.up",
        "status": "status.status",
        "graph": "graph.graph",
        "shell": "shell.shell",
        "exec": "exec.execute",
        "logs": "logs.logs",
        "capture": "capture.capture",
        "serve": "serve.serve",
        "desktop": "desktop.desktop",
        "client": "client.client",
        "tunnel": "tunnel.tunnel",
        "impair": "impair.impair",
        "reboot": "reboot.reboot",
        "down": "down.down",
    },
    "Saves and history": {
        "save": "save.save",
        "restore": "restore.restore",
        "saves": "saves.saves",
        "reset": "reset.reset",
        "export": "export.export",
        "import": "import_.load",
        "history": "history.history",
        "diff": "diff.diff",
        "when": "when.when",
    },
    "The sheet": {
        "check": "check.check",
        "next": "next.next_",
        "hint": "hint.hint",
        "solve": "solve.solve",
        "tick": "tick.tick",
        "trace": "trace.trace",
        "logbook": "logbook.logbook",
        "advance": "advance.advance",
        "drill": "drill.app",
    },
    "Handing in": {
        "evidence": "evidence.evidence",
        "submit": "submit.submit",
        "review": "review.review",
        "replay": "replay.replay",
    },
    "Many students": {"class": "class_.app", "swarm": "swarm.app"},
    "Maintenance": {
        "doctor": "doctor.doctor",
        "render": "render.render",
        "bench": "bench.bench",
        "images": "images.app",
        "lab": "lab.app",
    },
}
INTERRUPTED = "labenv.interrupted"  # in a command's context: what labenv.cli.common.if_interrupted was told
_PLACES = {name: place for chapter in CHAPTERS.values() for name, place in chapter.items()}


@cache
def _loaded(name: str, place: str) -> Any:
    module, _, attribute = place.rpartition(".")
    home = import_module(f"labenv.cli.{module}")
    found = getattr(home, attribute)
    around = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name, cls=_Group)
    else:
        around.command(name)(found)
    made = get_command(around)
    command: Any = made.commands[name] if isinstance(made, TyperGroup) else made
    _accept_plain(command)
    if places := getattr(home, "COMMANDS", None):  # a group whose commands are loaded in the same way
        command.commands = _Commands({below: f"{module}.{place}" for below, place in places.items()})
    return command


def _accept_plain(command: Any) -> None:
    """Let `--plain` stand behind a command too. It was read already, before anything was printed (labenv.cli.output)."""
    command.params.append(TyperOption(param_decls=["--plain"], is_flag=True, expose_value=False, hidden=True))
    for below in getattr(command, "commands", {}).values():
        _accept_plain(below)


class _Commands(Mapping[str, Any]):
    """The commands at these places, by name; each is loaded when it is first used."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, name: str) -> Any:
        return _loaded(name, self._places[name])


class _Group(TyperGroup):
    """A command group whose help shows the whole first sentence of each command."""

    def chapters(self) -> Mapping[str, Iterable[str]]:
        """The commands under each heading."""
        return {"Commands": self.commands}

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, one section per heading."""
        for heading, names in self.chapters().items():
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(limit=200)) for name in names])


class _Chapters(_Group):
    """The commands of `labenv` itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": _Commands(_PLACES)})

    def chapters(self) -> Mapping[str, Iterable[str]]:
        """The headings of `labenv --help`."""
        return CHAPTERS

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Raises Interrupted on Ctrl-C, with what the command said for that case: Typer would print nothing.

        Raises UsageError for a missing argument, and for a student who is named without -s.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted(*ctx.meta.get(INTERRUPTED, ())) from None
        except MissingParameter as error:
            if error.ctx is None or error.param is None:
                raise
            raise UsageError(_missing(error.ctx, error.param)) from error
        except BadUsage as error:
            if error.ctx is None or not (way_out := _named_bare(error.ctx, error.message)):
                raise
            raise UsageError(way_out) from error


def _named_bare(ctx: Any, said: str) -> str:
    """What to type for one argument too many, which may be a student's id as `up` takes it; "" for any other error."""
    extra = re.fullmatch(r"Got unexpected extra argument\(s\) \(([a-z0-9-]+)\)", said)
    if not extra or not any("--student" in param.opts for param in ctx.command.params):
        return ""
    name = ctx.command_path.partition(" ")[2]
    return f"{name} does not take '{extra[1]}'. If it is a student's id, type -s before it: -s {extra[1]}"


def _missing(ctx: Any, param: Any) -> str:
    """What a command still needs, with the first example of its help."""
    name = ctx.command_path
    said = (param.help or "").rstrip(".").partition(". ")[0]
    examples = [line.strip() for line in (ctx.command.help or "").splitlines() if line.strip().startswith(f"{name} ")]
    what = f"{param.make_metavar(ctx).strip('{}')}{f' ({said[0].lower()}{said[1:]})' if said else ''}"
    return f"{name.partition(' ')[2]} needs {what}. {f'Example: {examples[0]}' if examples else f'Help: {name} -h'}"


app = typer.Typer(
    name="labenv",
    cls=_Chapters,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: drawing it with Rich takes longer than everything else
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="The labs of a course in system administration: the sheet's machines in one command, with real systemd, under your "
    "own domain.",
    epilog="Start with: labenv up asmith15. Exit codes: 0 done, 1 a check failed, 2 wrong usage or bad input, 3 the "
    "engine or a machine is missing or failed.",
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
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Words for signs, no colours, nothing that moves, for screen readers: labenv --plain check. Always: "
            "export LABENV_PLAIN=1",
        ),
    ] = False,
) -> None:
    pass
