"""The report of a class as one HTML page, and each student's own."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from labenv.classroom import report
from labenv.classroom.gradebook import KINDS, Book
from labenv.classroom.report import pictures
from labenv.classroom.report.view import Overview, Student
from labenv.environments.drill_records import DrillEntry
from tests.unit.made_grades import DUE, ZONE, book, grade, member

VOID = {"meta", "link"}
HOSTILE = '</td><script>alert(1)</script><img src=x onerror=alert(1)> & "quoted" {{ 7 * 7 }} \x1b[31m'


class Page(HTMLParser):
    """What a browser would make of a page: its elements, its text, and which end tag fits none."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str, name: str = "class") -> list[str]:
        return [attrs.get(name) or "" for found, attrs in self.elements if found == tag]


@pytest.fixture(scope="module")
def made() -> Book:
    return book(30)


@pytest.fixture(scope="module")
def page(made: Book) -> Page:
    return Page(report.of_class(made))


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(page: Page) -> None:
    assert not page.wrong
    assert not page.open
    for tag, attrs in page.elements:
        assert tag not in ("script", "img", "iframe", "object", "embed", "form")
        for name in ("src", "href", "data", "srcset"):
            assert (attrs.get(name) or "#")[:1] == "#" or attrs[name] == "data:,"
        assert not [name for name in attrs if name.startswith("on")]


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = Counter(attrs["id"] for _, attrs in page.elements if "id" in attrs)
    assert set(ids.values()) == {1}
    assert {link[1:] for link in page.all("a", "href")} <= set(ids)
    for _, attrs in page.elements:
        assert (attrs.get("aria-labelledby") or next(iter(ids))) in ids


def test_headings_leave_no_level_out(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [tag for tag, _ in page.elements if tag in ("header", "nav", "main", "footer")] == [
        "header",
        "nav",
        "main",
        "footer",
    ]


def test_the_table_has_a_row_a_student_and_a_column_a_step(page: Page, made: Book) -> None:
    cells = Counter(kind.split()[0] for kind in page.all("td") if kind.split()[:1] and "mark" not in kind)
    results = Counter(cell.kind for student in Overview(made).students for cell in student.cells)
    assert {kind: cells[kind] for kind in results} == results
    assert sum(results.values()) == 30 * len(made.steps)
    assert "Investigation 2: Setup Your MTA to Use Correct Domain" in page.text


def test_a_cell_says_its_result_in_words_and_shows_the_terminals_sign() -> None:
    there = book(3)
    said = report.of_class(there).decode()
    assert '<td class="fail">fails</td>' in said
    assert '.matrix .fail::before { content: "✗"' in said
    assert "decided by a teacher</td>" in said


def test_who_judged_is_kept_apart(page: Page, made: Book) -> None:
    judged = {words: (points, of, count) for words, points, of, count in Student(made, made.grades[0]).judged}
    assert judged["on clean machines"][1:] == (34, 34)
    assert judged["by the handed-in logs"][1:] == (2, 2)
    assert judged["by a person"][1:] == (0, 17)
    for words in judged:
        assert f"judged {words}" in page.text


def test_points_that_a_teacher_decided_are_a_persons(made: Book) -> None:
    decided = Student(made, made.grades[2])
    judged = {words: (points, of, count) for words, points, of, count in decided.judged}
    assert [each.step for each in decided.grade.overrides] == ["19"]
    assert judged["by the handed-in logs"][1:] == (1, 1)
    assert judged["by a person"] == (1, 1, 18)
    assert {words: (points, of) for words, _, _, points, of in Overview(made).judged}["by a person"] == (1, 1)


def test_hints_have_the_time_of_the_clocks_of_the_class(page: Page) -> None:
    assert "2027-01-20 09:02" in page.text
    assert "2027-01-20T14:02" not in page.text


def test_both_results_are_shown_where_they_differ(page: Page, made: Book) -> None:
    differing = sum(step.claimed is not None for grade in made.grades for step in grade.steps)
    assert differing
    assert page.text.count("In the student’s own results this step passes.") == differing


def test_what_a_roster_a_machine_or_an_archive_said_is_data() -> None:
    there = book(2)
    steps = tuple(replace(step, title=HOSTILE, seen=HOSTILE, expected=HOSTILE) for step in there.grades[0].steps)
    first = replace(there.grades[0], steps=steps, notes=(HOSTILE,), file=HOSTILE, missing=HOSTILE)
    members = (member(0, name=HOSTILE, email=HOSTILE), there.of.members[1])
    hostile = replace(there, of=replace(there.of, name=HOSTILE, members=members), grades=(first, there.grades[1]))
    for made in (report.of_class(hostile), report.of_student(hostile, first)):
        read = Page(made)
        assert not {"script", "img"} & {tag for tag, _ in read.elements}
        assert "{{ 7 * 7 }}" in read.text
        assert "\x1b" not in read.text


def test_a_students_own_page_has_nothing_of_others_and_no_notes(made: Book) -> None:
    first = replace(made.grades[0], notes=("looks like a copy",))
    own = report.of_student(replace(made, grades=(first, *made.grades[1:])), first).decode()
    assert "looks like a copy" not in own
    assert "at first nothing arrived" not in own  # what is alike
    for other in made.grades[1:]:
        assert other.student not in own
    assert first.student in own
    assert not Page(own.encode()).wrong


def test_a_students_own_page_does_not_name_the_drill_that_runs(made: Book) -> None:
    student = made.grades[0].student
    running = DrillEntry(student, "silent-relay", 1, "mta", "running", "", 10, None, 0, 0, None)
    there = replace(made, pages={student: replace(made.page(student), drills=(running,))})
    assert b"silent-relay" not in report.of_student(there, there.grades[0])
    assert b"silent-relay" in report.of_class(there)


def test_a_long_text_is_cut() -> None:
    there = book(2)
    long = replace(there.grades[0], steps=tuple(replace(step, seen="x" * 100_000) for step in there.grades[0].steps))
    assert len(report.of_student(replace(there, grades=(long, there.grades[1])), long)) < 300_000


def test_three_hundred_students_are_one_page_of_a_bearable_size() -> None:
    assert len(report.of_class(book(300))) < 8_000_000


def test_a_class_without_anything_has_a_page() -> None:
    there = book(2)
    nothing = tuple(
        replace(each, steps=(), handed_in=None, missing="nothing was handed in", overrides=(), deductions=())
        for each in there.grades
    )
    read = Page(report.of_class(replace(there, grades=nothing, history=())))
    assert "0 of 2" in read.text
    assert "No step fails." in read.text
    assert len(read.all("svg")) == 1  # the distribution


def test_a_class_in_which_nobody_could_be_graded_has_files_all_the_same() -> None:
    nobody = replace(book(2), grades=(), history=())
    assert "0 of 0" in Page(report.of_class(nobody)).text
    assert all(kind(nobody) for kind in KINDS.values())


def test_of_a_missing_hand_in_no_step_is_told(made: Book) -> None:
    missing = next(each for each in made.grades if each.missing)
    own = Page(report.of_student(made, missing))
    assert "nothing was handed in" in own.text
    assert not own.all("table")


def test_a_regrade_says_what_changed(made: Book) -> None:
    first = next(each for each in made.grades if not each.missing)
    step = next(each for each in first.steps if each.status == "pass" and each.of)
    worse = tuple(replace(each, points=0, status="fail") if each is step else each for each in first.steps)
    again = replace(first, steps=worse, rubric="other", graded=first.graded.replace(hour=20))
    student = Student(replace(made, history=(first, again)), again)
    assert student.changed(1) == f"fewer points: {step.step}; another rubric"


# -- pictures -----------------------------------------------------------------------------------------------------------


def test_the_distribution_counts_everybody_once() -> None:
    chart = pictures.histogram([0, 9.99, 10, 55, 99.9, 100])
    assert [bar.count for bar in chart.bars] == [2, 1, 0, 0, 0, 1, 0, 0, 0, 2]
    assert "2 from 90 %" in chart.words
    tallest = max(chart.bars, key=lambda bar: bar.height)
    assert pictures.TOP < tallest.y < pictures.BOTTOM == tallest.y + tallest.height


def test_the_time_line_ends_at_the_share_that_handed_in(made: Book) -> None:
    chart = pictures.handed_in(made.grades, 30, DUE, ZONE)
    assert chart is not None
    assert chart.words.startswith("28 of 30 students handed in")
    assert "4 of them after the due date, 26 Jan 2027, 23:59" in chart.words
    last = float(chart.line.rpartition(" ")[2])
    assert last == pytest.approx(pictures.BOTTOM - 28 / 30 * (pictures.BOTTOM - pictures.TOP), abs=0.1)
    assert chart.due is not None
    assert pictures.LEFT < chart.due < pictures.RIGHT
    assert 2 <= len(chart.ticks) <= 6


def test_hand_ins_without_a_time_are_counted_and_named_and_running_environments_are_none(made: Book) -> None:
    there = list(made.grades)
    for place in (0, 1):
        there[place] = replace(there[place], handed_in=None)
    there[2] = replace(there[2], source="environment", handed_in=None)
    chart = pictures.handed_in(there, 30, DUE, ZONE)
    assert chart is not None
    assert chart.words.startswith("27 of 30 students handed in, between")
    assert chart.words.endswith(" For 2 of them no time is known, so the line leaves them out.")
    last = float(chart.line.rpartition(" ")[2])
    assert last == pytest.approx(pictures.BOTTOM - 25 / 30 * (pictures.BOTTOM - pictures.TOP), abs=0.1)


def test_a_single_hand_in_has_one_time(made: Book) -> None:
    chart = pictures.handed_in([replace(made.grades[0], handed_in=DUE)], 30, DUE, ZONE)
    assert chart is not None
    assert chart.words.startswith("1 of 30 students handed in, on 26 Jan 2027, 23:59; 0 of them after the due date")


def test_without_times_of_hand_ins_there_is_no_time_line(made: Book) -> None:
    assert pictures.handed_in([replace(each, handed_in=None) for each in made.grades], 30, DUE, ZONE) is None


def test_progress_is_the_median_of_what_each_had_by_then() -> None:
    import random

    once = grade("ann", 1, random.Random(1), graded=DUE)
    more = [
        replace(once, student=who, graded=DUE.replace(day=day), steps=once.steps[:count])
        for who, day, count in (("ann", 10, 0), ("ben", 10, 0), ("ann", 20, 53), ("ben", 20, 53))
    ]
    chart = pictures.progress(more, DUE, ZONE)
    assert chart is not None
    assert "from 0 % on 10 Jan" in chart.words
    assert "to 100 % on 20 Jan" in chart.words
    assert pictures.progress([once], DUE, ZONE) is None
