"""Whether each step holds: judged by what is in force, and best from another machine.

A check is a test that is bound to a step. It notes what it saw and what it expected, in the student's words, also when it passes. It
changes nothing in the machines.
"""

from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step


@step("1", machine="server")
def test_answers(client: Machine, server: Machine, evidence: Evidence) -> None:
    said = _greeting(client, server)
    evidence(said, f"on port 7000, server says: {said or 'nothing'}", "a line of text")


@step("1", machine="server")
def test_starts_at_boot(server: Machine, evidence: Evidence) -> None:
    state = server.run("systemctl is-enabled greeting.socket").stdout.strip()
    evidence(state == "enabled", f"greeting.socket is {state or 'not there'}", "enabled")


@step("2", machine="server")
def test_names_the_domain(client: Machine, server: Machine, domain: str, evidence: Evidence) -> None:
    said = _greeting(client, server)
    wanted = f"Welcome to {domain}"
    evidence(said.startswith(wanted), f"server says: {said}", wanted)


@step("3", machine="client")
def test_finds_server(client: Machine, server: Machine, evidence: Evidence) -> None:
    for name in ("server", server.fqdn):
        found = client.run("getent ahostsv4 %s", name).stdout.split()[:1]
        evidence(found == [server.address], f"client takes {name} for {' '.join(found) or 'nothing'}", server.address)


def _greeting(client: Machine, server: Machine) -> str:
    """The first line that server sends a caller. Raises CheckFailed if nobody answers."""
    called = client.run("nc -d -w 3 %s 7000", server.address)
    if called.rc:
        raise CheckFailed("client cannot connect to server on port 7000", "a connection")
    return str(called.stdout).partition("\n")[0]
