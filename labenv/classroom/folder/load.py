"""Finding and reading a class's folder."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from labenv.classroom.folder import roster
from labenv.classroom.folder.model import Assignment, Class, ClassPage, InSwarm, LateRule, Limits, Member, OidcProvider
from labenv.errors import UsageError
from labenv.lab.lint.form import form
from labenv.lab.lint.found import Found
from labenv.lab.model import parsed
from labenv.lab.positions import Place

FILE, ROSTER = "class.yaml", "roster.csv"
_SPAN = re.compile(r"(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m(?:in)?)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_XS = 250  # that labenv gives out by itself (labenv.student.derive_x)


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
    """The class in a folder. Raises UsageError with everything that is wrong in its files, each with its place."""
    found = Found(folder)
    there = read(found, roster.read(folder / ROSTER).members)
    if found.findings or there is None:
        told = "\n".join(f"  {finding}" for finding in found.findings)
        raise UsageError(f"{folder / FILE} cannot be used:\n{told}")
    return there


def schema() -> Any:
    """The JSON schema of class.yaml."""
    return json.loads((Path(__file__).with_name("class.schema.json")).read_text(encoding="utf-8"))


def read(found: Found, members: tuple[Member, ...]) -> Class | None:
    """The class that the class.yaml in `found.folder` describes, with these members; what is wrong with it is noted in `found`.

    None if it does not even have the form of its schema.
    """
    folder = found.folder
    before = len(found.findings)
    form(found, folder / FILE, schema())
    if len(found.findings) > before:
        return None
    tree = parsed(folder / FILE)
    try:
        zone = ZoneInfo(tree.get("timezone", "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        said = f"the time zone '{tree['timezone']}' is unknown. Use a name such as America/Toronto."
        found.add(FILE, said, ["timezone"])
        zone = ZoneInfo("UTC")
    limits = tree.get("limits", {})
    there = Class(
        folder,
        tree.get("id") or label(folder.name),
        tree.get("name") or folder.name,
        zone,
        tuple(_assignment(found, zone, each, ["labs", number]) for number, each in enumerate(tree["labs"])),
        members,
        Limits(
            size(limits["memory"]) if "memory" in limits else None,
            limits.get("processes"),
            limits.get("at once"),
            limits.get("saves"),
            span(limits["for"]) if "for" in limits else None,
            span(limits["idle"]) if "idle" in limits else None,
        ),
        tree.get("federate", False),
        _page(folder, tree.get("page", {})),
        _swarm(folder, tree.get("swarm", False)),
    )
    for place, sentence in _contradictions(there):
        found.add(FILE, sentence, place)
    return there


def span(text: str) -> timedelta:
    """A span of time such as 3h, 45m or 1d12h. Raises UsageError for another text."""
    match = _SPAN.fullmatch(str(text).strip())
    if not match or not any(match.groups()):
        raise UsageError(f"'{str(text)[:40]}' is no span of time. Write it as 3h, 45m or 1d12h.")
    days, hours, minutes = (int(part or 0) for part in match.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes)
    except OverflowError as error:
        raise UsageError(f"'{str(text)[:40]}' is too long for a span of time. Write it as 3h, 45m or 1d12h.") from error


def size(text: str | int) -> int:
    """A size in bytes, such as 512m or 1g. Raises UsageError for another text."""
    match = _SIZE.fullmatch(str(text).strip())
    if not match:
        raise UsageError(f"'{str(text)[:40]}' is no size. Write it as 512m or 1g.")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def check_origin(option: str, text: str) -> None:
    """Raise UsageError for the value of an option that cannot be the `origin` of a page: a scheme and a host, maybe a port, and nothing else."""
    if text and not re.fullmatch(schema()["properties"]["page"]["properties"]["origin"]["pattern"], text):
        raise UsageError(
            f"{option} {text} is not the address of a page. Write it without a path, such as https://lab.example.org"
        )


def label(text: str) -> str:
    """The text as the value of the label of a class: at most 63 of a-z, 0-9 and inner '-'."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:63].strip("-") or "class"


def _assignment(found: Found, zone: ZoneInfo, given: dict[str, Any], place: list[str | int]) -> Assignment:
    late = given.get("late", {})
    lab = given["lab"]
    rubric = given.get("rubric")
    return Assignment(
        str((found.folder / lab).resolve()) if "/" in lab else lab,
        given.get("at"),
        _moment(found, zone, given, [*place, "open"], time(0, 0)),
        _moment(found, zone, given, [*place, "due"], time(23, 59, 59)),
        LateRule(
            late.get("per day", 10), late.get("days", 3), span(late["grace"]) if "grace" in late else timedelta(0)
        ),
        given.get("attempts"),
        found.folder / rubric if rubric else None,
        tuple(given.get("drills", ())),
        frozenset(given.get("with", ())),
    )


def _page(folder: Path, given: dict[str, Any]) -> ClassPage:
    oidc = given.get("oidc")
    provider = oidc and OidcProvider(
        oidc["issuer"], oidc["client id"], folder / oidc["secret file"], oidc.get("claim", "email")
    )
    return ClassPage(given.get("origin", ""), given.get("desktop", False), provider or None)


def _swarm(folder: Path, given: bool | dict[str, Any]) -> InSwarm | None:
    if isinstance(given, bool):
        return InSwarm() if given else None
    place = str(given.get("place", ""))
    if place and "://" not in place:
        place = f"file://{(folder / place).resolve()}"  # as fsspec has it: nothing is escaped
    return InSwarm(
        place,
        folder / given["settings file"] if "settings file" in given else None,
        span(given["every"]) if "every" in given else InSwarm.every,
        size(given["memory"]) if "memory" in given else 0,
        given.get("processors", 0.0),
    )


def _moment(
    found: Found, zone: ZoneInfo, given: dict[str, Any], place: list[str | int], of_day: time
) -> datetime | None:
    """The time at that place, in the zone of the class; a date alone means `of_day`. YAML has read it as a date, a time, or a text."""
    value = given.get(str(place[-1]))
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, date) else str(value).strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found.add(FILE, f"'{text[:40]}' is no time. Write it as 2027-01-26 23:59.", place)
        return None
    if len(text) == len("2027-01-26"):
        moment = datetime.combine(moment, of_day)
    if moment.tzinfo:
        return moment
    there = moment.replace(tzinfo=zone)
    with suppress(OverflowError):  # the years 1 and 9999
        if there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment:
            said = f"there is no {moment:%H:%M} on that day in {zone.key}: the clocks go forward. Choose another time."
            found.add(FILE, said, place)
    return there


def _contradictions(of: Class) -> Iterator[tuple[Place, str]]:
    """What in a class does not fit together, and where in its class.yaml."""
    seen: dict[str, int] = {}
    for number, each in enumerate(of.labs):
        if each.open and each.due and each.due <= each.open:
            yield ["labs", number, "due"], f"{each.name} is due before it opens ({each.open:%Y-%m-%d %H:%M %Z})."
        if seen.setdefault(each.name, number) != number:
            yield ["labs", number, "lab"], f"{each.name} is number {seen[each.name] + 1} already. Remove one."
    if of.swarm and of.federate:
        said = "a federated class has one world outside, on one computer: 'swarm' cannot be combined with 'federate'. Remove one."
        yield ["swarm"], said
    for number, each in enumerate(of.labs) if of.swarm else ():
        if "/" in each.lab:
            said = f"{each.name} lies in a folder here, which no other node has: with 'swarm', only labs that labenv ships can be used."
            yield ["labs", number, "lab"], said
    if of.swarm and of.swarm.every < timedelta(minutes=1):
        yield (
            ["swarm", "every"],
            "a push costs each environment half a second of a processor: once a minute is the most.",
        )
    if of.federate:
        yield from ((["federate"], said) for said in _equal(of))


def _equal(of: Class) -> Iterator[str]:
    """Why a class cannot be federated: behind one outside, each student needs an X that nobody else has."""
    lines: dict[int, int] = {}
    for one in of.members:
        if one.x is not None and lines.setdefault(one.x, one.line) != one.line:
            yield (
                f"students of a federated class need different X, and {ROSTER} gives {one.x} on the lines {lines[one.x]} and "
                f"{one.line}. Change one, leave it empty, or remove 'federate'."
            )
    if len(of.members) > _XS:
        yield (
            f"students of a federated class need different X, of which there are {_XS}, and {ROSTER} has {len(of.members)} "
            "students. Make two classes, or remove 'federate'."
        )
