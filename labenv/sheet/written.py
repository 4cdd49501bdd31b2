"""Whether a chapter of the log book is filled in, for the checks of labs that have one. Only a person can judge what is written there."""

import pytest

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Site
from labenv.errors import EngineError
from labenv.lab.model import Lab
from labenv.sheet import logbook


def chapter(site: Site, lab: Lab, title: str, evidence: Evidence) -> None:
    """Judge the section `title` of the log book: a part without a word skips the check, as only a person can say what belongs there."""
    machine = logbook.keeper(lab)
    try:
        text = site[machine].run(f"head -c {logbook.LARGEST} {logbook.PATH}").stdout
    except EngineError as error:  # the checks of its services report that the machine is down
        pytest.skip(f"the log book cannot be read: {error}")
    book = logbook.sections(text, logbook.blank(lab, site.student))
    section = next(section for section in book if section.title == title)
    if section.empty:
        pytest.skip(f"{section.missing}; write it with: labenv logbook --edit")
    evidence(section.is_filled, f"{title} of the log book is filled in", "something in each of its parts")
