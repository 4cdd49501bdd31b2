"""The class commands: many students, from the roster to the gradebook."""

import typer

from labenv.cli.class_ import init, lint, matrix

app = typer.Typer(
    no_args_is_help=True,
    help="Many students: from the roster to the gradebook.",
    epilog="Example: labenv class up -c ops345",
)
# One line a command, in the order in which a teacher meets them.
app.command("init")(init.init)
app.command("lint")(lint.lint)
app.command("schema")(lint.schema)
app.command("matrix")(matrix.matrix)
