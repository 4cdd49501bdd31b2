"""The note."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step


@step("1", machine="extra")
def test_there(extra: Machine, evidence: Evidence) -> None:
    said = extra.run("cat /etc/note").stdout.strip()
    evidence(bool(said), f"/etc/note says '{said}'" if said else "there is no note in /etc/note", "a note")
