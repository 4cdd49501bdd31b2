"""Grades as JUnit XML, for a CI server: one suite a student, one case a step."""

from datetime import UTC
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from labenv.classroom.gradebook.book import Book
from labenv.classroom.grading.model import Grade, StepGrade
from labenv.text import clean


def as_junit(book: Book) -> bytes:
    """The grades in the elements that the common servers share, as labenv.reports.cases writes them for one environment.

    A step that fails is a failure; one that waits, was not judged, or belongs to a missing hand-in is skipped.
    """
    suites = Element("testsuites", {"name": clean(f"{book.of.name} {book.assignment.name}")})
    suites.extend(_suite(book, grade) for grade in book.grades)
    for name in ("tests", "failures", "errors", "skipped"):
        suites.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ElementTree.indent(suites)
    return (
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode").encode() + b"\n"
    )


def _suite(book: Book, grade: Grade) -> Element:
    stamp = grade.graded.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    suite = Element("testsuite", {"name": grade.student, "timestamp": stamp, "hostname": "localhost", "time": "0"})
    facts = {
        "name": book.name_of(grade.student),
        "points": f"{grade.total:g}",
        "of": f"{grade.of:g}",
        "source": grade.source,
        "attempt": str(grade.attempt),
        "days late": str(grade.days_late),
    }
    facts |= {f"deduction.{place}": f"{d.points:g} {d.reason}" for place, d in enumerate(grade.deductions, 1)}
    facts |= {f"decision.{place}": f"{o.points:g} {o.reason}" for place, o in enumerate(grade.overrides, 1)}
    properties = SubElement(suite, "properties")
    for name, value in facts.items():
        SubElement(properties, "property", {"name": name, "value": clean(value)})
    cases = [_case(grade, step) for step in grade.steps]
    if grade.missing:
        cases.append(Element("testcase", {"classname": grade.lab, "name": "hand-in", "time": "0"}))
        SubElement(cases[-1], "skipped", {"message": clean(grade.missing)})
    suite.extend(cases)
    for name, tag in (("failures", "failure"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    suite.set("errors", "0")
    return suite


def _case(grade: Grade, step: StepGrade) -> Element:
    name = clean(f"{step.step} {step.title} ({grade.points_of(step):g} of {step.of:g})")
    case = Element("testcase", {"classname": f"{grade.lab}.step-{step.step}", "name": name, "time": "0"})
    seen, expected = clean(step.seen), clean(step.expected)
    if step.status == "fail":
        failure = SubElement(case, "failure", {"message": seen, "type": step.judge})
        failure.text = "\n".join(filter(None, (seen, f"expected: {expected}" if expected else "")))
    elif step.status in ("skip", "missing"):
        SubElement(case, "skipped", {"message": seen})
    elif seen:
        SubElement(case, "system-out").text = seen
    return case
