"""Checking a lab's files: what would break later, or leave a student without a check, a hint or a way out.

Nothing of the lab is run: its templates are rendered in a sandbox, its checks are read.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from labenv import resources
from labenv.errors import UsageError
from labenv.lab import drill_translations, drills, labs, sheet_text, topology, translation
from labenv.lab.lint import fixtures, form, handin, lab, mutations, rest, steps
from labenv.lab.lint import rubric as rubrics
from labenv.lab.lint.found import Finding, Found
from labenv.lab.lint.student import STUDENT
from labenv.lab.model import Lab, parsed

__all__ = ["Finding", "lint", "notes", "rubric", "schemas"]


def schemas() -> dict[str, Any]:
    """The JSON schema of each of a lab's YAML files, by the name of the file without its ending.

    That of the translations of a file has `.translation` behind that name.
    """
    files = [file for file in sorted(resources.labs().glob("*.schema.json")) if not file.name.startswith("drill.")]
    return {file.name.removesuffix(".schema.json"): json.loads(file.read_text(encoding="utf-8")) for file in files}


def lint(folder: Path) -> list[Finding]:
    """All problems of the lab in a folder. References between files are checked once each file matches its schema.

    Raises UsageError if the folder has no lab.yaml.
    """
    if not (folder / "lab.yaml").is_file():
        raise UsageError(f"{folder} has no lab.yaml, so it is not a lab. The labs are: {', '.join(labs.names())}.")
    found = Found(folder)
    known = schemas()
    sheet = folder / "steps.yaml"
    files = {folder / f"{name}.yaml": schema for name, schema in known.items() if "." not in name}
    files |= dict.fromkeys(translation.files(sheet).values(), known["steps.translation"])
    for path, schema in files.items():
        if path.exists() or path.name not in ("mutations.yaml", handin.FILE, rubrics.FILE, sheet_text.FILE):
            form.form(found, path, schema)
    if not found.findings:
        form.names(found, sheet)
    if found.findings:
        return found.findings
    try:
        made = labs.read(folder)
    except UsageError as error:
        found.add("lab.yaml", str(error).partition(": after: ")[2], ["after"])
        return found.findings
    try:
        plan = topology.load_for(made, None, STUDENT)
    except topology.TopologyError as error:
        own = error.file.is_relative_to(folder)
        file = error.file.relative_to(folder) if own else error.file
        found.add_at(str(file), error.sentence, error.line, error.column)
        return found.findings
    except UsageError as error:
        lab.topology(found, made, error)
        return found.findings
    lab.stages(found, made)
    has_stages = not found.findings
    if (network := topology.file_of(made)).is_relative_to(folder):
        form.twice(found, network.relative_to(folder).as_posix())
    lab.names(found, made, plan)
    lab.texts(found, made)
    handin.handin(found, made, plan)
    steps.steps(found, made, plan)
    rest.checks(found, made, plan)
    fixtures.fixtures(found, made, plan)
    mutations.mutations(found, made, plan)
    if (folder / rubrics.FILE).exists():
        rubrics.rubric(found, folder / rubrics.FILE, made)
    rest.sheet(found, made)
    rest.faults_of_drills(found, made)
    steps.languages(found, made)
    if has_stages:  # these need their order
        steps.needs(found, made)
        steps.too_early(found, made, plan)
        rest.templates(found, made, plan)
    return found.findings


def rubric(path: Path, of: Lab) -> list[Finding]:
    """All problems of a rubric for a lab, whose own it need not be. One that says nothing has none."""
    with suppress(UsageError):
        if parsed(path) is None:
            return []
    found = Found(path.parent)
    form.form(found, path, schemas()["rubric"])
    if not found.findings:
        rubrics.rubric(found, path, of)
    return found.findings


def notes(folder: Path) -> list[Finding]:
    """What is not translated in a lab without errors, or was changed since: the lab works, and shows the original there."""
    steps = folder / "steps.yaml"
    found = [*_not_translated(steps)]
    for path in drills.originals(folder / "drills"):
        there = drill_translations.notes(path, translation.complete(translation.files(steps)))
        found += [Finding(f"drills/{Path(note.file).name}", "", note.sentence) for note in there]
    return found


def _not_translated(steps: Path) -> Iterator[Finding]:
    originals = parsed(steps)["steps"]
    files = translation.files(steps)
    for language, path in files.items():
        texts = {entry["id"]: entry for entry in parsed(path)["steps"]}
        whole = language in translation.complete(files)
        for entry in originals:
            told = entry, texts.get(entry["id"]), translation.STEP
            said = [*(translation.missing(*told) if whole else ()), *translation.changed(*told)]
            yield from (Finding(path.name, entry["id"], sentence) for sentence in said)
