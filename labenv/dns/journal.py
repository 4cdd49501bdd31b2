"""What named logged about its zones since it started."""

import re

from labenv.checks.machine import Machine
from labenv.text import one_line

_LARGEST = 200_000  # bytes
# Of its current start, the lines about zones and files; the rest is about names that it cannot look up.
_ASK = (
    "journalctl -q --no-pager -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value named) "
    rf"| grep -E '^(zone |dns_|/|[^ ]+:[0-9]+: )' | tail -c {_LARGEST}"
)
_ZONE = re.compile(r"zone ([^/\s]+)/IN(?:/\S+)?: (.*)")


# Complaints that are about no zone.
_OF_NO_ZONE = re.compile(r"(none|/etc/named\.conf):\d+: ")


def denial(machine: Machine, name: str, client: str) -> str:
    """The last line in which named says that it refused a question of a client about a name; "" if there is none."""
    journal = "journalctl -q --no-pager -o cat -u named -n 2000"
    asked = f"{journal} | grep -F %s | grep -F %s | grep -w denied | tail -n 1"
    said = machine.run(asked, f"query '{name}/", f" {client}#").stdout
    return one_line(re.sub(r"^client @\S+ ", "client ", said.strip()))[:300]


def refused_zones(machine: Machine) -> dict[str, str]:
    """The zones that named refused when it last read their files, each with the first line of its own that says why."""
    refused: dict[str, str] = {}
    before: list[str] = []
    for line in str(machine.once(_ASK).stdout).splitlines():
        about = _ZONE.match(line)
        if about and about[2].startswith("loaded serial"):
            refused.pop(about[1].lower(), None)
            before = []
        elif about and ("not loaded" in about[2] or "failed: " in about[2]):
            refused.setdefault(about[1].lower(), one_line((before or [line])[0])[:300])
            before = []
        elif not _OF_NO_ZONE.match(line):
            before.append(line)
    return refused
