"""The sheet's own backup of the three virtual machines on host."""

from labenv.checks import backups
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step

_FILES = {
    "vm1": ("httpd/conf/httpd.conf", "sysconfig/iptables"),
    "vm2": ("postfix/main.cf", "sysconfig/iptables"),
    "vm3": ("dovecot/conf.d/10-ssl.conf", "sysconfig/iptables"),
}


@step("24", machine=("vm1", "vm2", "vm3"))
def test_backup_on_host(machine: Machine, host: Machine, evidence: Evidence) -> None:
    backups.is_kept(machine, host, _FILES[machine.name], evidence)
