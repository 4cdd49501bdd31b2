"""Finding and reading a class's folder."""

import os
import re
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from labenv.classroom.folder import roster
from labenv.classroom.folder.model import Assignment, Class, LateRule, Limits
from labenv.errors import UsageError

FILE, ROSTER = "class.yaml", "roster.csv"
_SPAN = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m(?:in)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


def find(given: Path | None) -> Path:
    """The class's folder: the one that is given, or the current one or the nearest above it with a class.yaml.

    Raises UsageError if there is none.
    """
    if given is not None:
        if (given / FILE).is_file():
            return given.resolve()
        raise UsageError(f"{given} is not the folder of a class: it has no {FILE}. Make one: labenv class init {given}")
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise UsageError(
        f"There is no {FILE} here or in a folder above. Name the folder of the class: -c FOLDER (or set LABENV_CLASS), or make "
        "one: labenv class init FOLDER"
    )


def load(folder: Path) -> Class:
    """The class in a folder. Raises UsageError, with the file and the line, for what cannot be read."""
    tree = _read(folder / FILE)
    try:
        zone = ZoneInfo(tree.get("timezone") or "UTC")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UsageError(
            f"{folder / FILE}: the time zone {tree['timezone']!r} is unknown. Use a name such as America/Toronto."
        ) from error
    name = str(tree.get("name") or folder.name)
    limits = tree.get("limits") or {}
    return Class(
        folder,
        str(tree.get("id") or _label(folder.name)),
        name,
        zone,
        tuple(_assignment(folder, zone, each) for each in tree.get("labs") or ()),
        roster.read(folder / ROSTER).members,
        Limits(
            size(limits["memory"]) if "memory" in limits else None,
            limits.get("processes"),
            limits.get("at once"),
            limits.get("saves"),
            span(limits["for"]) if "for" in limits else None,
            span(limits["idle"]) if "idle" in limits else None,
        ),
        bool(tree.get("federate")),
    )


def span(text: str) -> timedelta:
    """A span of time such as 3h, 45m or 1d12h. Raises UsageError for another text."""
    match = _SPAN.fullmatch(str(text).strip())
    if not match or not any(match.groups()):
        raise UsageError(f"'{str(text)[:40]}' is no span of time. Write it as 3h, 45m or 1d12h.")
    days, hours, minutes = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def size(text: str | int) -> int:
    """A size in bytes, such as 512m or 1g. Raises UsageError for another text."""
    match = _SIZE.fullmatch(str(text).strip())
    if not match:
        raise UsageError(f"'{str(text)[:40]}' is no size. Write it as 512m or 1g.")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def _read(file: Path) -> dict[str, Any]:
    import yaml  # takes a while, and only commands about classes need it

    try:
        tree = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{file}: expected a mapping with name, labs and so on. `labenv class init` writes one.")
    return tree


def _assignment(folder: Path, zone: ZoneInfo, given: dict[str, Any]) -> Assignment:
    late = given.get("late") or {}
    lab = str(given["lab"])
    rubric = given.get("rubric")
    return Assignment(
        str((folder / lab).resolve()) if "/" in lab else lab,
        given.get("at"),
        _moment(given.get("open"), zone, time(0, 0)),
        _moment(given.get("due"), zone, time(23, 59, 59)),
        LateRule(
            late.get("per day", 10), late.get("days", 3), span(late["grace"]) if "grace" in late else timedelta(0)
        ),
        given.get("attempts"),
        folder / rubric if rubric else None,
        tuple(given.get("drills") or ()),
        frozenset(given.get("with") or ()),
    )


def _moment(given: object, zone: ZoneInfo, of_day: time) -> datetime | None:
    """A time in the zone of the class: YAML has read it as a date, a time, or a text."""
    match given:
        case None:
            return None
        case datetime():
            moment = given
        case date():
            moment = datetime.combine(given, of_day)
        case _:
            try:
                moment = datetime.fromisoformat(str(given))
            except ValueError as error:
                raise UsageError(f"'{str(given)[:40]}' is no time. Write it as 2027-01-26 23:59.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[: os.sysconf("SC_HOST_NAME_MAX") - 1] or "class"
