"""The drill commands: find a fault in a working environment, and fix it."""

import typer

from labenv.cli.drill import files, practice, report

app = typer.Typer(
    no_args_is_help=True,
    help="Find a fault in a working environment, and fix it.",
    epilog="Example: labenv drill start --level 1",
)
for command in (practice.start, practice.status, practice.diagnose, practice.hint, practice.check):
    app.command()(command)
app.command("give-up")(practice.give_up)
app.command()(report.report)
app.command("list")(files.list_)
app.command()(files.lint)
app.command()(files.schema)
