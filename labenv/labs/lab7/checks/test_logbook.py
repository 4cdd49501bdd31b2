"""The log book: whether its sections are filled in."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Site
from labenv.checks.plugin import step
from labenv.lab.model import Lab
from labenv.sheet.written import chapter


@step("14", machine="host")
def test_investigation_1(site: Site, lab: Lab, evidence: Evidence) -> None:
    chapter(site, lab, "INVESTIGATION 1", evidence)


@step("25", machine="host")
def test_investigation_2(site: Site, lab: Lab, evidence: Evidence) -> None:
    chapter(site, lab, "INVESTIGATION 2", evidence)


@step("27", machine="host")
def test_exploration_questions(site: Site, lab: Lab, evidence: Evidence) -> None:
    chapter(site, lab, "EXPLORATION QUESTIONS", evidence)
