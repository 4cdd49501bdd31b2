"""The report for a CI server, as a page and as Markdown: everything is in it, and nothing that was seen becomes markup."""

import dataclasses
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

import labenv
from labenv import reports
from labenv.checks.results import CheckResult, Report, Status, in_chains, with_persons
from labenv.environment import Environment, Machine
from labenv.lab import labs
from labenv.reports.paper import Paper
from labenv.sheet.guide import Asked
from labenv.student import Student

LAB = labs.load("lab4b")
HOSTILE = "relayhost is <script>alert(1)</script> & \"'|`*_[x](http://example.org) \x00\x1b[31m\ufffe {{ 7 * 7 }} ]]>"


def found(step: str, status: Status, evidence: str) -> CheckResult:
    return CheckResult(step, "look", "vm2", LAB.steps[step].title, status, evidence, "What it means.")


@pytest.fixture
def paper() -> Paper:
    results = [
        found("11b", "fail", "vm3 answers 454 4.7.1"),
        found("16", "fail", "nothing came"),
        found("17", "warn", HOSTILE),
        found("19", "pass", "mynetworks is right"),
        found("33", "fail", HOSTILE),
    ]
    report = Report("asmith15", "lab4b", with_persons(in_chains(results, LAB), LAB, ["27", "33"]))
    machine = Machine("vm2", "vm2.asmith15.ops", "192.168.90.3", "running", "labenv-asmith15-vm2")
    environment = Environment(Student("asmith15", 90, "anna", "secret"), "lab4b", "relay", (machine,))
    asked = (Asked("2026-11-22T09:00:00+00:00", "11b", 2), Asked("2026-11-22T09:05:00+00:00", "<i>", 3))
    return Paper(report, LAB, environment, asked, datetime(2026, 11, 22, 10, 0, tzinfo=UTC))


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_junit_has_a_suite_a_heading_and_a_case_a_check(paper: Paper) -> None:
    root = ElementTree.fromstring(reports.junit(paper))
    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == [heading.text for heading in paper.headings]
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(paper.report.results)
    by_step = {case.get("classname"): case for case in cases}
    failure = by_step["lab4b.step-11b"].find("failure")
    assert failure is not None
    assert failure.get("message") == "vm3 answers 454 4.7.1"
    assert "What it means." in (failure.text or "")
    skipped = by_step["lab4b.step-16"].find("skipped")
    assert skipped is not None
    assert (skipped.get("message") or "").startswith("waits for step 11b")
    assert by_step["lab4b.step-27"].find("skipped") is not None
    assert [child.tag for child in by_step["lab4b.step-19"]] == ["system-out"]


def test_junit_counts_agree_with_its_cases(paper: Paper) -> None:
    root = ElementTree.fromstring(reports.junit(paper))
    for element in (root, *root):
        assert element.get("tests") == str(len(list(element.iter("testcase"))))
        assert element.get("failures") == str(len(list(element.iter("failure"))))
        assert element.get("skipped") == str(len(list(element.iter("skipped"))))


def test_junit_names_each_case_once_and_tells_of_the_hints(paper: Paper) -> None:
    root = ElementTree.fromstring(reports.junit(paper))
    names = [(case.get("classname"), case.get("name")) for case in root.iter("testcase")]
    assert len(names) == len(set(names))
    properties = {item.get("name"): item.get("value") for item in root.iter("property")}
    assert properties["hint.11b.1"] == "2026-11-22T09:00:00+00:00 level 2"
    assert (properties["student"], properties["stage"]) == ("asmith15", "relay")


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(paper: Paper) -> None:
    page = Page(reports.html(paper))
    assert not [tag for tag, _ in page.elements if tag in ("script", "img", "iframe", "object", "i")]
    links = [value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "href", "style")]
    assert [link for link in links if not re.fullmatch(r"data:,|flex: \d+", link or "")] == []
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]


def test_the_page_shows_what_was_seen_as_it_was(paper: Paper) -> None:
    page = Page(reports.html(paper))
    assert "relayhost is <script>alert(1)</script> & \"'|`*_[x](http://example.org)" in page.text
    assert "{{ 7 * 7 }}" in page.text


@pytest.mark.parametrize("kind", reports.KINDS)
def test_each_report_tells_of_everything(paper: Paper, kind: str) -> None:
    text = reports.KINDS[kind](paper)
    for word in ("asmith15", "2026-11-22T10:00:00", paper.version, LAB.steps["27"].title, "vm3 answers 454 4.7.1"):
        assert word in text
    assert "2026-11-22T09:00:00" in text  # the hint asked
    assert "restarted after the change" in text  # the sheet's error at 11b
    for heading in paper.headings:
        assert heading.text.split(":")[0] in text


@pytest.mark.parametrize("kind", reports.KINDS)
def test_no_report_holds_what_no_reader_can_show(paper: Paper, kind: str) -> None:
    text = reports.KINDS[kind](paper)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe]", text)
    assert "\\x" in text


def test_markdown_has_a_whole_row_for_each_step_whatever_was_seen(paper: Paper) -> None:
    rows = [line for line in reports.markdown(paper).splitlines() if re.match(r"\| [✓✗!·-] \|", line)]
    assert len(rows) == 6
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "<script>" not in reports.markdown(paper)
    assert "[x](" not in reports.markdown(paper).replace("\\[", "")


def test_nothing_asked_is_said(paper: Paper) -> None:
    without = dataclasses.replace(paper, asked=())
    assert "None." in reports.html(without)
    assert "None." in reports.markdown(without)


def test_what_was_seen_stands_beside_what_was_expected(paper: Paper) -> None:
    wrong = dataclasses.replace(found("17", "fail", "none (expected: <vm3>)"), seen="none at all", expected="<vm3>")
    report = dataclasses.replace(paper.report, results=(wrong, found("17", "fail", "and a word")))
    page = reports.html(dataclasses.replace(paper, report=report))
    assert "<div><dt>Seen on vm2</dt><dd>none at all</dd></div>" in page
    assert "<div><dt>Expected</dt><dd>&lt;vm3&gt;</dd></div>" in page
    assert "<li>and a word</li>" in page
    assert "<li>none (expected" not in page


def test_only_the_shared_style_sheet_names_colours() -> None:
    package = Path(labenv.__file__).parent
    styles = [*package.rglob("*.css"), *package.rglob("*.html.j2")]
    named = {file.name for file in styles if re.search(r":[^;{}\n]*#[0-9a-f]{3,6}\b", file.read_text())}
    assert named == {"look.css", "paper.css"}  # the latter: what is printed
