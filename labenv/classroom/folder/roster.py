"""Reading a roster: one student a row, as an LMS or a spreadsheet writes it."""

import csv
from dataclasses import dataclass
from pathlib import Path

from labenv import student
from labenv.classroom.folder.model import Member
from labenv.errors import UsageError


@dataclass(frozen=True)
class Roster:
    """The students of a roster, and what is to be said of rows that were read otherwise than they stand (`notes`)."""

    members: tuple[Member, ...]
    notes: tuple[str, ...] = ()


def read(file: Path) -> Roster:
    """The roster in a CSV file. Raises UsageError, with the line of each bad row."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}. A class needs a roster beside its class.yaml."
        ) from error
    rows = csv.DictReader(text.splitlines())
    members = []
    for row in rows:
        given = row["id"].strip()
        members.append(
            Member(
                student.check_id(given),
                given,
                row.get("name") or "",
                row.get("email") or "",
                row=row,
                line=rows.line_num,
            )
        )
    return Roster(tuple(members))
