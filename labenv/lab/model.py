"""A lab as data: its stages and the files of its machines (labs/<name>/lab.yaml), its steps (steps.yaml)."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from labenv import __version__, resources
from labenv.errors import UsageError
from labenv.lab import translation
from labenv.text import shown

_ID = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
FORMAT = 1  # of a lab's files; raised when an older lab can no longer be read


@dataclass(frozen=True)
class Stage:
    """A named state of the whole environment that can be entered directly."""

    id: str
    title: str


@dataclass(frozen=True)
class Action:
    """A part of a solution: what is typed, line by line, as root on each of `machines`; a Jinja2 template."""

    machines: tuple[str, ...]
    type: str


@dataclass(frozen=True)
class Step:
    """A step of the sheet. Its id counts through the whole sheet.

    `heading` and `number` are the sheet's own. `machines` are those it is done on. Its checks pass from `stage` on.
    `by` is "person" for what no check can judge. `needs` are the steps that must pass before this one can. `hints` are
    three sentences: what is wrong, where to look, and the idea. `note` explains an error in the sheet. `settings` are those of
    servers that it is about: it fails when a server on its machines fails because of one. `how` says what to do and where, for
    a step that is not done at a machine's prompt. A transient one is about something that its configuration does not bring about again
    after a boot: a message that was sent by hand, for example.
    """

    id: str
    heading: str
    number: str
    machines: tuple[str, ...]
    stage: str
    by: str
    title: str
    needs: tuple[str, ...]
    settings: tuple[str, ...]
    attempts: tuple["Tries", ...]
    hints: tuple[str, ...]
    solution: tuple[Action, ...]
    note: str
    how: str
    is_transient: bool = False

    @property
    def is_for_a_person(self) -> bool:
        """Whether only a person can do it, so that it has neither hints nor a solution."""
        return self.by == "person"


@dataclass(frozen=True)
class Tries:
    """What a client tries at a step: a "login" or to send a "mail" `at` a machine.

    `by` are the machines that it is on, empty: any; `to` is "domain" or "elsewhere", the recipients that count, empty: all.
    """

    at: str
    what: str
    by: tuple[str, ...]
    to: str


@dataclass(frozen=True)
class File:
    """A file of a machine's overlay: rendered from `template`, or a symbolic `link`; it exists from `since` and no longer at `until`.

    It belongs to the user and the group with the number `uid`.
    """

    path: str
    template: str | None
    link: str | None
    mode: int
    since: str
    until: str | None
    uid: int = 0


@dataclass(frozen=True)
class Answer:
    """How to see that a machine is ready, from stage `since` on: by exactly one of the last five.

    `port` sends a line that begins with `banner`, or answers a DNS query for the SOA of the zone `dns` (a template), an HTTP request
    for `http` (a template: a path, or a site with its path, "//www.bob.ops/"), or a TLS handshake; or the shell line `command` (a
    template) exits with 0 in the machine.
    """

    machine: str
    port: int
    banner: str
    since: str
    dns: str = ""
    http: str = ""
    tls: bool = False
    command: str = ""


@dataclass(frozen=True)
class Service:
    """Where a mail client connects: a port of a machine. `security` is "none", "starttls" or "tls"."""

    machine: str
    port: int
    security: str


@dataclass(frozen=True)
class Account:
    """The mail account that the lab builds. `address` and `user` are templates."""

    address: str
    user: str
    imap: Service
    smtp: Service


@dataclass(frozen=True)
class Lab:
    """One course lab. The texts of its steps are in the first of `languages` that has them, else as the lab's author wrote them.

    `kits` are the packages of labenv that it uses beside the core; `layers` are where the faults of its drills can be, by id, with what
    a person calls them. `after` names the lab at whose end it begins, and `before` is that lab, where it was looked for (labs.read). One that
    `is_complete` has all files and images of that end itself.
    `profiles` are those of its topology whose machines its solutions need.
    """

    id: str
    title: str
    topology: str
    folder: Path
    stages: tuple[Stage, ...]
    files: dict[str, tuple[File, ...]]
    images: dict[str, tuple[tuple[str, str], ...]]
    answers: tuple[Answer, ...]
    account: Account | None
    languages: tuple[str, ...] = ()
    kits: tuple[str, ...] = ()
    layers: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    is_complete: bool = False
    before: "Lab | None" = None
    profiles: tuple[str, ...] = ()

    @property
    def course(self) -> tuple["Lab", ...]:
        """The labs that lead to it, and itself, in their order."""
        return (*(self.before.course if self.before else ()), self)

    @property
    def sources(self) -> tuple["Lab", ...]:
        """The labs whose files and images its machines have, in their order: those of a later one win."""
        return (*(self.before.sources if self.before and not self.is_complete else ()), self)

    @cached_property
    def _order(self) -> dict[str, int]:
        return {stage.id: place for place, stage in enumerate(self.stages)}

    @cached_property
    def steps(self) -> dict[str, Step]:
        """The steps in the order of the sheet, by id. Raises UsageError for an invalid file."""
        file = self.folder / "steps.yaml"
        with _understood(file) as tree:
            spoken = tree
            for path in translation.chosen(file, self.languages):
                with _understood(path) as texts:
                    spoken = translation.steps(tree, spoken, texts)
            return {entry["id"]: _step(entry, spoken["headings"]) for entry in spoken["steps"]}

    def owner(self, setting: str, machine: str) -> Step | None:
        """The step that a setting of a server on a machine is about, if there is one."""
        return next((s for s in self.steps.values() if setting in s.settings and machine in s.machines), None)

    @cached_property
    def digest(self) -> str:
        """A hash over the lab's description and templates, and those of its sources: what its overlays are made from."""
        files = [
            path
            for lab in self.sources
            for path in (lab.folder / "lab.yaml", *sorted((lab.folder / "templates").rglob("*.j2")))
        ]
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    @property
    def last_stage(self) -> str:
        """The end of the sheet."""
        return self.stages[-1].id

    def reached(self, stage: str, at: str) -> bool:
        """Whether an environment at stage `at` has reached `stage`. Raises UsageError for one that the lab does not have."""
        return self._order[self.check_stage(at)] >= self._order[self.check_stage(stage)]

    def check_stage(self, stage: str) -> str:
        """Return `stage` if the lab has it. Raises UsageError, which lists its stages, otherwise."""
        if stage not in self._order:
            raise UsageError(f"{self.id} has no stage '{stage}'. Its stages are: {', '.join(self._order)}.")
        return stage

    def image_of(self, machine: str, default: str, at: str) -> str:
        """The image folder of a machine at a stage: the last one that the lab, or one before it, names for it, or `default`."""
        image = default
        for lab in self.sources[:-1]:
            image = lab.image_of(machine, image, lab.last_stage)
        for since, name in self.images.get(machine, ()):
            if self.reached(since, at):
                image = name
        return image

    def files_of(self, machine: str, at: str) -> list[File]:
        """The lab's own files of a machine's overlay at a stage."""
        return [
            file
            for file in self.files.get(machine, ())
            if self.reached(file.since, at) and not (file.until and self.reached(file.until, at))
        ]


def read(folder: Path, languages: tuple[str, ...] = ()) -> Lab:
    """The lab in a folder without those before it, and with its texts in one of `languages` where they are translated.

    Raises UsageError for an invalid lab.yaml, and for one that another version of labenv reads.
    """
    with _understood(folder / "lab.yaml") as tree:
        if (form := tree.get("format", FORMAT)) != FORMAT:
            raise UsageError(
                f"{folder / 'lab.yaml'}: format: this is a lab of format {shown(str(form))}, and labenv {__version__} reads format "
                f"{FORMAT}. Install the version of labenv that it was made for."
            )
        if not is_id(tree["id"]):
            raise ValueError(f"id {tree['id']!a}")
        stages = tuple(Stage(**stage) for stage in tree["stages"])
        return Lab(
            id=tree["id"],
            title=tree["title"],
            topology=tree["topology"].removesuffix(".yaml"),
            folder=folder,
            stages=stages,
            files={m: tuple(file_of(e, stages[0].id) for e in files) for m, files in tree.get("files", {}).items()},
            images={
                m: tuple((e["since"], e["image"]) for e in entries) for m, entries in tree.get("images", {}).items()
            },
            answers=tuple(answer_of(entry, stages[0].id) for entry in tree.get("answers", ())),
            account=_account(tree["account"]) if "account" in tree else None,
            languages=languages,
            kits=tuple(tree.get("kits", ())),
            layers=dict(tree.get("layers", {})),
            after=tree.get("after", ""),
            is_complete=tree.get("complete", False),
            profiles=tuple(tree.get("with", ())),
        )


def is_id(name: str) -> bool:
    """Whether a lab can have that name."""
    return bool(_ID.fullmatch(name))


def parsed(path: Path) -> Any:
    """The tree in a YAML file. Raises UsageError, with the place, for a file that cannot be read or is not YAML."""
    try:
        return resources.read_yaml(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        words = " ".join(str(error).split())
        raise UsageError(f"{path} is not valid YAML: {words}. Fix that place and try again.") from error


@contextmanager
def _understood(path: Path) -> Iterator[Any]:
    """The tree in a file, for a block that reads it without checking that everything is there."""
    try:
        yield parsed(path)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise UsageError(
            f"{path} is not a valid file of a lab ({error!r}). To see what is wrong: labenv lab lint {path.parent}"
        ) from error


def _step(entry: dict[str, Any], headings: dict[str, str]) -> Step:
    return Step(
        id=entry["id"],
        heading=headings[entry["heading"]],
        number=entry.get("number", ""),
        machines=tuple(entry["machines"]),
        stage=entry["stage"],
        by=entry.get("by", "commands"),
        title=entry["title"],
        needs=tuple(entry.get("needs", ())),
        settings=tuple(entry.get("settings", ())),
        attempts=tuple(
            Tries(e["at"], e["what"], tuple(e.get("by", ())), e.get("to", "")) for e in entry.get("attempts", ())
        ),
        hints=tuple(entry.get("hints", ())),
        solution=tuple(Action(tuple(action["machines"]), action["type"]) for action in entry.get("solution", ())),
        note=entry.get("note", ""),
        how=entry.get("how", ""),
        is_transient=entry.get("transient", False),
    )


def answer_of(entry: dict[str, Any], first: str) -> Answer:
    """An answer as lab.yaml and a topology write it; `first` is the stage that it is there from if it names none.

    Raises KeyError if something is missing.
    """
    return Answer(
        machine=entry["machine"],
        port=entry.get("port", 0),
        banner=entry.get("banner", ""),
        since=entry.get("since", first),
        dns=entry.get("dns", ""),
        http=entry.get("http", ""),
        tls=entry.get("tls", False),
        command=entry.get("command", ""),
    )


def _account(entry: dict[str, Any]) -> Account:
    imap, smtp = (
        Service(entry[end]["machine"], entry[end]["port"], entry[end].get("security", "none"))
        for end in ("imap", "smtp")
    )
    return Account(entry["address"], entry["user"], imap, smtp)


def file_of(entry: dict[str, Any], first: str) -> File:
    """A file as lab.yaml and a topology write it; `first` is the stage that it is there from if it names none.

    Raises KeyError if something is missing, ValueError for a mode that is not octal.
    """
    return File(
        path=entry["path"],
        template=entry.get("template"),
        link=entry.get("link"),
        mode=int(entry.get("mode", "0644"), 8),
        since=entry.get("since", first),
        until=entry.get("until"),
        uid=entry.get("uid", 0),
    )
