"""The git repository of an environment's history, on the computer that labenv runs on.

The branch `work` has the files of all machines, one commit for each change; the branch `checks` has the results of the
checks, one commit for each run. git-fast-import(1) writes everything: killed at any point, it has written all or nothing.
"""

import fcntl
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labenv import places
from labenv.engine.content import Said
from labenv.environment import Environment
from labenv.environments.history import archived, form, git
from labenv.environments.history import patch as patches
from labenv.environments.history.form import CHECKS, KEPT, WORK
from labenv.errors import LabenvError
from labenv.text import clean

# What a commit says that stores no labenv command: a machine as it was when it was first seen, and a student's edit.
_BEGAN, _UNTOLD = "began", "changed"
_COMMITTER = re.compile(rb"^committer .* ([0-9]{1,12}) [+-][0-9]{4}$", re.MULTILINE)
_PATCH = ("--color=never", "--no-renames", "--no-prefix")
# Bold, cyan, green, red, as git's own (git-config(1), color.diff).
_COLOURS: dict[patches.Kind, int] = {"file": 1, "place": 36, "added": 32, "removed": 31}

# A file's place ("vm2/etc/postfix/main.cf") and its content.
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Change:
    """A change to be stored: the complete content of the machine's watched files at one time.

    Its `name` is that time (seconds since 1970, as `date +%s.%N` prints it), which also identifies it.
    """

    machine: str
    name: str
    files: Mapping[str, Said]
    time: float
    said: str = ""


@dataclass(frozen=True)
class Edit:
    """A file as one commit changed it: when, where, how many lines were added and removed; `said` is the command, if known.

    `path` is the file as the repository has it; `file` is fit to be shown.
    """

    commit: str
    time: int
    machine: str
    file: str
    added: int
    removed: int
    said: str
    path: str

    def to_dict(self) -> dict[str, Any]:
        """It as `history --json` shows it."""
        shown = asdict(self)
        del shown["path"]
        return shown


@dataclass(frozen=True)
class Lately:
    """The newest of a history: when a file was last edited (0: never), the runs of the checks, newest first, each with its time.

    `is_more` is whether there are older runs.
    """

    edited: int = 0
    runs: tuple[tuple[int, Mapping[str, Mapping[str, str]]], ...] = ()
    is_more: bool = False


def path_of(student_id: str) -> Path:
    """Where the history of a student's environment is, if there is one."""
    return places.state() / "history" / f"{student_id}.git"


class Repository:
    """The history of one environment; nothing is on the disk before the first change."""

    def __init__(self, environment: Environment) -> None:
        """Read nothing yet."""
        self.student = environment.student.id
        self.path = path_of(self.student)
        self._key = _key(environment)

    @property
    def stamp(self) -> tuple[int, ...]:
        """Changes whenever something is stored: git writes a branch as a new file."""
        found = []
        for branch in (WORK, CHECKS):
            try:
                found.append((self.path / branch).stat().st_mtime_ns)
            except OSError:
                found.append(0)
        return tuple(found)

    @property
    def exists(self) -> bool:
        """Whether there is a history of this environment, not of an earlier one of the same student. Raises LabenvError."""
        try:
            return (self.path / "labenv").read_text(encoding="utf-8") == self._key
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise LabenvError(
                f"The history in {self.path} cannot be read: {error.strerror}. {places.way_out(self.path)}"
            ) from error

    def prepare(self) -> None:
        """Make an empty repository unless there is one. Raises LabenvError."""
        if self.exists:
            return
        if not self.path.is_absolute():
            raise LabenvError("You have no home folder for the history. Set HOME or XDG_STATE_HOME.")
        try:
            folder = self.path.parent
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("w") as lock:  # if two commands come first, one of them makes it
                fcntl.flock(lock, fcntl.LOCK_EX)
                if self.exists:
                    return
                self.remove()
                self.path.mkdir(mode=0o700)
                self.git("init", "-q", "--bare", "--template=", str(self.path))
                self.git("symbolic-ref", "HEAD", WORK)  # for a person's own git; `init` can do it from 2.28 on
                (self.path / "labenv").write_text(self._key, encoding="utf-8")
        except OSError as error:
            way_out = places.way_out(self.path)
            raise LabenvError(f"The history cannot be kept in {self.path}: {error.strerror}. {way_out}") from error

    def remove(self) -> None:
        """Remove the history. It is no error if there is none."""
        shutil.rmtree(self.path, ignore_errors=True)

    def git(self, *arguments: str, said: bytes = b"", held: int | None = None) -> str:
        """The output of a git command. Raises LabenvError with git's message if it fails."""
        return git.run(self.path, *arguments, said=said, held=held).decode(errors="replace")

    def tip(self, branch: str = WORK) -> str:
        """The newest commit of a branch; empty if it has none."""
        return self.git("for-each-ref", "--format=%(objectname)", branch).strip() if self.exists else ""

    def files(self, commit: str, *paths: str) -> dict[str, str]:
        """The files of a commit (below `paths`, if given), each with the id of its content."""
        listed = self.git("ls-tree", "-r", "-z", commit, "--", *paths) if commit else ""
        rows = [entry.partition("\t") for entry in listed.split("\0") if entry]
        return {path: facts.split()[2] for facts, _, path in rows}

    def write(self, changes: Iterable[Change]) -> None:
        """Store those changes that are new. Raises LabenvError; then none is stored."""
        self.prepare()
        with git.alone(self.path) as held:
            self._write(changes, held)

    def _write(self, changes: Iterable[Change], held: int) -> None:
        tip = self.tip(WORK)
        there = self.files(tip)
        last, clock = self._last(tip)
        new = [change for change in changes if float(change.name) > last.get(change.machine, -1)]  # others are old
        stream: list[bytes] = []
        for change in _in_order(new, last):
            wanted = {f"{change.machine}/{path.lstrip('/')}": file for path, file in change.files.items()}
            mine = {path for path in there if path.startswith(f"{change.machine}/")}
            others = {path: file for path, file in wanted.items() if there.get(path) != _blob(file.data)}
            gone = mine - wanted.keys()
            steps = [b"D " + _quoted(path) for path in gone]
            steps += [_file(path, file.data) for path, file in others.items()]
            if not steps:
                continue
            there = {path: blob for path, blob in there.items() if path in wanted or path not in mine}
            there |= {path: _blob(file.data) for path, file in others.items()}
            # The time of the edit is more useful than the time at which it was seen. But time must not run backwards, so that
            # the state at a moment can be found. What a restore brings back is as old as the save.
            done = change.time if gone or change.said else max(file.time for file in others.values())
            clock = max(clock, min(done, change.time)) if tip or stream else change.time
            told = f"{change.said or _UNTOLD}\n\n{KEPT}{change.machine} {change.name}\n"
            stream += [_commit(WORK, clock, told, "" if stream else tip), *steps]
        self._import(stream, held)

    def note(self, time: float, results: Mapping[str, Any]) -> None:
        """Store the results of a run of the checks. Raises LabenvError."""
        self.prepare()
        data = json.dumps(results, indent=0, sort_keys=True).encode()
        with git.alone(self.path) as held:
            self._import([_commit(CHECKS, time, "checked\n", self.tip(CHECKS)), _file(form.RESULTS, data)], held)

    def packed(self) -> bytes:
        """All of it in the format of git-bundle(1); empty if nothing is stored. Raises LabenvError."""
        branches = [branch for branch in (WORK, CHECKS) if self.tip(branch)]
        return git.run(self.path, "bundle", "create", "-", *branches) if branches else b""

    def unpack(self, data: bytes) -> None:
        """Continue where a packed history ended, unless this one is ahead.

        Raises LabenvError if it is not a history, or contradicts this one; then nothing has changed.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:
                scratch = Path(folder)
                git.run(scratch, "init", "-q", "--bare", "--template=", folder)
                self._continue(scratch, archived.unpack(data, scratch))
        except OSError as error:
            raise LabenvError(f"The history cannot be unpacked: {error.strerror}.") from error

    def _continue(self, other: Path, heads: Mapping[str, str]) -> None:
        """As another repository goes on, with those branches; both or none."""
        new = not self.exists
        self.prepare()
        try:
            with git.alone(self.path) as held:
                ahead = [f"{branch}:{branch}" for branch, commit in heads.items() if not self._knows(commit)]
                for trial in (["--dry-run"], []) if ahead else ():  # --atomic is not in git before 2.31
                    self.git("fetch", "-q", "--no-tags", *trial, str(other), *ahead, held=held)
        except LabenvError:
            if new:
                self.remove()
            raise

    def _knows(self, commit: str) -> bool:
        return not self.git("cat-file", "--batch-check", said=commit.encode()).endswith("missing\n")

    def runs(self) -> list[tuple[int, dict[str, dict[str, str]]]]:
        """The results of the checks, each run with its time, newest first."""
        if not self.tip(CHECKS):
            return []
        listed = [line.split() for line in self.git("log", "--format=%H %ct", CHECKS).splitlines()]
        told = git.contents(self.path, [f"{commit}:{form.RESULTS}" for commit, _ in listed])
        found = ((_time(time), form.results(data or b"")) for (_, time), data in zip(listed, told, strict=True))
        return [(time, results) for time, results in found if results is not None]

    def lately(self, count: int) -> Lately:
        """The newest runs of the checks, at most so many, and the newest edit; what labenv changed is none.

        One process reads it: a class has many histories.
        """
        if not self.exists:
            return Lately()
        names = [f"{CHECKS}~{back}" for back in range(count + 1)]
        asked = [
            f"{WORK}^{{/^{_UNTOLD}}}",
            *(part for name in names[:-1] for part in (name, f"{name}:{form.RESULTS}")),
            names[-1],
        ]
        edited, *told, older = git.contents(self.path, asked)
        runs = (
            (_committed(commit), form.results(data or b""))
            for commit, data in zip(told[::2], told[1::2], strict=True)
            if commit
        )
        return Lately(
            _committed(edited), tuple((t, found) for t, found in runs if found is not None), older is not None
        )

    def edits(self) -> list[Edit]:
        """All changes of files since the environment began, newest first."""
        if not (start := self.start()):
            return []
        told = iter(self.git("log", *form.EDITS, f"{start}..{WORK}").split("\0"))
        firsts = self._firsts()
        found = []
        commit = time = said = ""
        for row in told:
            if not row:  # a commit begins; only names and rows are between NULs, and none is empty
                commit, time, said = (next(told, "") for _ in range(3))
                continue
            if commit in firsts:  # of a machine that was seen late
                continue
            added, removed, path = row.lstrip("\n").split("\t", 2)
            came, went = (int(count) if count.isdigit() else 0 for count in (added, removed))  # "-": no text
            machine, file = place(path)
            shown = "" if said == _UNTOLD else clean(said)
            found.append(Edit(commit, _time(time), clean(machine), clean(file), came, went, shown, file))
        return found

    def patch(self, *edits: Edit, colour: bool = False) -> str:
        """The lines that edits added and removed."""
        together: dict[str, list[str]] = {}
        for edit in edits:
            together.setdefault(edit.commit, []).append(f"{edit.machine}/{edit.path.lstrip('/')}")
        patch = "".join(
            self.git("show", "--format=", *_PATCH, commit, "--", *paths) for commit, paths in together.items()
        )
        return _coloured(patch) if colour else clean(patch)

    def at(self, time: int) -> str:
        """The commit of a moment in seconds since 1970; the start for any earlier moment."""
        return self.git("rev-list", "-1", f"--before={time}", WORK).strip() or self.start()

    def kept_by(self, time: float) -> str:
        """The commit of all that the machines had recorded by a moment in seconds since 1970; the start for any earlier moment."""
        found = self.start()
        for commit, _, name in self._kept(f"{found}..{WORK}"):
            if float(name) > time:
                break
            found = commit
        return found

    def began(self) -> int:
        """When the environment began, in seconds since 1970; 0 if nothing is stored."""
        start = self.start()
        return _time(self.git("log", "-1", "--format=%ct", start)) if start else 0

    def start(self) -> str:
        """The commit that the environment began with: the last of those that first brought a machine."""
        if not self.tip():
            return ""
        seen: set[str] = set()
        begun = ""
        for commit, machine, _ in self._kept(WORK):
            if machine in seen:
                break
            seen.add(machine)
            begun = commit
        return begun

    def _firsts(self) -> set[str]:
        """The commits that first brought a machine; one may come late, when another was recorded alone until then."""
        firsts: dict[str, str] = {}
        for commit, machine, _ in self._kept(WORK):
            firsts.setdefault(machine, commit)
        return set(firsts.values())

    def differing(self, old: str) -> list[str]:
        """The files that differ now from a commit, of the machines that are in it."""
        told = self.git("diff", "--name-only", "-z", "--no-renames", old, WORK, "--", *self._scope(old))
        return [path for path in told.split("\0") if path]

    def diff(self, old: str, *paths: str, colour: bool = False) -> str:
        """How these files differ now from a commit, as a patch."""
        patch = self.git("diff", *_PATCH, old, WORK, "--", *paths)
        return _coloured(patch) if colour else clean(patch)

    def reference(self, files: Files) -> str:
        """The commit of files that are in no history: those of a reference solution."""
        branch = "refs/heads/reference"
        with git.alone(self.path) as held:
            if self.tip(branch):
                self.git("update-ref", "-d", branch, held=held)
            stream = [_commit(branch, 0, "reference\n", ""), *(_file(path, data) for path, data in files.items())]
            self._import(stream, held)
            return self.tip(branch)

    def _scope(self, commit: str) -> list[str]:
        """What can be compared with a commit: a reference has some files, a moment all files of the machines in it."""
        if commit == self.tip("refs/heads/reference"):
            return list(self.files(commit))
        return self.git("ls-tree", "--name-only", commit).split()

    def _kept(self, commits: str) -> list[tuple[str, str, str]]:
        """Commits, oldest first, each with its machine and the name of the change that it stores."""
        told = self.git("log", "--reverse", "-z", "--format=%H%n%B", commits).split("\0")
        found = [(commit[:40], form.kept(commit)) for commit in told]
        return [(commit, *kept) for commit, kept in found if kept]  # others came with an archive, and are not labenv's

    def _last(self, tip: str) -> tuple[dict[str, float], float]:
        """The moment of the newest change from each machine, and the time of the newest of all."""
        if not tip:
            return {}, 0
        last = {machine: float(name) for _, machine, name in self._kept(tip)}
        return last, _time(self.git("log", "-1", "--format=%ct", tip))

    def _import(self, stream: list[bytes], held: int) -> None:
        if stream:
            said = b"\n".join([*stream, b"done\n"])
            self.git("fast-import", "--quiet", "--date-format=raw", said=said, held=held)


def _in_order(changes: list[Change], known: Mapping[str, float]) -> list[Change]:
    """By time; the first change of a machine comes before everything else, even if it was seen late."""
    ordered = sorted(changes, key=lambda change: float(change.name))
    firsts: dict[str, Change] = {}
    for change in ordered:
        if change.machine not in known:
            firsts.setdefault(change.machine, replace(change, time=ordered[0].time, said=change.said or _BEGAN))
    return [*firsts.values(), *(c for c in ordered if (f := firsts.get(c.machine)) is None or f.name != c.name)]


def _key(environment: Environment) -> str:
    """Identifies this environment among those of the same student: each has a new password."""
    who = environment.student
    return hashlib.sha256(f"{environment.lab} {who.id} {who.x} {who.password}".encode()).hexdigest()


def _time(text: str) -> int:
    """A commit's time; the time of one that came with an archive may not be one that can have been."""
    return int(text) if text.strip().isdecimal() and form.can_be(int(text)) else 0


def _committed(commit: bytes | None) -> int:
    """When a commit was made, as git stores it (git-cat-file(1)); 0 for none."""
    found = _COMMITTER.search(commit or b"")
    return _time(found[1].decode()) if found else 0


def _commit(branch: str, time: float, told: str, parent: str) -> bytes:
    who = f"labenv <labenv> {int(time)} +0000"
    lines = [f"commit {branch}", f"author {who}", f"committer {who}", f"data {len(told.encode())}", told]
    return "\n".join([*lines, *([f"from {parent}"] if parent else [])]).encode()


def place(path: str) -> tuple[str, str]:
    """The machine and the file that a path of the repository means; "iptables-save" is the firewall, not a file."""
    machine, _, file = path.partition("/")
    return machine, f"/{file}" if "/" in file else file


def _coloured(patch: str) -> str:
    """A patch in git's colours. Its text is clean: colours that a file brings along are none."""
    told = (
        f"\x1b[{_COLOURS[kind]}m{line}\x1b[m" if kind in _COLOURS else line
        for kind, line in patches.lines(clean(patch))
    )
    return "\n".join(told) + "\n"


def _file(path: str, data: bytes) -> bytes:
    return b"M 100644 inline %s\ndata %d\n%s" % (_quoted(path), len(data), data)


def _blob(data: bytes) -> str:
    """git's id for a file's content (git-hash-object(1))."""
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


def _quoted(path: str) -> bytes:
    """A path as git-fast-import(1) expects it."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'.encode(errors="surrogateescape")
