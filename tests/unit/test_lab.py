"""A lab as data: what reading it gives, and the error for a broken file."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labenv import resources
from labenv.errors import UsageError
from labenv.lab import labs, model
from labenv.lab.solution import commands
from labenv.lab.topology import of
from labenv.sheet.solve import chosen
from labenv.student import Student

LAB = labs.load("lab4b")
ROWS = [str(number) for number in range(52)]
ROWS.insert(ROWS.index("11") + 1, "11b")


def test_every_row_of_the_sheet_is_there_in_its_order() -> None:
    assert list(LAB.steps) == ROWS


def test_every_step_that_is_no_persons_has_three_hints_and_a_solution() -> None:
    for step in LAB.steps.values():
        assert step.is_for_a_person or (len(step.hints) == 3 and all(step.hints) and step.solution), step.id


def test_titles_and_hints_are_said_once() -> None:
    said = [text for step in LAB.steps.values() for text in (step.title, *step.hints, step.note) if text]
    assert len(said) == len(set(said))


def test_each_error_of_the_sheet_is_told_at_its_step() -> None:
    assert {step.id for step in LAB.steps.values() if step.note} == {
        "3", "4", "11b", "19", "30", "39", "40", "41", "43", "47", "48", "51"
    }  # fmt: skip


def test_solutions_are_typed_under_the_students_own_names() -> None:
    student = Student("mary-jane7", 42, "mj", "abcd2345")
    nodes = of(LAB, student).nodes
    lines = [
        line
        for step in LAB.steps.values()
        for action in step.solution
        for node in nodes
        if node.name in action.machines
        for line in commands(action, LAB, student, node, nodes)
    ]
    assert "postconf -e 'relayhost = vm3.mary-jane7.ops'" in lines
    assert "postconf -e 'mynetworks = 192.168.42.0/24, 127.0.0.0/8'" in lines
    # One line each, as a person types it; a shell reads them all.
    for line in lines:
        assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0, line
        assert "{{" not in line
        assert line == line.strip()


def test_a_stage_is_solved_in_the_order_of_the_sheet_without_what_is_for_a_person() -> None:
    assert [step.id for step in chosen(LAB, "relay", everything=False)] == ["17", "18", "19", "20"]
    assert [step.id for step in chosen(LAB, "11b", everything=False)] == ["11b"]
    everything = chosen(LAB, None, everything=True)
    assert [step.id for step in everything] == [s.id for s in LAB.steps.values() if not s.is_for_a_person]


@pytest.mark.parametrize(
    ("target", "everything", "sentence"),
    [
        (None, False, "Name what to solve: a step (labenv solve 17), a stage (labenv solve relay), or --all."),
        ("17", True, "17 and --all cannot be combined."),
        ("5", False, "Step 5 (The settings of the mail client are known) is for you"),
        ("mail", False, "lab4b has no step or stage 'mail'. Its steps are: 0, 1, "),
    ],
)
def test_what_cannot_be_solved_is_refused(target: str | None, everything: bool, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        chosen(LAB, target, everything=everything)


@pytest.mark.parametrize("text", ["", "- 1", "id: lab4b", "stages: 3", "a: [", "stages: [{id: 1, title: x, more: y}]"])
def test_a_broken_lab_is_answered_with_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.yaml").write_text(text)
    with pytest.raises(
        UsageError, match=r"lab\.yaml is (not valid YAML: |not a valid file of a lab .* labenv lab lint)"
    ):
        model.read(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "steps: []", "steps: [1]\nheadings: {}", "steps: [{id: x}]\nheadings: {}", "a: ["]
)
def test_broken_steps_are_answered_with_a_sentence(tmp_path: Path, text: str) -> None:
    shutil.copy(resources.labs() / "lab4b" / "lab.yaml", tmp_path)
    (tmp_path / "steps.yaml").write_text(text)
    lab = model.read(tmp_path)  # the steps are read when they are needed
    if text == "steps: []":
        assert lab.steps == {}
        return
    with pytest.raises(
        UsageError, match=r"steps\.yaml is (not valid YAML: |not a valid file of a lab .* labenv lab lint)"
    ):
        _ = lab.steps


def test_a_folder_without_a_lab_is_answered_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lab\.yaml cannot be read: No such file or directory\."):
        model.read(tmp_path)


def test_an_unknown_lab_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"There is no lab 'lab9'\. The labs are: lab3, lab4a, lab4b, "):
        labs.load("lab9")


def test_bringing_a_lab_up_reads_no_steps() -> None:
    script = (
        "import sys; from labenv import resources; from labenv.environments import plan; from labenv.lab import labs; real = resources.read_yaml\n"
        "resources.read_yaml = lambda path: sys.exit(str(path)) if path.name == 'steps.yaml' else real(path)\n"
        "made = plan._plan_at(plan.Request('asmith15', None, None, None, None, None), 90, 'x')\n"
        "[made.overlay(node) for node in made.topology.nodes]\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
