"""JUnit XML, as CI servers read it: one suite per heading, one case per check.

There is no standard for it. What is written here are the elements and attributes that the common servers share (the Ant
task's schema, with `testsuites` around it and `properties` in front).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from labenv.checks.results import CheckResult
from labenv.reports.paper import Paper
from labenv.sheet.progress import Heading, StepProgress
from labenv.text import clean


def xml(paper: Paper) -> str:
    """The report as an XML document."""
    suites = [_suite(paper, heading, heading.text) for heading in paper.headings]
    return _document(f"{paper.lab.id} {paper.report.student}", list(paper.report.results), suites)


def xml_of_class(name: str, papers: Sequence[Paper], errors: Mapping[str, str]) -> str:
    """The reports of many students as one document, each heading of a student a suite, and a suite for each who could not be checked."""
    suites = [
        _suite(paper, heading, f"{paper.report.student}: {heading.text}")
        for paper in papers
        for heading in paper.headings
    ]
    for student, sentence in errors.items():
        counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0", "time": "0"}
        suite = Element("testsuite", {"name": student, **counts})
        case = SubElement(suite, "testcase", {"classname": student, "name": "the checks", "time": "0"})
        SubElement(case, "error", {"message": clean(sentence), "type": "not checked"})
        suites.append(suite)
    results = [result for paper in papers for result in paper.report.results]
    return clean(_document(name, results, suites, errors=len(errors)))


def _document(name: str, results: list[CheckResult], suites: Iterable[Element], errors: int = 0) -> str:
    root = Element("testsuites", {"name": name})
    _count(root, results, errors)
    root.extend(suites)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(paper: Paper, heading: Heading, name: str) -> Element:
    # The schema requires a time without a zone.
    stamp = paper.time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    suite = Element("testsuite", {"name": name, "timestamp": stamp, "hostname": paper.environment.student.domain})
    _count(suite, [result for row in heading.rows for result in row.results])
    properties = SubElement(suite, "properties")
    facts = {"student": paper.report.student, "stage": paper.environment.stage, "labenv": paper.version}
    for row in heading.rows:
        for place, ask in enumerate(paper.asked_about(row.step.id), 1):
            facts[f"hint.{row.step.id}.{place}"] = f"{ask.time} level {ask.level}"
    for key, value in facts.items():
        SubElement(properties, "property", {"name": key, "value": clean(value)})
    suite.extend(_case(paper, row, result) for row in heading.rows for result in row.results)
    return suite


def _case(paper: Paper, row: StepProgress, result: CheckResult) -> Element:
    name = f"{row.step.id} {result.title} ({result.machine}: {result.check})"
    case = Element("testcase", {"classname": f"{paper.lab.id}.step-{row.step.id}", "name": name, "time": "0"})
    said = clean(result.evidence)
    if result.status == "fail":
        failure = SubElement(case, "failure", {"message": said, "type": "check"})
        failure.text = "\n".join(filter(None, (said, result.hint, row.step.note)))
    elif result.status == "skip":
        SubElement(case, "skipped", {"message": said})
    elif said:
        SubElement(case, "system-out").text = said
    return case


def _count(element: Element, results: list[CheckResult], errors: int = 0) -> None:
    statuses = [result.status for result in results]
    element.set("tests", str(len(statuses) + errors))
    element.set("failures", str(statuses.count("fail")))
    element.set("errors", str(errors))
    element.set("skipped", str(statuses.count("skip")))
    element.set("time", "0")
