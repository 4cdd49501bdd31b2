"""Commands for authors of labs."""

import typer

from labenv.cli.lab import files, found, new, proof

app = typer.Typer(
    no_args_is_help=True,
    help="Tools for lab authors: begin a lab, find errors in a lab, prove it on real machines, print schemas, list and trust labs.",
    epilog="Example: labenv lab new mylab",
)
app.command()(new.new)
app.command()(files.lint)
app.command("test")(proof.prove)
app.command()(files.schema)
app.command("list")(found.list_)
app.command()(found.trust)
