"""What web servers note of the checks' own visits, taken out of their logs once a run has ended: a student reads there who was where.

visits.pl says how it knows the lines.
"""

import time
from contextlib import suppress
from pathlib import Path

from labenv.checks import lines
from labenv.checks.interface import Part
from labenv.checks.machine import Machine, Site
from labenv.errors import EngineError

PROGRAM = lines.program(Path(__file__).with_suffix(".pl"))


class Visits(Part):
    """The visits of one run."""

    def __init__(self, site: Site) -> None:
        """Remember when the run began."""
        super().__init__(site)
        self._began = int(time.time())

    def clean(self) -> None:
        """Take the run's lines out of the logs of each web server that was asked."""
        for machine in self.site.machines.values():
            if requests := [line for host, line in self._asked(machine)]:
                addresses = {"127.0.0.1", *self.site.names}
                addresses |= {source for one in self.site.machines.values() for _, source in one.dialled if source}
                with suppress(EngineError):  # a machine that does not answer keeps them
                    machine.run(
                        "perl -e %s %s %s %s", PROGRAM, " ".join(addresses), str(self._began), "\n".join(requests)
                    )

    def _asked(self, machine: Machine) -> list[tuple[str, str]]:
        own = [(host, line) for host, line in machine.requested if host.startswith("127.")]
        others = [one for other in self.site.machines.values() for one in other.requested]
        return own + [(host, line) for host, line in others if host in (machine.address, machine.fqdn)]
