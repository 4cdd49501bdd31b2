"""The sheet's own backup of vm2 and vm3 on host."""

from labenv.checks import backups
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step

_FILES = {
    "vm2": ("postfix/main.cf", "sysconfig/iptables"),
    "vm3": ("postfix/main.cf", "sysconfig/iptables", "dovecot/dovecot.conf", "dovecot/conf.d/10-mail.conf"),
}


@step("48", machine=("vm2", "vm3"))
def test_backup_on_host(machine: Machine, host: Machine, evidence: Evidence) -> None:
    backups.is_kept(machine, host, _FILES[machine.name], evidence)
