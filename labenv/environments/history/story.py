"""What a history tells: which files a word means, which moment, and since when a check has been failing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from labenv.environments.history.repository import Edit, Repository
from labenv.errors import UsageError
from labenv.text import shown

_AGO = re.compile(r"(\d+) (second|minute|hour|day|week)s? ago")
_AT_ONCE = 60  # seconds between the records of one labenv command
_FEW = 4  # files that are listed one by one
_DEPTH = 3  # parts of /etc/dovecot, the empty one before the first / included
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


@dataclass(frozen=True)
class Story:
    """A check over time: whether it passes, since when, when it was last otherwise, and the edits in between.

    `since` is None if the check was never judged, `before` is None if it was never otherwise. Times are in seconds since
    1970.
    """

    step: str
    check: str
    machine: str
    holds: bool
    evidence: str
    since: int | None
    before: int | None
    edits: tuple[Edit, ...]

    def __str__(self) -> str:
        """It as one sentence, without what changed."""
        name = f"{self.step}  {self.check} on {self.machine}"
        if self.since is None:
            return f"{name}: no result so far; {self.evidence}"
        now, then = ("passed", "failed") if self.holds else ("failed", "passed")
        past = f"it last {then} at {clock(self.before)}" if self.before else f"it has never {then}"
        return f"{name}: has {now} since {clock(self.since)}; {past}"

    @property
    def note(self) -> str:
        """Where else to look, if something changed but no file; otherwise empty."""
        if self.before and not self.edits:
            return "No watched file changed in between: look at what is running, and at what was restarted."
        return ""

    def to_dict(self) -> dict[str, Any]:
        """It as `when --json` shows it."""
        return vars(self) | {"edits": [edit.to_dict() for edit in self.edits]}


@dataclass(frozen=True)
class Entry:
    """What one command has changed: all that was recorded at one prompt, or by one labenv command. `said` is the latter."""

    said: str
    edits: tuple[Edit, ...]


def entries(edits: Iterable[Edit]) -> list[Entry]:
    """The edits, newest first, by what was done at once.

    A labenv command records each machine for itself; the same command again, later, is another entry.
    """
    found: list[list[Edit]] = []
    for edit in edits:
        last = found[-1][-1] if found else None
        same = last and edit.said == last.said and abs(edit.time - last.time) <= _AT_ONCE
        if last and (edit.commit == last.commit or (same and edit.said)):
            found[-1].append(edit)
        else:
            found.append([edit])
    return [Entry(group[0].said, tuple(group)) for group in found]


@dataclass(frozen=True)
class Files:
    """A part of an entry: changes below a folder on one machine, or of one file. `count` is how many files."""

    time: int
    machine: str
    name: str
    count: int
    added: int
    removed: int

    @property
    def title(self) -> str:
        """Its name, with the number of files if there are several."""
        return f"{self.name} ({self.count} files)" if self.count > 1 else self.name


def files(entry: Entry, *, every: bool = False) -> list[Files]:
    """An entry's files. Where it has many, unless `every` one is wanted, those of a program stand together by their folder."""
    together: dict[tuple[str, str], list[Edit]] = {}
    for edit in entry.edits:
        name = edit.file if every or len(entry.edits) <= _FEW else _folder(edit.file)
        together.setdefault((edit.machine, name), []).append(edit)
    return [
        Files(
            group[0].time,
            machine,
            name if len(group) > 1 else group[0].file,
            len(group),
            sum(edit.added for edit in group),
            sum(edit.removed for edit in group),
        )
        for (machine, name), group in together.items()
    ]


def _folder(file: str) -> str:
    """The folder of a program that a file belongs to: /etc/dovecot, /var/named; /etc of what lies in it."""
    return "/".join(file.split("/")[:-1][:_DEPTH]) or file


def means(word: str, machine: str, file: str) -> bool:
    """Whether a word means that file: a machine, `machine:file`, a path, a folder, or the end of a path."""
    before, colon, path = word.partition(":")
    if colon:
        return before == machine and means(path, machine, file)
    return bool(word) and (
        word in (machine, file) or file.startswith(f"{word.rstrip('/')}/") or file.endswith(f"/{word}")
    )


def clock(seconds: int) -> str:
    """A time (seconds since 1970) in this computer's time zone."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def moment(text: str, now: datetime) -> datetime | None:
    """The moment that `10:30`, `2026-11-23 10:30`, `20 minutes ago` or `yesterday` means; None for any other word.

    A time of day that has not come yet today means yesterday's.
    """
    text = text.strip().lower()
    if text == "yesterday":
        return now - timedelta(days=1)
    try:
        if found := _AGO.fullmatch(text):
            return now - timedelta(**{f"{found[2]}s": int(found[1])})
        if _CLOCK.fullmatch(text):
            then = datetime.combine(now.date(), datetime.fromisoformat(f"2000-01-01 {text:0>5}").time()).astimezone()
            return then if then <= now else then - timedelta(days=1)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def when(repository: Repository, name: str, known: Iterable[str] = ()) -> list[Story]:
    """The story of each check of a step, or of the check called `name`.

    Raises UsageError if none was ever run, or if there is none: `known` are the steps and checks of the lab.
    """
    runs = repository.runs()
    keys = {key: None for _, results in runs for key in results if name in key.split("/")[:2]}
    if not keys and (known := tuple(known)) and name not in known:
        near = get_close_matches(name, known, 1)
        meant = f" Did you mean {near[0]}?" if near and not name.isdigit() else ""
        raise UsageError(f"There is no step or check {shown(name)!r}.{meant} Steps with their numbers: labenv check")
    if not keys:
        raise UsageError(f"The check {name!a} has not been run in this environment. Run it first: labenv check")
    edits = repository.edits()
    return [_story(key, [(time, results[key]) for time, results in runs if key in results], edits) for key in keys]


def _story(key: str, seen: list[tuple[int, dict[str, str]]], edits: list[Edit]) -> Story:
    step, check, machine = key.split("/")
    judged = [(time, result["status"] != "fail") for time, result in seen if result["status"] != "skip"]
    holds = bool(judged and judged[0][1])
    since = before = None
    for time, held in judged:
        if held != holds:
            before = time
            break
        since = time
    # Includes the second in which it was last otherwise: times are not known more exactly.
    between = tuple(e for e in edits if since and before <= e.time <= since) if before else ()
    return Story(step, check, machine, holds, seen[0][1]["evidence"], since, before, between)
