"""A proof as JUnit XML: one suite per kind of rows, one case per row, and one suite for what only all rows show."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from labenv.proof.rows import KINDS, Outcome, Row
from labenv.proof.run import Proof
from labenv.text import clean


def xml(proof: Proof) -> str:
    """The proof as an XML document."""
    suites = Element("testsuites", {"name": f"{proof.lab.id} lab test"})
    _count(suites, len(proof.outcomes) + len(proof.findings), proof.failed, proof.seconds)
    titles = {row.id: row for row in proof.rows}
    for kind in KINDS:
        there = [one for one in proof.outcomes if titles[one.row].kind == kind]
        if there:
            suites.append(_suite(proof.lab.id, kind, there, titles))
    if proof.findings:
        suite = SubElement(suites, "testsuite", {"name": "all rows"})
        _count(suite, len(proof.findings), len(proof.findings), 0)
        for number, said in enumerate(proof.findings, 1):
            _fail(_case(suite, f"{proof.lab.id}.all", f"finding {number}", 0), [said])
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return clean(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def _suite(lab: str, kind: str, there: list[Outcome], titles: dict[str, Row]) -> Element:
    suite = Element("testsuite", {"name": kind})
    _count(suite, len(there), sum(bool(one.problems) for one in there), sum(one.seconds for one in there))
    for one in there:
        row = titles[one.row]
        case = _case(suite, f"{lab}.{kind}", f"{row.name}: {row.title}", one.seconds)
        if one.problems:
            _fail(case, one.problems)
        elif one.notes:
            SubElement(case, "system-out").text = clean("\n".join(one.notes))
    return suite


def _case(suite: Element, classname: str, name: str, seconds: float) -> Element:
    return SubElement(suite, "testcase", {"classname": classname, "name": clean(name), "time": f"{seconds:.2f}"})


def _fail(case: Element, said: "list[str] | tuple[str, ...]") -> None:
    failure = SubElement(case, "failure", {"message": clean(said[0]), "type": "lab"})
    failure.text = clean("\n".join(said))


def _count(element: Element, tests: int, failures: int, seconds: float) -> None:
    for name, value in (("tests", tests), ("failures", failures), ("errors", 0), ("skipped", 0)):
        element.set(name, str(value))
    element.set("time", f"{seconds:.2f}")
