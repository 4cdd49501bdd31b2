"""The swarm leave command."""

import sys

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import DryRunOption
from labenv.cli.common import YesOption


def leave(yes: YesOption = False, dry_run: DryRunOption = False) -> None:
    """Have this server leave its swarm; on the manager, end labenv's services and the swarm.

    A node is drained first (labenv swarm drain, on the manager). On the manager, all environments are pushed and removed; what was pushed
    stays there, as a save of each student. The other nodes then leave by themselves: labenv swarm leave

    Examples:

      labenv swarm leave --dry-run

      labenv swarm leave
    """
    from labenv.swarm import init as core

    with screen.progress() as listen:
        engine = common.open_local_engine(listen)
        what = core.leaving(engine)
    if dry_run:
        print(f"Would {what}.", file=sys.stderr)
        return
    if not told.agreed(f"{what[0].upper()}{what[1:]}?", [], yes=yes):
        raise typer.Exit(0)
    with screen.progress() as listen:
        core.leave(engine, listen)
    print("This server is in no swarm now.")
