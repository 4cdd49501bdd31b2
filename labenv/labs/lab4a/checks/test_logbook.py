"""The log book: whether its sections are filled in."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Site
from labenv.checks.plugin import step
from labenv.lab.model import Lab
from labenv.sheet.written import chapter


@step("18", machine="host")
def test_investigation_1(site: Site, lab: Lab, evidence: Evidence) -> None:
    chapter(site, lab, "INVESTIGATION 1", evidence)


@step("41", machine="host")
def test_investigation_2(site: Site, lab: Lab, evidence: Evidence) -> None:
    chapter(site, lab, "INVESTIGATION 2", evidence)


@step("47", machine="host")
def test_investigation_3(site: Site, lab: Lab, evidence: Evidence) -> None:
    chapter(site, lab, "INVESTIGATION 3", evidence)


@step("50", machine="host")
def test_exploration_questions(site: Site, lab: Lab, evidence: Evidence) -> None:
    chapter(site, lab, "EXPLORATION QUESTIONS", evidence)
