"""Postfix and Dovecot as servers of a machine: which programs they are, and whether they hold their ports for the network."""

from labenv.checks import kernel, services
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.restarts import not_restarted
from labenv.mail.restarts import DOVECOT, needs_more_than_a_reload

# The programs that hold the ports, by their services. Postfix's change their user, and then no kernel names them.
PROGRAMS = {"postfix": ("/usr/lib/postfix/",), "dovecot": ("/usr/sbin/dovecot", "/usr/lib/dovecot/")}
_SERVES = {25: "postfix", 143: "dovecot"}


def listens(machine: Machine, port: int) -> tuple[set[str], str]:
    """The addresses on which a port of Postfix's or Dovecot's listens, and that in words, with what master.cf lacks if there is none."""
    addresses = services.listening(machine, port)
    saw = f"port {port} of {machine.name} listens on {', '.join(sorted(addresses)) or 'no address'}"
    if port == 25 and not addresses and not machine.run("postconf -M smtp/inet").stdout:
        saw += "; master.cf has no line for the service smtp inet"
    return addresses, saw


def on_every_interface(machine: Machine, port: int, evidence: Evidence) -> None:
    """The port listens for the network, at best on all IPv4 addresses, and the service that belongs to it holds it."""
    addresses, saw = listens(machine, port)
    served = addresses & {"0.0.0.0", machine.address}
    if not served and "master.cf" not in saw:
        saw += needs_more_than_a_reload(machine) if port == 25 else not_restarted(machine, DOVECOT)
    evidence(served, saw, "0.0.0.0, every interface")
    if "0.0.0.0" not in addresses:
        evidence.doubt(saw, "0.0.0.0, every interface")
    held_by_its_own(machine, port, evidence)


def held_by_its_own(machine: Machine, port: int, evidence: Evidence) -> None:
    """No other program holds the port than those of the service that belongs to it."""
    running = kernel.processes(machine)
    inodes = {socket.inode for socket in kernel.listeners(machine) if socket.near.port == port}
    service = _SERVES[port]
    # One that ended while it was looked at has no program any more: Dovecot's master starts others, which inherit its sockets.
    holders = [process for process in running if process.program and process.sockets & inodes]
    for process in holders:
        if not services.is_own(process, PROGRAMS[service]):
            saw = f"port {port} of {machine.name} belongs to {process.program} in {process.unit or 'no unit'}"
            evidence(False, saw, f"{PROGRAMS[service][0]} in {service}.service")
    if service == "dovecot" and services.names_programs(running) and not holders:
        evidence(False, f"port {port} of {machine.name} belongs to no process of Dovecot's", "Dovecot's master process")
