"""Rubrics: what steps are worth, and what is said of a rubric that cannot be used."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from labenv.classroom.folder import lint as class_lint
from labenv.errors import UsageError
from labenv.lab import labs, lint, rubric

LAB = labs.load("lab4b")


def written(folder: Path, text: str) -> Path:
    file = folder / "rubric.yaml"
    file.write_text(text)
    return file


def test_without_a_rubric_each_step_that_a_check_judges_is_a_point() -> None:
    assert rubric.of(LAB).points == {step.id: 0 if step.is_for_a_person else 1 for step in LAB.steps.values()}


@pytest.mark.parametrize("name", labs.names())
def test_the_rubric_to_begin_with_grades_as_none_does(name: str, tmp_path: Path) -> None:
    lab = labs.load(name)
    assert rubric.of(lab, written(tmp_path, rubric.starter(lab))) == rubric.of(lab)


def test_the_lines_of_the_rubric_to_begin_with_can_be_used(tmp_path: Path) -> None:
    text = rubric.starter(LAB)
    stages = re.compile(r"  # stages:.*?(?=  # steps:)", re.DOTALL)  # all steps have their own points here
    prose = re.compile(r"^ *# (?:What|As it|Only).*\n", re.MULTILINE)
    used = re.sub(r"^( *)# ", r"\1", prose.sub("", stages.sub("", text)), flags=re.MULTILINE)
    file = written(tmp_path, used)
    assert lint.rubric(file, LAB) == []
    made = rubric.of(LAB, file)
    assert (made.hint, made.free, made.most, len(made.rules)) == (0.25, 3, 5, 3)
    assert made.points["17"] == made.points["1"] == 1


def test_the_steps_of_a_stage_share_its_points_but_those_with_their_own(tmp_path: Path) -> None:
    made = rubric.of(LAB, written(tmp_path, 'points:\n  each: 0\n  stages: {relay: 10}\n  steps: {17: 4, "11b": 2}\n'))
    sharing = [s.id for s in LAB.steps.values() if s.stage == "relay" and not s.is_for_a_person and s.id != "17"]
    assert made.points["17"] == 4
    assert made.points["11b"] == 2
    assert sum(made.points[name] for name in sharing if name != "11b") == pytest.approx(10)


def test_another_rubric_has_another_digest(tmp_path: Path) -> None:
    made = rubric.of(LAB)
    assert made.digest == rubric.of(LAB).digest
    assert made.digest != replace(made, attempts="last").digest
    assert made.digest != rubric.of(LAB, written(tmp_path, "points: {each: 2}\n")).digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("points: {each: -1}\n", "rubric.yaml:1:10: points each: '-1' is not valid here."),
        ("points: {each: x}\n", "rubric.yaml:1:10: points each: expected a number, found text."),
        ('points:\n  steps: {"99": 1}\n', "rubric.yaml:2:11: the step '99' is unknown."),
        ("points:\n  stages: {nope: 1}\n", "rubric.yaml:2:12: the stage 'nope' is unknown."),
        ("points:\n  steps: {17: .nan}\n", "rubric.yaml:2:3: this is no number."),
        ("attempts: all\n", "rubric.yaml:1:1: attempts: 'all' is unknown here."),
        ("late: {grace: soon}\n", "rubric.yaml:1:8: late grace: 'soon' is not valid here."),
        ('persons:\n  steps: {"17": student}\n', "rubric.yaml:2:11: step 17: a check judges this step"),
        ("points: [1\n", "rubric.yaml:2:1: this is not valid YAML"),
        ("partial: true\npartial: false\n", "rubric.yaml:2:1: the key 'partial' is here a second time."),
        (
            "deductions:\n  - {points: 1, reason: a, if: {hints: 3}}\n",
            ": deductions number 1 if: the key 'hints' is unknown here.",
        ),
        (
            'deductions:\n  - {points: 1, reason: a, if: {left out: history, steps: ["17"]}}\n',
            "`steps` belongs to `hints more than`.",
        ),
    ],
)
def test_a_rubric_that_cannot_be_used_is_refused_with_the_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        rubric.of(LAB, written(tmp_path, text))
    assert said in str(caught.value)


def test_a_rubric_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no rubric .* To begin one: labenv class rubric lab4b"):
        rubric.of(LAB, tmp_path / "rubric.yaml")


def test_class_lint_looks_at_the_rubrics_of_the_class(tmp_path: Path) -> None:
    (tmp_path / "class.yaml").write_text("labs:\n  - lab: lab4b\n    due: 2027-01-26\n    rubric: points/4b.yaml\n")
    (tmp_path / "roster.csv").write_text("id\nasmith15\n")
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "4b.yaml").write_text('points:\n  steps: {"99": 1}\n')
    [found] = class_lint.lint(tmp_path).findings
    assert str(found).startswith("points/4b.yaml:2:11: the step '99' is unknown.")
    (tmp_path / "points" / "4b.yaml").write_text(rubric.starter(LAB))
    assert class_lint.lint(tmp_path).findings == ()
