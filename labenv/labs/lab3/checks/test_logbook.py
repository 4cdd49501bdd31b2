"""The log book: whether its sections are filled in. Only a person can judge what is written there."""

import pytest

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.errors import EngineError
from labenv.lab import labs
from labenv.sheet import logbook
from labenv.student import Student


@step("18", machine="host")
def test_investigation_1(host: Machine, student: Student, evidence: Evidence) -> None:
    _filled(host, student, "INVESTIGATION 1", evidence)


@step("28", machine="host")
def test_investigation_2(host: Machine, student: Student, evidence: Evidence) -> None:
    _filled(host, student, "INVESTIGATION 2", evidence)


@step("37", machine="host")
def test_exploration_questions(host: Machine, student: Student, evidence: Evidence) -> None:
    _filled(host, student, "EXPLORATION QUESTIONS", evidence)


def _filled(host: Machine, student: Student, title: str, evidence: Evidence) -> None:
    try:
        text = host.run(f"head -c {logbook.LARGEST} {logbook.PATH}").stdout
    except EngineError as error:  # the checks of its services report that host is down
        pytest.skip(f"the log book cannot be read: {error}")
    book = logbook.sections(text, logbook.blank(labs.load("lab3"), student))
    section = next(section for section in book if section.title == title)
    if section.empty:
        pytest.skip(f"{section.missing}; write it with: labenv logbook --edit")
    evidence(section.is_filled, f"{title} of the log book is filled in", "something in each of its parts")
