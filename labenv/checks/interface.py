"""What a kit brings: a package of labenv that several labs use beside the core, such as labenv/mail.

A lab names its kits in lab.yaml. Each has a module `kit` with a `KIT`. The core knows no more of a kit than is here.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from labenv.checks.carried import Law
from labenv.checks.machine import Machine, Site
from labenv.checks.restarts import Service
from labenv.lab import kits
from labenv.lab.model import Lab


class Setting(Protocol):
    """A setting of a server."""

    @property
    def name(self) -> str:
        """Its name, as a step's `settings` have it."""
        ...


class Complaint(Protocol):
    """Why a server erred, in its own words; as text, a clause. `setting` is the one that it is about, if the words tell."""

    @property
    def words(self) -> str:
        """The server's own words."""
        ...

    @property
    def setting(self) -> Setting | None:
        """The setting."""
        ...


class Part:
    """What a kit does in one run of the checks. This one does nothing: a kit's own class has what it needs.

    `brings` are things that the lab's checks and probes ask for by name, as fixtures.
    """

    def __init__(self, site: Site) -> None:
        """Work in these machines; open nothing yet."""
        self.site = site
        self.brings: Mapping[str, object] = {}

    def give_up(self) -> None:
        """Let no probe wait any more: what they could show does not matter."""

    def clean(self) -> None:
        """Remove what the run left in the machines. All checks have been judged, and no connection is open."""

    def explained(self, machine: Machine, seconds: int) -> Complaint | None:
        """What the kit's servers on a machine logged against themselves in the last seconds, if that explains anything."""
        return None

    def remarks(self, lab: Lab, began: float) -> list[tuple[str, str]]:
        """Steps, in their order, each with what was tried there in vain before the run began (time.monotonic).

        It is told although the step's checks pass, as a sentence without its end.
        """
        return []


@dataclass(frozen=True)
class Watched:
    """What `labenv check --watch` looks at in a machine beside /etc, root's files, the users', and those of which the lab keeps a history.

    `paths` are files and folders. `names` are folders, with the wildcards of a shell, of whose files only the names count, `sizes`
    files of which only the size does. `logs` are logs, and the pattern of lines in which a service says that it starts, stops or
    reads its files.
    """

    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    logs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kit:
    """A kit: what it does in a run, the services whose files may have been changed since they read them, what to watch.

    `laws` say what of its servers' files is carried to clean machines.
    """

    part: type[Part] = Part
    services: tuple[Service, ...] = ()
    watched: Watched = field(default_factory=Watched)
    laws: tuple[Law, ...] = ()


def of(lab: Lab) -> tuple[Kit, ...]:
    """The kits of a lab, in its own order. Raises UsageError for one that there is not."""
    return tuple(_kit(name) for name in lab.kits)


def _kit(name: str) -> Kit:
    kits.check(name)
    found: Kit = importlib.import_module(f"labenv.{name}.kit").KIT
    return found
