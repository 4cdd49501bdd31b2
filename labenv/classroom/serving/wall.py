"""Telling whoever has a terminal open in a machine something, as wall(1) does."""

import shlex

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import LabenvError
from labenv.text import one_line

# A terminal that was stopped with Ctrl-S takes nothing: each gets a second, beside the others.
_WALL = """\
for each in /dev/pts/[0-9]*; do
    [ -c $each ] && timeout 1 sh -c 'printf "\\r\\n*** %s\\r\\n" "$1" >"$2"' - {text} $each 2>/dev/null &
done
wait"""


def tell(engine: Engine, environment: Environment, text: str) -> None:
    """Say it in all terminals of all running machines; a machine that does not answer is left out."""
    for machine in environment.machines:
        if machine.state == "running":
            try:
                with engine.shell(machine) as shell:
                    shell.run(_WALL.format(text=shlex.quote(one_line(text))))
            except LabenvError:
                continue
