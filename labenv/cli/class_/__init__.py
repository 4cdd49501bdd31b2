"""The class commands: many students, from the roster to the gradebook."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Many students: from the roster to the gradebook.",
    epilog="Example: labenv class up -c ops345",
)
# Each command, in the order in which a teacher meets them, with its module here and the name of its function or command group there
# (labenv.cli.app, which loads a module when its command is called).
COMMANDS = {
    "init": "init.init",
    "lint": "lint.lint",
    "schema": "lint.schema",
    "plan": "plan.plan",
    "up": "up.up",
    "status": "status.status",
    "check": "check.check",
    "exec": "exec.execute",
    "drill": "drill.app",
    "matrix": "matrix.matrix",
    "save": "save.save",
    "export": "export.export",
    "reset": "reset.reset",
    "down": "down.down",
    "passwords": "passwords.passwords",
    "gate": "gate.gate",
    "serve": "serve.serve",
    "stop": "stop.stop",
    "audit": "audit.audit",
    "rubric": "rubric.rubric",
    "grade": "grade.grade",
    "grades": "grades.grades",
    "override": "override.override",
    "purge": "purge.purge",
}
