"""When nginx and Apache last read their files."""

import re
from dataclasses import dataclass

from labenv.checks.machine import Machine
from labenv.checks.restarts import FOUND, Service


@dataclass(frozen=True)
class Forking(Service):
    """A server that reads its files for its workers: on a signal it replaces them, and systemd does not hear of that."""

    def began(self, machine: Machine) -> float:
        """When its oldest worker started, in seconds since 1970; 0 if it does not run. A busy server starts more of them at any time."""
        start = super().began(machine)
        if not start or not self.changed(machine, start):
            return start
        main = f"$(systemctl show -p MainPID --value {self.unit})"
        said = machine.once(f"date +%s; ps --ppid {main} -o etimes=").stdout
        now, *ages = map(int, re.findall(r"\b[0-9]{1,10}\b", said)) or (0,)
        return max(start, now + 1 - max(ages, default=now))  # ps counts whole seconds


NGINX = Forking("nginx", "nginx", f"find /etc/nginx -type f {FOUND}")
# In a folder, a package's own files have the time at which they were packed; the folder has that of the installation.
HTTPD = Forking(
    "httpd", "Apache", f"find /etc/httpd/conf* /etc/php.ini /etc/php.d/ ! -name '.*.sw?' {FOUND} 2>/dev/null"
)
APACHE = Forking("apache2", "Apache", f"find /etc/apache2 -type f {FOUND}")
