"""Whether a machine's service runs, starts at boot, and listens: what systemd and the kernel say, as evidence."""

from labenv.checks import kernel, units
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine

_FEW = 3  # reasons that are shown


def listening(machine: Machine, port: int) -> set[str]:
    """The addresses on which a TCP port listens."""
    return {socket.near.address for socket in kernel.listeners(machine) if socket.near.port == port}


def runs(machine: Machine, name: str) -> bool:
    """Whether systemd has the service running."""
    return bool(machine.run("systemctl is-active --quiet %s", name).rc == 0)


def runs_and_starts(machine: Machine, name: str, evidence: Evidence, *, among: tuple[str, ...]) -> None:
    """The service runs and starts at boot (systemctl(1), UnitFileState: enabled-runtime lasts until the next boot).

    `among` are all services of the machine that the lab's checks judge: they are looked up together.
    """
    unit = units.look(machine, among)[name]
    saw = f"{name} on {machine.name} is {unit.active or 'unknown'} and {unit.enabled or 'not installed'}"
    why = "; ".join(unit.obstacles[:_FEW])
    if (unit.active, unit.enabled) != ("active", "enabled"):
        reason = why or unit.refusal or (units.wrong_line(machine, name) if unit.active == "failed" else "")
        by = "" if reason else machine.name
        evidence(False, f"{saw}: {reason}" if reason else saw, "active and enabled", by=by)
    if why:
        evidence(False, f"{saw}, but will not start at boot: {why}", "active and enabled, and started at boot")
    if unit.refusal:
        saw = f"{saw}, but systemd would not start it again: {unit.refusal}"
        evidence(False, f"{saw}. What a boot does, only labenv check --after-reboot shows", "it can be started")
    evidence(True, saw, "active and enabled")


def runs_its_program(
    machine: Machine, name: str, programs: tuple[str, ...], evidence: Evidence, *, among: tuple[str, ...], named: bool
) -> None:
    """The unit of a service has a process; where one of it stays root's, so that a kernel says its program (`named`), one of its own.

    `programs` are as for `is_own`, none if they are not known; `among` is as for `runs_and_starts`.
    """
    unit = units.look(machine, among)[name]
    saw = f"{name} on {machine.name} is {unit.active} and {unit.enabled}"
    running = kernel.processes(machine)
    mine = [process for process in running if process.unit == f"{name}.service"]
    own = [process for process in mine if is_own(process, programs)]
    if programs and running and not (own if named and names_programs(running) else mine):
        evidence(False, f"{saw}, but no process of its own program runs", f"{programs[0]} in {name}.service")
    if unit.changed:
        saw = f"{unit.changed[-1]} on {machine.name} was changed after {name} started"
        evidence.doubt(saw, f"restart {name}, or see what a boot makes of it with labenv check --after-reboot")


def is_own(process: kernel.Process, programs: tuple[str, ...]) -> bool:
    """Whether a process runs one of these programs, or one in a folder of them. One that was replaced since it started is " (deleted)" (proc(5))."""
    return any(
        process.program == own or (own.endswith("/") and process.program.startswith(own))
        for own in programs
        if not process.program.endswith(" (deleted)")
    )


def names_programs(running: list[kernel.Process]) -> bool:
    """Whether the kernel says which program a process runs."""
    return any(process.program for process in running if process.number == 1)
