"""Machines that are to have another host name: they are made again under it, with all that is in them.

An engine gives a container its name when it makes it, and lets nothing change it afterwards.
"""

from collections.abc import Sequence
from contextlib import suppress

from labenv.engine import Engine, hostname, save_store
from labenv.environment import Machine
from labenv.environments import machines, saves
from labenv.environments.changing import Change
from labenv.environments.recovery import plan_of
from labenv.errors import EngineError
from labenv.events import Listener, announced
from labenv.parallel import Together

_STORE = "[ ! -x /usr/lib/labenv/setup ] || /usr/lib/labenv/setup save"
_PATIENCE = 5.0  # seconds; a machine that is stuck is rebooted for that


def wished(engine: Engine, there: Sequence[Machine]) -> dict[str, str]:
    """The names that running machines are to have instead of theirs, by machine. Raises EngineError."""

    def wish(machine: Machine) -> str | None:
        with suppress(EngineError), engine.shell(machine) as shell:
            shell.run(_STORE, timeout=_PATIENCE)
        name = hostname.wished(engine, machine.container)
        return name if name and name != hostname.current(engine, machine.container) else None

    with Together(len(there)) as pool:
        return {machine.name: name for machine, name in zip(there, pool.map(wish, there), strict=True) if name}


def boot_renamed(engine: Engine, change: Change, names: dict[str, str], listen: Listener, *, hard: bool) -> None:
    """Boot machines under their new names; the power of `hard` ones fails first. Raises EngineError.

    If this is interrupted, the next command that changes the environment finishes it.
    """

    def stop(machine: Machine) -> None:
        with announced(listen, machine.name, f"making {machine.name} again under the name {names[machine.name]}"):
            engine.stop(machine.container, hard=hard)

    with Together(len(names)) as pool:
        list(pool.map(stop, [change.environment.machine(name) for name in names]))
    there = change.environment
    kept = saves.take(engine, there, None, listen, stem="before-rename")
    noted = save_store.note(engine, there.student.id, "restoring", kept.stamp)
    plan = plan_of(engine, kept, noted.nonce)
    for name in names:
        engine.remove_machine(there.machine(name).container)
    machines.make(engine, plan, [node for node in plan.topology.nodes if node.name in names], listen)
    save_store.drop(engine, noted)
    save_store.remove(engine, kept)
