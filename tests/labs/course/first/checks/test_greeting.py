"""The greeting."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step


@step("1", machine="server")
def test_there(server: Machine, evidence: Evidence) -> None:
    said = server.run("cat /etc/greeting").stdout.strip()
    evidence(
        bool(said), f"/etc/greeting says '{said}'" if said else "there is no greeting in /etc/greeting", "a greeting"
    )
