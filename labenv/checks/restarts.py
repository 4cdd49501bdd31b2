"""Services that run with the settings from before a change: what was changed, and what makes it take effect.

Whether an edit needs that is not judged here: it is the explanation of a failure, never one. Programs that Postfix starts again
read main.cf by themselves, so a part of it may be in force already (master(8)).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from labenv.checks.machine import Machine

# What each service reads, and its name at the beginning of a sentence.
_NAMES = {"postfix": "Postfix", "dovecot": "Dovecot", "named": "named"}
# systemd knows of a reload through it, and of one that Dovecot made by itself. Postfix's own shows in the age of qmgr(8), which is
# started again; that of rndc(8) in what named says. The kernel counts a process's age from the boot, in hundredths of a second.
_ASK = r"""
echo now $(date +%s.%N) $(cut -d' ' -f1 /proc/uptime)
for name in master qmgr; do
    for pid in $(pgrep -x $name); do echo $name $(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20); done
done
systemctl show --timestamp=us+utc -p Id -p ActiveState -p StateChangeTimestamp dovecot named
echo
for name in main.cf master.cf; do find /etc/postfix -maxdepth 1 -type f -name $name -printf 'postfix %T@ %p\n'; done
find /etc/dovecot -type f -name '*.conf*' -printf 'dovecot %T@ %p\n'
find /etc/named.conf /var/named -maxdepth 1 -type f ! -name '*.jnl' ! -name '*.jbk' ! -name 'managed-keys*' -printf 'named %T@ %p\n'
true
"""
_CONFIGURED = "rndc status"


@dataclass(frozen=True)
class Stale:
    """A service, and the file of its own that was changed last after it read its files."""

    service: str
    machine: str
    path: str

    @property
    def remedy(self) -> str:
        """What to type."""
        return f"systemctl restart {self.service}"

    def __str__(self) -> str:
        """It as a sentence, with the way out."""
        name = _NAMES[self.service]
        return f"{name} on {self.machine} runs with the settings from before {self.path} was changed: {self.remedy}"


def stale(machine: Machine, service: str) -> Stale | None:
    """Whether "postfix", "dovecot" or "named" runs, and has not read its files since one of them was changed.

    Asked once for all checks of a run.
    """
    said = str(machine.once(_ASK).stdout)
    start = _began(said, service)
    if not start:
        return None
    changed = _changed(said, service, start)
    if changed and service == "named":
        found = re.search(r"^last configured: (.*)", str(machine.once(_CONFIGURED).stdout), re.MULTILINE)
        read = _moment(found[1], "%a, %d %b %Y %H:%M:%S GMT") if found else 0
        if read > start:
            changed = _changed(said, service, read + 1)  # rndc counts whole seconds
    return Stale(service, machine.name, changed) if changed else None


def not_restarted(machine: Machine, service: str) -> str:
    """`stale` as the end of a sentence, else nothing."""
    found = stale(machine, service)
    return f"; {found}" if found else ""


def all_stale(machine: Machine) -> list[Stale]:
    """What `stale` finds on a machine."""
    return [found for service in _NAMES if (found := stale(machine, service))]


def needs_more_than_a_reload(machine: Machine) -> str:
    """A remark if main.cf was changed since Postfix's master(8) started, else nothing: the interfaces are read only then (postconf(5))."""
    said = str(machine.once(_ASK).stdout)
    began = _age(said, "master")
    if not (began and _changed(said, "postfix", began)):
        return ""
    return f"; Postfix on {machine.name} was not restarted since main.cf was changed, and for inet_interfaces a reload is not enough: systemctl restart postfix"


def began(machine: Machine, service: str) -> float:
    """When a service last read its files, in seconds since 1970; 0 if it does not run."""
    return _began(str(machine.once(_ASK).stdout), service)


def _began(said: str, service: str) -> float:
    if service == "postfix":
        return _age(said, "qmgr")
    unit = re.search(rf"^Id={service}\.service\n(?:\w+=.*\n)*", said, re.MULTILINE)
    properties = dict(line.split("=", 1) for line in unit[0].splitlines()) if unit else {}
    if properties.get("ActiveState") != "active":
        return 0
    return _moment(properties.get("StateChangeTimestamp", ""), "%a %Y-%m-%d %H:%M:%S.%f UTC")


def _age(said: str, program: str) -> float:
    now = re.search(r"^now (\S+) (\S+)", said, re.MULTILINE)
    ticks = re.search(rf"^{program} (\d+)", said, re.MULTILINE)
    return float(now[1]) - float(now[2]) + int(ticks[1]) / 100 if now and ticks else 0


def _changed(said: str, service: str, began: float) -> str:
    """The service's file that was changed last, if that was after a time; "" if none was."""
    times = [(float(time), path) for time, path in re.findall(rf"^{service} ([\d.]+) (.+)", said, re.MULTILINE)]
    time, path = max(times, default=(0.0, ""))
    return path if time > began else ""


def _moment(text: str, form: str) -> float:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0
