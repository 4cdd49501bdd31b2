"""When Postfix and Dovecot last read their files.

Programs that Postfix starts again read main.cf by themselves, so a part of it may be in force already (master(8)).
"""

import re
from dataclasses import dataclass

from labenv.checks.machine import Machine
from labenv.checks.restarts import FOUND, Service

# The kernel counts a process's age from the boot, in hundredths of a second.
_AGES = r"""
echo now $(date +%s.%N) $(cut -d' ' -f1 /proc/uptime)
for name in master qmgr; do
    for pid in $(pgrep -x $name); do echo $name $(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20); done
done
"""


@dataclass(frozen=True)
class Postfix(Service):
    """Postfix: a reload shows in the age of qmgr(8) alone, which is started again."""

    @property
    def ask(self) -> str:
        """The command that a machine is asked with."""
        return f"{_AGES}echo; {self.files}; true"

    def began(self, machine: Machine) -> float:
        """When it last read main.cf, in seconds since 1970; 0 if it does not run."""
        return self.age(machine, "qmgr")

    def age(self, machine: Machine, program: str) -> float:
        """When a program of Postfix's started, likewise."""
        said = self._said(machine)[0]
        now = re.search(r"^now (\S+) (\S+)", said, re.MULTILINE)
        ticks = re.search(rf"^{program} (\d+)", said, re.MULTILINE)
        return float(now[1]) - float(now[2]) + int(ticks[1]) / 100 if now and ticks else 0


POSTFIX = Postfix(
    "postfix", "Postfix", rf"find /etc/postfix -maxdepth 1 -type f \( -name main.cf -o -name master.cf \) {FOUND}"
)
DOVECOT = Service("dovecot", "Dovecot", f"find /etc/dovecot -type f -name '*.conf*' {FOUND}")


def needs_more_than_a_reload(machine: Machine) -> str:
    """A remark if main.cf was changed since Postfix's master(8) started, else nothing: the interfaces are read only then (postconf(5))."""
    began = POSTFIX.age(machine, "master")
    if not (began and POSTFIX.changed(machine, began)):
        return ""
    return f"; Postfix on {machine.name} was not restarted since main.cf was changed, and for inet_interfaces a reload is not enough: systemctl restart postfix"
