"""The class commands: many students, from the roster to the gradebook."""

import typer

from labenv.cli.class_ import grade, grades, init, lint, override, rubric

app = typer.Typer(
    no_args_is_help=True,
    help="Many students: from the roster to the gradebook.",
    epilog="Example: labenv class up -c ops345",
)
# One line a command, in the order in which a teacher meets them.
app.command("init")(init.init)
app.command("lint")(lint.lint)
app.command("schema")(lint.schema)
app.command("rubric")(rubric.rubric)
app.command("grade")(grade.grade)
app.command("grades")(grades.grades)
app.command("override")(override.override)
