"""The sheet's own backup of vm2 and vm3 on host."""

from labenv.checks import backups
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.labs.lab4a.checks.common import MAIL_MACHINES

_FILES = ("postfix/main.cf", "sysconfig/iptables")


@step("46", machine=MAIL_MACHINES)
def test_backup_on_host(machine: Machine, host: Machine, evidence: Evidence) -> None:
    backups.is_kept(machine, host, _FILES, evidence)
