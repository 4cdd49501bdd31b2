"""What a class is: its students, its labs with their dates, and its limits."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from zoneinfo import ZoneInfo

from labenv.errors import UsageError
from labenv.text import one_line


@dataclass(frozen=True)
class Member:
    """One row of the roster: `id` is the student's id in labenv, `given` what the roster has in its place.

    `row` has all columns as the roster has them, for the way back into the LMS; `keys` are public SSH keys in OpenSSH's form;
    `x` and `first` are as `up --net` and `--first`, None where labenv chooses. `line` is where the row begins in the file.
    """

    id: str
    given: str
    name: str = ""
    email: str = ""
    lms_id: str = ""
    x: int | None = None
    first: str | None = None
    keys: tuple[str, ...] = ()
    row: Mapping[str, str] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True)
class LateRule:
    """What a late hand-in costs: `per_day` percent of the points for each day that has begun after `grace`, for at most `days` days.

    After these days it counts nothing.
    """

    per_day: float = 10
    days: int = 3
    grace: timedelta = timedelta(0)


@dataclass(frozen=True)
class Assignment:
    """One lab of a class. `lab` is a name or an absolute folder, `at` the stage at which students begin, None for the lab's first.

    `open` and `due` carry the time zone of the class. `rubric` is a file, None for the lab's own or the default one.
    `profiles` are those of the lab's topology that everybody gets, `drills` the names of those that the class uses.
    """

    lab: str
    at: str | None = None
    open: datetime | None = None
    due: datetime | None = None
    late: LateRule = LateRule()
    attempts: int | None = None
    rubric: Path | None = None
    drills: tuple[str, ...] = ()
    profiles: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """How the lab is called on the command line and in records."""
        return Path(self.lab).name if "/" in self.lab else self.lab

    def is_open(self, now: datetime) -> bool:
        """Whether students may begin at that time."""
        return self.open is None or self.open <= now


@dataclass(frozen=True)
class Limits:
    """What a class may use. `memory` (bytes) and `processes` are for one machine, None for labenv's own limits.

    `at_once` is how many environments may run; `for_` and `idle` are when an environment is stopped, if not told otherwise.
    """

    memory: int | None = None
    processes: int | None = None
    at_once: int | None = None
    saves: int | None = None
    for_: timedelta | None = None
    idle: timedelta | None = None


@dataclass(frozen=True)
class OidcProvider:
    """Where the students' accounts are (OpenID Connect). `claim` is what an account says that stands in the roster as e-mail or id."""

    issuer: str
    client_id: str
    secret_file: Path
    claim: str = "email"


@dataclass(frozen=True)
class ClassPage:
    """The page of a class in the browser. `origin` is its address outside, "" if it is asked for as it listens.

    `desktop` is whether students may start desktops, each of which is one more machine.
    """

    origin: str = ""
    desktop: bool = False
    oidc: OidcProvider | None = None


@dataclass(frozen=True)
class InSwarm:
    """That a class is on the nodes of a Docker Swarm, and what it wants there.

    Copies also go to `place`, a URL as fsspec has them ("": only to the manager's disk), with the settings in the file `settings`, and every
    so often. `memory` (bytes) and `processors` are reserved for each environment, 0 for labenv's own measure.
    """

    place: str = ""
    settings: Path | None = None
    every: timedelta = timedelta(minutes=5)
    memory: int = 0
    processors: float = 0.0


@dataclass(frozen=True)
class Class:
    """A class: `id` is the value of the label `labenv.class` of its environments."""

    folder: Path
    id: str
    name: str
    zone: ZoneInfo
    labs: tuple[Assignment, ...]
    members: tuple[Member, ...]
    limits: Limits = Limits()
    federate: bool = False
    page: ClassPage = ClassPage()
    swarm: InSwarm | None = None

    @property
    def records(self) -> Path:
        """The folder of what labenv keeps of the class: for the teacher alone (0700)."""
        return self.folder / "records"

    def member(self, student_id: str) -> Member:
        """The member with that id, or with that text in the roster. Raises UsageError if there is none."""
        for one in self.members:
            if student_id in (one.id, one.given):
                return one
        raise UsageError(
            f"{one_line(student_id)[:60]} is not in the roster of {self.name}. `labenv class lint` shows the ids."
        )

    def chosen(self, only: Collection[str] | None) -> tuple[Member, ...]:
        """The members that `--only` names, by ids or patterns such as `b*`; all without. Raises UsageError for one that names nobody."""
        if not only:
            return self.members
        wanted: set[str] = set()
        for word in (part.strip() for text in only for part in text.split(",")):
            found = {one.id for one in self.members if fnmatchcase(one.id, word) or one.given == word}
            wanted |= found or {self.member(word).id}
        return tuple(one for one in self.members if one.id in wanted)

    def assignment(self, lab: str | None, now: datetime | None = None) -> Assignment:
        """The lab that `--lab` names; without, the last one that is open. Raises UsageError, naming the labs, for another."""
        names = ", ".join(each.name for each in self.labs)
        if lab is None:
            now = now or datetime.now(self.zone)
            begun = [each for each in self.labs if each.is_open(now)]
            if begun:
                return max(begun, key=lambda each: (each.open is not None, each.open or now))
            raise UsageError(f"No lab of {self.name} is open yet. Name one: --lab NAME. Its labs are: {names}.")
        for each in self.labs:
            if lab in (each.name, each.lab):
                return each
        raise UsageError(
            f"{self.name} has no lab {one_line(lab)[:60]}. Its labs are: {names}. They stand in class.yaml."
        )
