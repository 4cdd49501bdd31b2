"""What several modules of these checks use."""

from labenv.checks import units
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine

_SERVICES = ("networking", "nginx", "netfilter-persistent")


def service(machine: Machine, name: str, evidence: Evidence) -> None:
    """The service runs, starts at boot, and nothing will keep it from that."""
    unit = units.look(machine, _SERVICES)[name]
    saw = f"{name} is {unit.active or 'unknown'} and {unit.enabled or 'not installed'}"
    why = "; ".join(filter(None, (*unit.obstacles, unit.refusal)))
    evidence(
        (unit.active, unit.enabled) == ("active", "enabled"), f"{saw}: {why}" if why else saw, "active and enabled"
    )
    evidence(not why, f"{saw}, but will not start again: {why}" if why else saw, "active and enabled")
