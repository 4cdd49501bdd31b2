"""When named last read its files."""

import re
from dataclasses import dataclass

from labenv.checks.machine import Machine
from labenv.checks.restarts import FOUND, Service, moment

_CONFIGURED = "rndc status"


@dataclass(frozen=True)
class Named(Service):
    """BIND: what rndc(8) reloads, systemd does not hear of."""

    def began(self, machine: Machine) -> float:
        """When it last read named.conf and the zones, in seconds since 1970; 0 if it does not run."""
        start = super().began(machine)
        if not start or not self.changed(machine, start):
            return start
        found = re.search(r"^last configured: (.*)", str(machine.once(_CONFIGURED).stdout), re.MULTILINE)
        read = moment(found[1], "%a, %d %b %Y %H:%M:%S GMT") if found else 0
        return read + 1 if read > start else start  # rndc counts whole seconds


# What named itself writes is none of its settings.
NAMED = Named(
    "named",
    "named",
    "find /etc/named.conf /etc/bind /var/named -maxdepth 1 -type f"
    f" ! -name '*.jnl' ! -name '*.jbk' ! -name 'managed-keys*' {FOUND}",
)
