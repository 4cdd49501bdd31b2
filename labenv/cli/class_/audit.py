"""The class audit command."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from labenv.cli import common
from labenv.cli.class_.common import ClassOption, OnlyOption, opened
from labenv.cli.common import JsonOption, NoPagerOption
from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Class

_USUAL = ("time", "student", "from", "what")


def audit(
    folder: ClassOption = None, only: OnlyOption = None, json: JsonOption = False, no_pager: NoPagerOption = False
) -> None:
    """Show who did what at the gate, when, and from where; the oldest first.

    What was typed in a shell is not in it: only which machine it was in. labenv history shows what changed there.

    Examples:

      labenv class audit

      labenv class audit --only asmith15 --json | jq '.entries[] | select(.what == "submit")'
    """
    from labenv.classroom.serving import audit as core
    from labenv.cli.pager import paged

    of = opened(folder)
    students = frozenset(one.id for one in of.chosen(only)) if only else None
    entries = core.read(of, students)
    if json:
        common.print_json({"class": of.id, "entries": list(entries)})
        return
    with paged(no_pager):
        print("\n".join(_row(entry, of) for entry in entries) or f"Nothing has happened at the gate of {of.name}.")


def _row(entry: dict[str, Any], of: "Class") -> str:
    try:
        time = f"{datetime.fromisoformat(entry['time']).astimezone(of.zone):%Y-%m-%d %H:%M:%S}"
    except (KeyError, TypeError, ValueError):
        time = "?"
    more = " ".join(f"{key}={value}" for key, value in entry.items() if key not in _USUAL)
    return one_line(
        f"{time}  {entry.get('student') or '-'}  {entry.get('from') or '-'}  {entry.get('what')}  {more}"
    ).rstrip()
