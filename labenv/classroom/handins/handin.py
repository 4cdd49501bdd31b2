"""What a lab wants handed in, and which members a submission can have."""

import re
from dataclasses import dataclass, field

from labenv.errors import UsageError
from labenv.lab.model import Lab, parsed

# The parts of a submission, as a student names them, with what they are; a part is a member or a folder of members.
PARTS = {
    "evidence": "what the course's own script collects",
    "config": "configuration files of the machines",
    "replay": "what replay needs to judge your work on clean machines: files, accounts with hashes of passwords, what starts at boot",
    "history": "shell histories: what was typed in the machines",
    "hints.jsonl": "the hints that you asked for",
    "logbook.md": "the log book",
    "check.json": "the results of the checks, with what was ticked",
}
_FILE = "handin.yaml"
# The members of a submission, and how large each may be.
MANIFEST, CHECKS, HINTS, BOOK = "manifest.json", "check.json", "hints.jsonl", "logbook.md"
LARGEST = 4_000_000
FORMAT = 1
_LONGEST = 100  # of a name, in the plain tar format
_PART = r"[\w.:+@-]*[\w:+@-][\w.:+@-]*"  # neither `.` nor `..`
_NAMES = re.compile(
    rf"{re.escape(MANIFEST)}|{re.escape(CHECKS)}|{re.escape(HINTS)}|{re.escape(BOOK)}"
    rf"|evidence/{_PART}\.txt|replay/{_PART}\.json|(config|history)/{_PART}(/{_PART})+",
    re.ASCII,
)


def is_name(name: str) -> bool:
    """Whether a member of a submission can have that name."""
    return len(name) <= _LONGEST and bool(_NAMES.fullmatch(name))


@dataclass(frozen=True)
class Field:
    """A field of the evidence: its command, the text if that prints nothing (`silent`), and a `note` to add.

    `effective` is a command for the settings in force, as `name = value` lines, whether or not the field shows them.
    """

    title: str
    command: str
    machines: tuple[str, ...]
    silent: str
    note: str
    effective: str


@dataclass(frozen=True)
class Ids:
    """What a program makes once, so that no two students have the same: `logged` finds it in evidence, `quoted` in a log book."""

    what: str
    logged: re.Pattern[str]
    quoted: re.Pattern[str]


@dataclass(frozen=True)
class Wanted:
    """What a lab wants handed in: the machines and fields of its evidence, and patterns of files, by machine.

    `step` is the step of the sheet that is done with the submission; empty if the sheet has none. `ids` and `everyday` are for
    comparing submissions: what a machine makes once, and words that everybody types. `carried` are patterns of files that replay needs, those
    of `files` among them, and `folders` of folders of which only the rights count. `no_replay` is why no clean machine can judge the lab.
    """

    machines: tuple[str, ...]
    fields: tuple[Field, ...]
    files: dict[str, tuple[str, ...]]
    step: str = ""
    ids: tuple[Ids, ...] = ()
    everyday: frozenset[str] = frozenset()
    carried: dict[str, tuple[str, ...]] = field(default_factory=dict)
    folders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    no_replay: str = ""


NOTHING = Wanted((), (), {})


def exists(lab: Lab) -> bool:
    """Whether anything of the lab is handed in."""
    return (lab.folder / _FILE).exists()


def wanted(lab: Lab) -> Wanted:
    """What the lab's handin.yaml wants. Raises UsageError if there is none or it is not valid."""
    path = lab.folder / _FILE
    if not exists(lab):
        raise UsageError(
            f"Nothing of {lab.id} is handed in: it has no {_FILE}, which says what belongs to a submission."
        )
    tree = parsed(path)
    try:
        machines = tuple(tree.get("machines", ()))
        fields = tuple(
            Field(
                entry["title"],
                entry["command"],
                tuple(entry.get("machines", machines)),
                entry.get("silent", "(nothing)"),
                entry.get("note", ""),
                entry.get("effective", ""),
            )
            for entry in tree.get("evidence", ())
        )
        files, replay = tree.get("files", {}), tree.get("replay", {})
        more = replay.get("files", {})
        return Wanted(
            machines,
            fields,
            {name: tuple(paths) for name, paths in files.items()},
            tree.get("step", ""),
            tuple(Ids(e["what"], re.compile(e["logged"]), re.compile(e["quoted"])) for e in tree.get("ids", ())),
            frozenset(tree.get("everyday", ())),
            {name: (*files.get(name, ()), *more.get(name, ())) for name in {**files, **more}},
            {name: tuple(paths) for name, paths in replay.get("folders", {}).items()},
            tree.get("no-replay", ""),
        )
    except (KeyError, TypeError, AttributeError, re.error) as error:
        raise UsageError(f"{path} is not a valid handin.yaml ({error!r}).") from error
