"""The other files of a lab: checks, templates, drills."""

import ast
from pathlib import Path

from labenv.errors import UsageError
from labenv.lab import drill_translations, drills, marks, overlay, sheet_text
from labenv.lab.lint.found import Found
from labenv.lab.lint.student import STUDENT
from labenv.lab.model import Lab
from labenv.lab.templates import Unrenderable
from labenv.lab.topology import Topology


def checks(found: Found, lab: Lab, plan: Topology) -> None:
    """The tests in checks/ and their marks, which are read but not run."""
    marked: set[str] = set()
    machines = [node.name for node in plan.nodes]
    for path in sorted((lab.folder / "checks").glob("*.py")):
        file = f"checks/{path.name}"
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except SyntaxError as error:
            found.add_at(
                file, f"is not valid Python: {error.msg}. Fix that place.", error.lineno or 1, error.offset or 1
            )
            continue
        except ValueError as error:
            found.add_at(file, f"is not valid Python: {error}. Fix that place.", 1, 1)
            continue
        if not path.name.startswith("test_"):
            continue
        bound = set()
        for test, id_, named in marks.of(tree):
            marked.add(id_)
            bound.add(test)
            line = _line(tree, test)
            if id_ not in lab.steps:
                known = ", ".join(lab.steps) or "none"
                said = f"{test} is bound to step {id_}, which is unknown. The steps are: {known}."
                found.add_at(file, said, line, 1)
            found.unknown_at(file, "machine", named, machines, line, id_)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and node.name not in bound:
                said = f'{node.name} is bound to no step. Write above it: @step("ID", machine=…).'
                found.add_at(file, said, node.lineno, node.col_offset + 1)
    for number, step in enumerate(lab.steps.values()):
        if step.id not in marked and not step.is_for_a_person:
            said = f'it has no check. Write one in checks/: a test marked @step("{step.id}", machine=…).'
            found.add("steps.yaml", said, ["steps", number], step=step.id)


def _line(tree: ast.Module, test: str) -> int:
    return next(node.lineno for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == test)


def sheet(found: Found, lab: Lab) -> None:
    """Whether the text of the sheet is there, if the lab brings it."""
    there = sheet_text.of(lab)
    if there and there.file and not there.file.is_file():
        found.add(sheet_text.FILE, f"There is no file {there.file.name} in the lab's folder.", ["text"])


def templates(found: Found, lab: Lab, plan: Topology) -> None:
    """Whether the files of each machine can be rendered at each stage."""
    there = {file.template for files in lab.files.values() for file in files if file.template}
    missing = {name for name in there if not (lab.folder / "templates" / name).is_file()}  # already reported
    said: set[str] = set()
    for stage in lab.stages:
        for node in plan.at(lambda since, at=stage.id: lab.reached(since, at)).nodes:  # type: ignore[misc]
            if any(file.template in missing for file in lab.files_of(node.name, stage.id)):
                continue
            try:
                overlay.overlay(lab, plan, node, STUDENT, stage.id)
            except Unrenderable as error:
                if str(error) not in said:
                    said.add(str(error))
                    place = Path(str(error).partition(":")[0])
                    file = place.relative_to(lab.folder).as_posix() if place.is_relative_to(lab.folder) else "lab.yaml"
                    words = f"{node.name} at stage {stage.id}: this template cannot be rendered: {error.words}."
                    found.add_at(file, words, error.line, min(error.line, 1))
            except UsageError as error:
                if str(error) not in said:
                    said.add(str(error))
                    found.add("lab.yaml", str(error), ["files", node.name])


def faults_of_drills(found: Found, lab: Lab) -> None:
    """The drills that come with the lab."""
    for path in drills.originals(lab.folder / "drills"):
        for finding in drills.lint(path, lab) or drill_translations.lint(path):
            found.add_at(f"drills/{Path(finding.file).name}", finding.sentence, finding.line, finding.column)
