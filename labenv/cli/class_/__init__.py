"""The class commands: many students, from the roster to the gradebook."""

import typer

from labenv.cli.class_ import (
    audit,
    check,
    down,
    drill,
    export,
    gate,
    grade,
    grades,
    init,
    lint,
    matrix,
    override,
    passwords,
    purge,
    reset,
    rubric,
    save,
    serve,
    status,
    stop,
    up,
)
from labenv.cli.class_ import exec as exec_

app = typer.Typer(
    no_args_is_help=True,
    help="Many students: from the roster to the gradebook.",
    epilog="Example: labenv class up -c ops345",
)
# One line a command, in the order in which a teacher meets them.
app.command("init")(init.init)
app.command("lint")(lint.lint)
app.command("schema")(lint.schema)
app.command("up")(up.up)
app.command("status")(status.status)
app.command("check")(check.check)
app.command("exec")(exec_.execute)
app.add_typer(drill.app, name="drill")
app.command("matrix")(matrix.matrix)
app.command("save")(save.save)
app.command("export")(export.export)
app.command("reset")(reset.reset)
app.command("down")(down.down)
app.command("passwords")(passwords.passwords)
app.command("gate")(gate.gate)
app.command("serve")(serve.serve)
app.command("stop")(stop.stop)
app.command("audit")(audit.audit)
app.command("rubric")(rubric.rubric)
app.command("grade")(grade.grade)
app.command("grades")(grades.grades)
app.command("override")(override.override)
app.command("purge")(purge.purge)
