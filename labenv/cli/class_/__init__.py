"""The class commands: many students, from the roster to the gradebook."""

import typer

from labenv.cli.class_ import audit, gate, init, lint, passwords, purge, serve, stop, up

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

app.command("passwords")(passwords.passwords)
app.command("gate")(gate.gate)
app.command("serve")(serve.serve)
app.command("stop")(stop.stop)
app.command("audit")(audit.audit)
app.command("purge")(purge.purge)
