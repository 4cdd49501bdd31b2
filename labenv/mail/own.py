"""The student's own messages in the machines' logs: evidence for steps that leave no other trace."""

from dataclasses import dataclass, field
from datetime import datetime

from labenv.checks.machine import Machine, Site
from labenv.errors import EngineError, making_sense
from labenv.mail import maillog
from labenv.mail.maillog import Delivery
from labenv.mail.office import PROBE, Office, Station
from labenv.mail.postroom import Postroom

# When main.cf was last changed, and what Postfix logged about messages that are not labenv's. Compressed rotated logs are
# not read: this runs with every check.
_LINES = rf"""
[ -f /etc/postfix/main.cf ] && [ -f /var/log/maillog ] || exit
date '+%Y-%m-%dT%H:%M:%S'
date -r /etc/postfix/main.cf '+%Y-%m-%dT%H:%M:%S'
logs=$(ls -tr /var/log/maillog* | grep -v '\.[gx]z$')
awk '
  pass == 1 {{ if (/message-id=<{PROBE}/) probe[$6] = 1; next }}
  $5 ~ /^postfix/ && !($6 in probe)
' pass=1 $logs pass=2 $logs | tail -c {maillog.LARGEST}
"""


@dataclass(frozen=True)
class OwnMail:
    """The student's own messages, and when main.cf was last changed on each machine."""

    office: Office
    changed: dict[str, datetime] = field(default_factory=dict)

    def crossed(self, start: str, end: str, *, to: str = "", sender: str = "") -> tuple[Station, Delivery] | None:
        """The student's last message that went from a machine to another (to one recipient, from one sender, if given).

        Returns its time on the other machine, and the delivery that took it there. It was sent from the command line, and
        with both main.cf in their current state.
        """
        for station in reversed(self.office.messages()):
            if station.machine == start and station.hop.user and self.is_now(station, start, end):
                for place, then in station.onward.items():
                    delivery = station.hop.deliveries[place]
                    if (
                        then.machine == end
                        and to in ("", delivery.to)
                        and sender in ("", (then.hop.sender or "").lower())
                    ):
                        return then, delivery
        return None

    def is_now(self, station: Station, *machines: str) -> bool:
        """Whether a message came after main.cf was last changed on these machines: then mail still takes the same way."""
        return all(name in self.changed and station.time >= self.changed[name] for name in machines)

    def kept(self, machine: str, to: str, sender: str) -> Station | None:
        """The last message from a sender that was put into a mailbox on a machine, at any time."""
        for station in reversed(self.office.stations):
            local = [
                d
                for d in station.hop.deliveries
                if to in (d.to, d.orig_to) and d.relay == "local" and d.status == "sent"
            ]
            if station.machine == machine and (station.hop.sender or "").lower() == sender and local:
                return station
        return None


def own_mail(site: Site) -> OwnMail:
    """Read the logs of all machines that have Postfix. Machines that do not run are left out.

    Raises EngineError if an answer makes no sense.
    """
    rooms: dict[str, Postroom] = {}
    changed = {}
    for machine in site.machines.values():
        if lines := _lines(machine):
            now, at, log = lines
            with making_sense(machine.name):
                rooms[machine.name] = Postroom(maillog.read(log, datetime.fromisoformat(now)))
                changed[machine.name] = datetime.fromisoformat(at)
    return OwnMail(Office(rooms, site.names), changed)


def _lines(machine: Machine) -> tuple[str, str, str] | None:
    try:
        said = machine.channel.run(_LINES, most=2 * maillog.LARGEST).text
    except EngineError:  # the checks that need this machine report it
        return None
    now, _, rest = said.partition("\n")
    at, _, log = rest.partition("\n")
    return (now, at, log) if at else None
