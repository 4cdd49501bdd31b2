"""What the names of hand-ins tell when an LMS gives them all in one zip: whose each is, and where the LMS says so, when it came.

| | a hand-in is called | where that is from |
| --- | --- | --- |
| Moodle | `Ann Smith_12345_assignsubmission_file/a.tar.gz`, or all in one folder with `_` for `/` | mod/assign/classes/downloader.php |
| Canvas | `smithann_LATE_678_901_a.tar.gz`: sortable name, user id, file id | lib/content_zipper.rb |
| Blackboard | `Lab 4b_asmith15_attempt_2027-01-26-23-59-01_a.tar.gz`, with a .txt beside it | Assignment File Download |
| Brightspace | `12345-67890 - Ann Smith - Jan 26, 2027 1159 PM/a.tar.gz`, or ` - ` for `/` | Assignments, Download |
| labenv's gate | `asmith15/20270126T235901Z.tar.gz` | labenv/classroom/serving/received.py |

Any other file is called as the teacher calls it: `asmith15.tar.gz`, `asmith15/a.tar.gz`.

The end of a name, `a.tar.gz` above, is the student's own choice, and may look like any of these. So what stands first decides.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import PurePosixPath

ENDINGS = (".tar.gz", ".tgz", ".tar", ".gz")
_MOODLE = re.compile(r"(?P<name>(?:(?!_attempt_\d{4}-).)+?)_(?P<number>\d+)_assignsubmission_file(?:_(?P<file>.*))?")
_CANVAS = re.compile(r"(?P<name>[^_]+|anon)_(?P<late>LATE_)?(?P<user>[0-9A-Za-z]+)_(?P<id>\d+)_(?P<file>.+)")
_BLACKBOARD = re.compile(r"(?P<before>.+?)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<file>.*))?(?:\.txt)?")
# The date is in the words and the order of the course's language; those of English are understood.
_BRIGHTSPACE = re.compile(
    r"\d+-\d+ - (?:(?P<number>\S*\d\S*) - )?(?P<name>.+?) ?- (?P<day>[\w .,]*?\d{4}),? (?P<clock>\d{3,4}) ?(?P<half>[AP]\.?M\.?)?(?: - (?P<file>.+))?",
    re.IGNORECASE,
)
_GATE = re.compile(r"\d{8}T\d{6}Z")
_DAYS = ("%b %d, %Y", "%B %d, %Y", "%d %b, %Y", "%d %B, %Y", "%d %b %Y", "%d %B %Y")
# What programs and people put behind a name, so that two files can have it.
_AGAIN = re.compile(r"(?:[ _-]?\(\d{1,3}\)|[_-]\d{1,3})$")


@dataclass(frozen=True)
class Named:
    """What a name tells: `keys` may be the student's id, login or name, the surest first.

    `time` is when the hand-in came, None where the name does not say. `is_late` is Canvas's word. `number` is Moodle's participant.
    """

    keys: tuple[str, ...]
    time: datetime | None = None
    is_late: bool = False
    number: str = ""


def named(path: str, zone: tzinfo, ids: Container[str] = ()) -> Named:
    """What the name of a file in a zip or a folder tells; a time without a zone is in that one, which an LMS shows to the course.

    In a folder that is called like one of the `ids`, in small letters, whatever stands behind it is the student's own choice.
    """
    parts = PurePosixPath(path).parts or (path,)  # "." has none
    for place, part in enumerate(parts, 1):
        if place < len(parts) and part.casefold() in ids:
            break
        found = _brightspace(part, zone) or (_canvas(part) if place == len(parts) else None)  # Canvas makes no folders
        if found := found or _moodle(part) or _blackboard(part, zone):
            return found
    return _gate(parts) or Named(tuple(_plain(parts)))


def _moodle(part: str) -> Named | None:
    match = _MOODLE.fullmatch(part)
    return Named((match["name"],), number=match["number"]) if match else None


def _canvas(name: str) -> Named | None:
    match = _CANVAS.fullmatch(name)
    if not match or not (match["user"].isdecimal() or match["name"] == "anon"):
        return None
    # Canvas's number of a user may be another's number elsewhere, so it decides only where the name does not.
    return Named((match["name"], match["user"]), is_late=bool(match["late"]))


def _blackboard(part: str, zone: tzinfo) -> Named | None:
    match = _BLACKBOARD.fullmatch(part)
    if not match:
        return None
    try:
        time = datetime.strptime(match["time"], "%Y-%m-%d-%H-%M-%S").replace(tzinfo=zone)
    except ValueError:
        return None
    # Both the assignment and a login may have `_`: each place may be the one between them.
    words = match["before"].split("_")
    return Named(tuple("_".join(words[at:]) for at in range(1, len(words))), time)


def _brightspace(part: str, zone: tzinfo) -> Named | None:
    match = _BRIGHTSPACE.fullmatch(" ".join(part.split()))  # some languages have a narrow blank before AM and PM
    if not match:
        return None
    keys = tuple(filter(None, (match["number"], match["name"])))
    clock, half = match["clock"].zfill(4), (match["half"] or "").replace(".", "")
    for day in _DAYS:
        try:
            time = datetime.strptime(f"{match['day']} {clock} {half}".strip(), f"{day} {'%I%M %p' if half else '%H%M'}")
        except ValueError:
            continue
        return Named(keys, time.replace(tzinfo=zone))
    return Named(keys)


def _gate(parts: tuple[str, ...]) -> Named | None:
    stem = _stem(parts[-1])
    if not _GATE.fullmatch(stem) or len(parts) < 2:
        return None
    try:
        return Named((parts[-2],), datetime.strptime(stem, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
    except ValueError:
        return None


def _plain(parts: tuple[str, ...]) -> Iterator[str]:
    stem = _stem(parts[-1])
    yield from (*parts[:-1], stem, _AGAIN.sub("", stem))


def _stem(name: str) -> str:
    for ending in ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
