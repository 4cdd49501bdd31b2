"""What several modules of these checks look at."""

from labenv.checks import firewall
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine


def listening(machine: Machine, port: int) -> set[str]:
    """The addresses on which a TCP port listens."""
    lines = machine.output(f"ss -ltnH 'sport = :{port}'").splitlines()
    return {line.split()[3].rpartition(":")[0] for line in lines}


def on_every_interface(machine: Machine, port: int, evidence: Evidence) -> None:
    """The port listens on all IPv4 addresses."""
    addresses = listening(machine, port)
    shown = ", ".join(sorted(addresses)) or "no address"
    evidence(
        addresses & {"0.0.0.0", "*"}, f"port {port} of {machine.name} listens on {shown}", "0.0.0.0, every interface"
    )


def service(machine: Machine, name: str, evidence: Evidence) -> None:
    """The service runs, and starts with the machine."""
    unit = machine.service(name)
    runs, starts = unit.is_running, unit.is_enabled
    saw = f"{name} on {machine.name} is {'active' if runs else 'inactive'} and {'enabled' if starts else 'disabled'}"
    evidence(runs and starts, saw, "active and enabled")


def let_in_at_boot(machine: Machine, source: str, port: int) -> str:
    """What the rules that iptables.service loads at boot do with a new connection: ACCEPT, DROP or REJECT."""
    saved = machine.output("cat /etc/sysconfig/iptables")
    return firewall.parse(saved).verdict(firewall.Connection(source, machine.address, port))


def rules_load(machine: Machine, evidence: Evidence) -> None:
    """The saved rules are valid and are loaded at boot."""
    service(machine, "iptables", evidence)
    test = machine.run("iptables-restore --test /etc/sysconfig/iptables")
    complaint = f": {test.stderr.strip().splitlines()[0]}" if test.stderr.strip() else ""
    evidence(
        test.rc == 0, f"/etc/sysconfig/iptables {'can' if test.rc == 0 else 'cannot'} be loaded{complaint}", "it can"
    )
