"""A class's grades, made up: some have everything, some little, some nothing; with all that a grade can say."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from labenv.classroom.folder.model import Assignment, Class, Member
from labenv.classroom.gradebook import Alike, Book, Page
from labenv.classroom.grading.model import Deduction, Grade, Judge, Override, Status, StepGrade
from labenv.environments.drill_records import DrillEntry
from labenv.lab import labs
from labenv.sheet.guide import Asked

ZONE = ZoneInfo("America/Toronto")
DUE = datetime(2027, 1, 26, 23, 59, tzinfo=ZONE)
LAB = labs.load("lab4b")
FIRST = ["Amir", "Bo", "Chloé", "Dana", "Emre", "Fatima", "Grace", "Håkon", "Ines", "Jonas"]
LAST = ["Smith", "Jones", "Wu", "Müller", "O'Neil", "Núñez", "Kaya", "Ødegård", "Silva", "Brown"]
SEEN = [
    "'main.cf' has no relayhost; mail for elsewhere stayed in the queue: connect to mx.example.org[203.0.113.9]:25: timed out",
    "vm3 answered 550 5.1.1 <ops345@asmith15.ops>: Recipient address rejected: User unknown in local recipient table",
    "port 25 of vm3 is closed: connection refused",
]


def member(place: int, **given: object) -> Member:
    first, last = FIRST[place % 10], LAST[place // 10 % 10]
    student = f"{first[0]}{last}{place}".lower().encode("ascii", "ignore").decode().replace("'", "")
    row = {"id": student, "name": f"{first} {last}", "email": f"{student}@example.edu"}
    there = Member(
        student, student, f"{first} {last}", f"{student}@example.edu", f"{70000 + place}", row=row, line=place + 2
    )
    return replace(there, **given)  # type: ignore[arg-type]


def steps(good: float, dice: random.Random) -> tuple[StepGrade, ...]:
    """The grades of all steps of the lab, of which about that share passes."""
    made = []
    for place, step in enumerate(LAB.steps.values()):
        judge: Judge = "person" if step.is_for_a_person else "log" if step.id in ("19", "22") else "replay"
        if judge == "person":
            made.append(StepGrade(step.id, step.title, "pass" if good > 0.4 else "skip", judge, 0, 0))
            continue
        passes = dice.random() < good
        status: Status = "pass" if passes else "fail" if dice.random() < 0.7 else "skip"
        seen = "as expected" if passes else dice.choice(SEEN) if status == "fail" else "waits for step 12"
        wanted = "" if passes else "relayhost = vm3, and mail for elsewhere leaves by it"
        claimed: Status | None = "pass" if status == "fail" and place % 9 == 0 else None
        made.append(StepGrade(step.id, step.title, status, judge, float(passes), 1, seen, wanted, claimed))
    return tuple(made)


def grade(student: str, good: float, dice: random.Random, **more: object) -> Grade:
    made = Grade(
        student,
        "lab4b",
        "replay",
        datetime(2027, 1, 30, 9, 0, tzinfo=UTC),
        handed_in=DUE - timedelta(hours=abs(dice.gauss(20, 18))),
        file=f"{student}.tar.gz",
        steps=steps(good, dice),
        rubric="5f2a9c0e4411",
    )
    return replace(made, **more)  # type: ignore[arg-type]


def book(students: int = 30, rows: Mapping[int, Mapping[str, str]] | None = None, seed: int = 4) -> Book:
    """The grades of that many students; `rows` are columns of the roster for some of them, by their place."""
    dice = random.Random(seed)
    members = [member(place) for place in range(students)]
    for place, row in (rows or {}).items():
        members[place] = replace(members[place], row={**members[place].row, **row})
    there = Class(Path("/tmp/ops345"), "ops345", "OPS345 Winter 2027", ZONE, (), tuple(members))
    grades: list[Grade] = []
    history: list[Grade] = []
    for place, one in enumerate(members):
        good = min(1.0, max(0.1, dice.gauss(0.8, 0.2)))
        late = place % 7 == 3
        last = grade(one.id, good, dice, hints=dice.randrange(6))
        if late:
            last = replace(last, handed_in=DUE + timedelta(hours=30), days_late=2)
            last = replace(last, deductions=(Deduction("2 days late, 10 % a day", round(last.of * 0.2, 2)),))
        if place % 11 == 5:
            last = replace(last, notes=("the manifest's domain is bjones3.ops, not the student's",))
        if place == 2:
            decided = Override(
                1, "Shown in the lab room on the day", "teacher", datetime(2027, 2, 1, 12, tzinfo=UTC), "19"
            )
            last = replace(last, overrides=(decided,))
        if place % 15 == 14:
            nothing = tuple(replace(step, status="missing", points=0, seen="", claimed=None) for step in last.steps)
            last = Grade(one.id, "lab4b", "hand-in", last.graded, steps=nothing, missing="nothing was handed in")
        if not last.missing:
            history += [
                replace(
                    grade(one.id, good * part, dice), graded=last.graded - timedelta(days=days), source="environment"
                )
                for part, days in ((0.3, 12), (0.6, 8), (0.9, 5))
            ]
            history.append(last)
        grades.append(last)
    asked = (Asked("2027-01-20T14:02:11+00:00", "22", 1), Asked("2027-01-20T14:20:40+00:00", "22", 2))
    drill = DrillEntry(members[0].id, "no-mx", 2, "dns", "mended", "2027-01-22T10:00:00+00:00", 754, 300, 1, 2, 0)
    return Book(
        there,
        Assignment("lab4b", due=DUE),
        tuple(grades),
        tuple(sorted(history, key=lambda each: each.graded)),
        (
            Alike(
                (members[0].id, members[-1].id), "log book (212 of 260 own words: “at first nothing arrived because”)"
            ),
        ),
        {members[0].id: Page(asked, (drill,))},
    )
