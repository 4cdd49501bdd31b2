"""Machines that are to have another host name: they are made again under it, with all that is in them.

An engine gives a container its name when it makes it, and lets nothing change it afterwards.
"""

from collections.abc import Iterable

from labenv.engine import Engine, hostname, save_store
from labenv.environment import Environment, Machine
from labenv.environments import machines, saves
from labenv.environments.changing import Change
from labenv.environments.recovery import plan_of
from labenv.events import Listener, announced

_STORE = "[ ! -x /usr/lib/labenv/setup ] || /usr/lib/labenv/setup save"


def wished(engine: Engine, there: Iterable[Machine]) -> dict[str, str]:
    """The names that running machines are to have instead of theirs, by machine. Raises EngineError."""
    names = {}
    for machine in there:
        with engine.shell(machine) as shell:
            now = shell.run(f"{_STORE}; exec cat /proc/sys/kernel/hostname").text.strip()
        wish = hostname.wished(engine, machine.container)
        if wish and wish != now:
            names[machine.name] = wish
    return names


def boot_renamed(engine: Engine, change: Change, names: dict[str, str], listen: Listener, *, hard: bool) -> None:
    """Boot machines under their new names; the power of `hard` ones fails first. Raises EngineError.

    If this is interrupted, the next command that changes the environment finishes it.
    """
    for machine in (change.environment.machine(name) for name in names):
        with announced(listen, machine.name, f"making {machine.name} again under the name {names[machine.name]}"):
            engine.stop(machine.container, hard=hard)
    there: Environment = change.environment
    kept = saves.take(engine, there, None, listen, stem="before-rename")
    noted = save_store.note(engine, there.student.id, "restoring", kept.stamp)
    plan = plan_of(kept, noted.nonce)
    for name in names:
        engine.remove_machine(there.machine(name).container)
    machines.make(engine, plan, [node for node in plan.topology.nodes if node.name in names], listen)
    save_store.drop(engine, noted)
    save_store.remove(engine, kept)
