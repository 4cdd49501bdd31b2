"""One archive of everything that a student hands in, with a manifest of checksums."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import shlex
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labenv import __version__
from labenv.checks.results import Report, with_ticks
from labenv.checks.run import run_checks
from labenv.classroom.handins import evidence, gather, handin, mark, pieces
from labenv.environment import Environment
from labenv.environments import drill_records, history, ticks
from labenv.environments.ticks import Tick
from labenv.errors import EngineError, LabenvError, UsageError, senseless
from labenv.events import Listener, announced, silent
from labenv.lab import labs
from labenv.sheet import by_hand, guide, logbook
from labenv.text import one_line, shown

if TYPE_CHECKING:
    from labenv.engine import Engine

_LARGEST_MACHINE = 32_000_000  # bytes of all files of one machine together
_PATIENCE = 90  # seconds for them, over a slow connection to another computer
_PACKED = "labenv submit wrote "
_OTHER_KINDS = (".zip", ".7z", ".rar")  # programs on Windows open what has such a name as that kind
_HISTORIES = ("/root/.bash_history", "/home/*/.bash_history")


@dataclass(frozen=True)
class Submission:
    """What was packed: the names of the members, and of those that the student left out.

    `missing` are sentences about what is missing in them or will be asked about.
    """

    file: str
    members: tuple[str, ...]
    missing: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The record as `submit --json` shows it."""
        return asdict(self)


@dataclass(frozen=True)
class Package:
    """What is ready to be written into `file`: the members and the manifest. `tick` is for the step that is done with it."""

    file: Path
    members: dict[str, bytes]
    about: dict[str, Any]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]
    tick: Tick | None

    @property
    def submission(self) -> Submission:
        """The record of it."""
        return Submission(str(self.file), (handin.MANIFEST, *self.members), self.missing, self.left_out)


def check_without(names: Iterable[str]) -> None:
    """Raise UsageError for what no submission can do without, and for what can be no part of one."""
    for name in names:
        if name.removesuffix(".json") in ("check", "manifest"):
            raise UsageError(f"{name} cannot be left out: labenv review reads it first. {_parts()}")
        if "/" not in name and not any(_means(name, part) for part in handin.PARTS):
            raise UsageError(f"There is nothing called {shown(name)} to leave out. {_parts()}")


def pack(
    engine: "Engine",
    environment: Environment,
    file: Path,
    *,
    force: bool = False,
    without: Iterable[str] = (),
    listen: Listener = silent,
) -> Package:
    """Collect evidence, check results, files, what replay needs, hints, log book and shell histories of an environment, for `file`.

    `without` names what is left out: a part, a member, a folder of members, or a file as MACHINE:PATH. The password of the lab is
    replaced by asterisks everywhere. Raises UsageError for a file that exists (unless `force`) or cannot be written or is
    named as another kind of archive, for a name that nothing has, and while a drill runs; EngineError if a machine is not running.
    """
    if file.is_dir():
        raise UsageError(f"{file} is a folder. Give the name of a file, such as {environment.student.id}.tar.gz.")
    if file.exists() and not force:
        raise UsageError(f"{file} already exists. Choose another name, or use --force to replace it.")
    if not file.parent.is_dir():
        raise UsageError(f"There is no folder {file.parent}. Create it, or choose another name.")
    if file.suffix.lower() in _OTHER_KINDS:
        raise UsageError(f"The archive is a .tar.gz, not a {file.suffix}. Use: labenv submit {file.stem}.tar.gz")
    if drill_records.running(engine, environment.student.id):
        raise UsageError(
            f"A drill is running in {environment.student.id}'s environment, and its fault would be handed in. "
            "End it first: labenv drill check, or labenv drill give-up"
        )
    without = tuple(without)
    check_without(without)
    lab = labs.of(environment)
    wanted = handin.wanted(lab)
    missing: list[str] = []
    members: dict[str, bytes] = {}
    asked = guide.asked(engine, environment)
    report = run_checks(engine, environment, whole=True, listen=listen)
    tick = _tick(engine, environment, wanted, file)
    if tick:
        report = replace(report, results=with_ticks(report.results, lab, {tick.step: tick}))
    missing += [*_failures(report), *report.notes]
    told = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "hints": len(asked)}
    members[handin.CHECKS] = _json(report.to_dict() | told)
    with announced(listen, "submit", "collecting the files to hand in"):
        if logbook.exists(lab):
            text = logbook.read(engine, environment)
            members[handin.BOOK] = text.encode()
            book = logbook.sections(text, logbook.blank(lab, environment.student))
            missing += [f"{s.missing[0].upper()}{s.missing[1:]}." for s in book if s.empty]
        members[handin.HINTS] = "".join(json.dumps(asdict(ask)) + "\n" for ask in asked).encode()
        for machine in wanted.machines:
            found = evidence.collect(engine, environment, machine)
            members[f"evidence/{machine}.txt"] = found.text.encode()
            missing += found.remarks
        for machine, patterns in wanted.files.items():
            files, large = _files(engine, environment, machine, (*patterns, *_HISTORIES))
            missing += [f"{machine}:{path} was left out: it is too large." for path in large]
            for path, content in files.items():
                place = "history" if path.endswith(".bash_history") else "config"
                members[f"{place}/{machine}{path}"] = content
        if pieces.FOLDER not in without and not wanted.no_replay:
            for name in (machine.name for machine in environment.regular):
                members[pieces.member(name)] = gather.gathered(engine, environment, lab, name, wanted).to_json()
    unfit = [n for n, content in members.items() if len(content) > handin.LARGEST or not handin.is_name(n)]
    missing += [f"{name!r} was left out: its name is unusual, or it is too large." for name in unfit]
    left_out = _left_out(sorted(members.keys() - set(unfit)), without)
    secret = environment.student.password.encode()
    packed = {
        name: members[name].replace(secret, b"*" * len(secret))
        for name in sorted(members)
        if name not in unfit and name not in left_out
    }
    about = manifest(environment, packed, hints=len(asked), began=history.began(environment, listen), left_out=left_out)
    return Package(file, packed, about, tuple(missing), tuple(left_out), tick)


def finish(engine: "Engine", environment: Environment, package: Package, listen: Listener = silent) -> Submission:
    """Write the archive, and tick the step that is done with it. Raises UsageError, EngineError."""
    write(package.file, package.members, package.about)
    if package.tick:
        by_hand.keep(engine, environment, package.tick, listen)
    return package.submission


def _tick(engine: "Engine", environment: Environment, wanted: handin.Wanted, file: Path) -> Tick | None:
    """The tick that says what was packed; words of the student's own stay before it."""
    if not wanted.step:
        return None
    before = ticks.read(engine, environment.student.id).get(wanted.step)
    own = before.words.partition(_PACKED)[0].rstrip("; ") if before else ""
    words = one_line("; ".join(filter(None, (own, f"{_PACKED}{file.name}"))))[: ticks.LONGEST]
    return Tick(wanted.step, datetime.now(UTC).isoformat(timespec="seconds"), words)


def _left_out(members: list[str], without: tuple[str, ...]) -> list[str]:
    """The members that the names mean. Raises UsageError for a name that means none."""
    gone: set[str] = set()
    for name in without:
        meant = {member for member in members if _means(name, member)}
        if not meant and name not in handin.PARTS:  # there may be no shell history yet
            raise UsageError(f"There is nothing called {shown(name)} to leave out. {_parts()}")
        gone |= meant
    return [name for name in members if name in gone and name != handin.CHECKS]


def _means(name: str, member: str) -> bool:
    machine, colon, path = name.partition(":")
    if colon and path.startswith("/"):
        return member.partition("/")[2] == f"{machine}{path}"
    name = name.rstrip("/")
    return (bool(name) and member in (name, f"{name}.md", f"{name}.json", f"{name}.jsonl")) or member.startswith(
        f"{name}/"
    )


def _parts() -> str:
    named = ", ".join(name for name in handin.PARTS if name != handin.CHECKS)
    return f"The parts are: {named}. A single file is named as it is listed: labenv submit FILE --dry-run"


def manifest(
    environment: Environment, members: dict[str, bytes], *, hints: int, began: int, left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """The archive's description: whose it is, when and by which labenv it was made, and each member's size and checksum.

    It also says when the environment began (0: not known), and how many hints were asked for, so that neither a date nor a
    hint can be changed in one place alone; the environment's mark; and what the student left out, if anything.
    """
    return {
        "format": handin.FORMAT,
        "student": environment.student.id,
        "first": environment.student.first,
        "domain": environment.student.domain,
        "network": str(environment.subnet),
        "lab": environment.lab,
        "labenv": __version__,
        "mark": mark.of(environment.student),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **_began(began),
        "hints": hints,
        **({"left_out": list(left_out)} if left_out else {}),
        "members": [
            {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in members.items()
        ],
    }


def _began(seconds: int) -> dict[str, str]:
    """When the environment began, as a field; none if that is not known. Its machines told it, so it may be any number."""
    try:
        return {"began": datetime.fromtimestamp(seconds, UTC).isoformat()} if seconds else {}
    except (ValueError, OverflowError, OSError):
        return {}


def write(file: Path, members: dict[str, bytes], about: dict[str, Any]) -> None:
    """Write the archive, completely or not at all, with the manifest first. Raises UsageError if that fails."""
    buffer = io.BytesIO()
    # The plain format of POSIX.1-1988: one header per member, so that a reader needs no extensions.
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in ((handin.MANIFEST, _json(about)), *members.items()):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = 0o644, len(content)
            entry.mtime = int(datetime.fromisoformat(about["time"]).timestamp())
            archive.addfile(entry, io.BytesIO(content))
    _replace(file, lambda out: out.write(gzip.compress(buffer.getvalue(), mtime=0)))


def _replace(file: Path, fill: Callable[[Any], object]) -> None:
    draft = ""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as out:
            draft = out.name
            fill(out)
        os.replace(draft, file)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}. Choose another file.") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(draft)


def _files(
    engine: "Engine", environment: Environment, machine: str, patterns: tuple[str, ...]
) -> tuple[dict[str, bytes], list[str]]:
    """The files of a machine that match the patterns, fetched in one tar archive, and the names of those that are too large."""
    listed = (
        f'for f in {" ".join(patterns)}; do [ ! -f "$f" ] || if [ $(stat -Lc %s "$f") -gt {handin.LARGEST} ]; '
        'then echo "$f" >&2; else printf \'%s\\0\' "$f"; fi; done'
    )
    # Links to files are followed: what counts is what is in force.
    pack = f"sh -c {shlex.quote(listed)} | tar -chPf - --hard-dereference --null --files-from=-"
    with engine.shell(environment.machine(machine), reads=True) as shell:
        result = shell.run(pack, _PATIENCE, _LARGEST_MACHINE)
    if result.rc:
        raise LabenvError(f"The files of {machine} could not be read: {result.complaint}")
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(result.stdout), mode="r:") as archive:
            for entry in archive:
                content = None if entry.issparse() else archive.extractfile(entry)  # a sparse one may say any size
                if content is not None:
                    found[entry.name] = content.read()
    except (tarfile.TarError, ValueError, KeyError) as error:
        raise EngineError(senseless(machine, error)) from error
    return found, result.complaint.splitlines()


def _failures(report: Report) -> list[str]:
    return list(dict.fromkeys(f"Step {r.step} fails: {r.evidence}" for r in report.results if r.status == "fail"))


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
