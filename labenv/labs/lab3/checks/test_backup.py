"""The sheet's own backup of the three virtual machines on host."""

from labenv.checks import backups
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.labs.lab3.checks.common import CLIENTS

_FILES = ("sysconfig/network-scripts/ifcfg-eth0", "sysconfig/iptables")


@step("35", machine=CLIENTS)
def test_backup_on_host(machine: Machine, host: Machine, evidence: Evidence) -> None:
    backups.is_kept(machine, host, _FILES, evidence)
