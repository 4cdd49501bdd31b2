"""The `labenv` command with its commands in the order in which a person meets them."""

from typing import Annotated

import typer

from labenv import __version__
from labenv.cli import bench, checking, doctor, environments, images, machines

app = typer.Typer(
    name="labenv",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A mail lab of three machines in one command: BIND on [b]host[/b], Postfix on [b]vm2[/b], Postfix and Dovecot on "
    "[b]vm3[/b], under your own domain.",
    epilog="Start with [b]labenv up asmith15[/b]. Exit codes: 0 done, 1 a check failed, 2 wrong usage or bad input, "
    "3 the engine or a machine is not there or broke.",
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


app.command()(environments.up)
app.command()(environments.status)
app.command()(checking.check)
app.command()(machines.shell)
app.command("exec")(machines.execute)
app.command()(machines.logs)
app.command()(machines.reboot)
app.command()(environments.down)
app.command()(environments.render)
app.command()(doctor.doctor)
app.add_typer(images.app, name="images")
app.command()(bench.bench)
