"""Checking a lab's files: what would break later, or leave a student without a check, a hint or a way out."""

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from labenv import resources
from labenv.errors import UsageError
from labenv.lab import drill_translations, drills, labs, marks, overlay, topology, translation
from labenv.lab.model import Action, Lab, Step, parsed, read
from labenv.lab.schema import faults
from labenv.lab.solution import commands
from labenv.lab.topology import Node, Topology
from labenv.student import Student

# Templates are tried with this student: the longest possible id, with every kind of character that an id may have.
_STUDENT = Student("a23456789012345678901234567890-b", 200, "anna", "abcd2345")


@dataclass(frozen=True)
class Finding:
    """A problem in a file of the lab, at a step or at none, and the way out."""

    file: str
    step: str
    sentence: str

    def __str__(self) -> str:
        """As a line: "steps.yaml: step 17: …"."""
        return ": ".join(part for part in (self.file, self.step and f"step {self.step}", self.sentence) if part)


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
    known = schemas()
    steps = folder / "steps.yaml"
    files = {folder / f"{name}.yaml": schema for name, schema in known.items() if "." not in name}
    files |= dict.fromkeys(translation.files(steps).values(), known["steps.translation"])
    looked_at = [path for path in files if path.name != "mutations.yaml" or path.exists()]
    broken = [finding for path in looked_at for finding in _form(path, files[path])] or [*_names(steps)]
    if broken:
        return broken
    lab = read(folder)
    try:
        plan = topology.load_for(lab, None, _STUDENT)
    except UsageError as error:
        return [Finding("lab.yaml", "", str(error))]
    stages = [*_stages(lab)]
    parts = (
        _lab(lab, plan),
        _steps(lab, plan),
        _checks(lab, plan),
        _mutations(lab, plan),
        _drills(lab),
        _languages(lab),
    )
    found = [*stages, *(finding for part in parts for finding in part)]
    return (
        found if stages else [*found, *_needs(lab), *_too_early(lab, plan), *_templates(lab, plan)]
    )  # these need the order of the stages


def _form(path: Path, schema: Any) -> Iterator[Finding]:
    """Whether a file is YAML and matches its schema."""
    try:
        tree = parsed(path)
    except UsageError as error:
        yield Finding(path.name, "", str(error))
        return
    for place, sentence in faults(tree, schema):
        entry = tree["steps"][place[1]] if place[:1] == ["steps"] and len(place) > 1 else None
        step = str(entry.get("id", "")) if isinstance(entry, dict) else ""
        rest = " ".join(f"number {part + 1}" if isinstance(part, int) else part for part in place[2 if step else 0 :])
        yield Finding(path.name, step, f"{rest}: {sentence}" if rest else sentence)


def _names(steps: Path) -> Iterator[Finding]:
    """Repeated ids and unknown headings, which are lost once the lab is read; what a translation has and its original has not."""
    tree = parsed(steps)
    yield from _repeated(steps, tree)
    for entry in tree["steps"]:
        yield from _unknown(steps.name, entry["id"], "heading", [entry["heading"]], tree["headings"])
    originals = {entry["id"]: entry for entry in tree["steps"]}
    for path in translation.files(steps).values():
        texts = parsed(path)
        yield from _repeated(path, texts)
        yield from _unknown(path.name, "", "heading", texts.get("headings", {}), tree["headings"])
        for entry in texts["steps"]:
            if entry["id"] not in originals:
                yield Finding(path.name, entry["id"], f"{steps.name} has no such step. Remove it here.")
            for key in translation.STEP:
                if key in entry and key not in originals.get(entry["id"], entry):
                    yield Finding(path.name, entry["id"], f"this step has no '{key}' in {steps.name}. Remove it here.")


def _repeated(path: Path, tree: Any) -> Iterator[Finding]:
    for name, count in Counter(entry["id"] for entry in tree["steps"]).items():
        if count > 1:
            yield Finding(path.name, name, f"{count} steps have this id. Give each its own.")


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


def _stages(lab: Lab) -> Iterator[Finding]:
    """The stages, and everything that refers to one."""
    stages = [stage.id for stage in lab.stages]
    for name, count in Counter(stages).items():
        if count > 1:
            yield Finding("lab.yaml", "", f"{count} stages are called '{name}'. Give each its own name.")
    files = [file for files in lab.files.values() for file in files]
    images = [since for entries in lab.images.values() for since, _ in entries]
    ends = [file.until for file in files if file.until]
    named = [*(file.since for file in files), *ends, *images, *(answer.since for answer in lab.answers)]
    yield from _unknown("lab.yaml", "", "stage", named, stages)
    for step in lab.steps.values():
        yield from _unknown("steps.yaml", step.id, "stage", [step.stage], stages)


def _lab(lab: Lab, plan: Topology) -> Iterator[Finding]:
    """Machines and templates that lab.yaml names."""
    named = [*(lab.files.keys() - {"desktop"}), *lab.images, *(answer.machine for answer in lab.answers)]
    yield from _unknown("lab.yaml", "", "machine", named, [node.name for node in plan.nodes])
    folder = lab.folder / "templates"
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*.j2")]
    templates = [file.template for files in lab.files.values() for file in files if file.template]
    yield from _unknown("lab.yaml", "", "template", templates, there)


def _steps(lab: Lab, plan: Topology) -> Iterator[Finding]:
    """Machines that the steps name, and whether their solutions can be typed and no hint gives them away."""
    nodes = {node.name: node for node in plan.nodes}
    spoken = _spoken(lab)
    for step in lab.steps.values():
        hints = {file: translated.steps[step.id].hints for file, translated in spoken.items()}
        named = [*step.machines, *(name for action in step.solution for name in action.machines)]
        yield from _unknown("steps.yaml", step.id, "machine", named, nodes)
        for action in step.solution:
            for name in action.machines:
                if name in nodes:
                    yield from _solution(lab, step, action, nodes[name], plan, hints)


def _solution(
    lab: Lab, step: Step, action: Action, node: Node, plan: Topology, hints: Mapping[str, tuple[str, ...]]
) -> Iterator[Finding]:
    try:
        typed = commands(action, lab, _STUDENT, node, plan.nodes)
    except Exception as error:  # a template can raise anything
        said = f"its solution cannot be rendered: {error}. It can use: student, network, machine, machines, reached."
        yield Finding("steps.yaml", step.id, said)
        return
    if not typed:
        yield Finding("steps.yaml", step.id, f"its solution types nothing on {node.name}. Write one command per line.")
    # A word such as `ls` is fine; a whole command, or what is in quotes in one, is the answer.
    answers = [part for line in typed for part in (line, *re.findall(r"'([^']+)'", line)) if " " in part]
    for file, sentences in hints.items():
        for number, hint in enumerate(sentences, 1):
            for told in answers:
                if told in hint:
                    yield Finding(file, step.id, f"hint {number} gives the answer away: {told}. Describe it in words.")


def _spoken(lab: Lab) -> dict[str, Lab]:
    """The lab as it is and in each language that its steps are translated into, by the file that the texts are from."""
    translations = translation.files(lab.folder / "steps.yaml")
    return {"steps.yaml": lab} | {path.name: read(lab.folder, (name,)) for name, path in translations.items()}


def _languages(lab: Lab) -> Iterator[Finding]:
    """Whether the names of translations are those of languages."""
    for language, path in translation.files(lab.folder / "steps.yaml").items():
        if not translation.is_language(language):
            yield Finding(path.name, "", translation.no_language(language, "steps"))


def _needs(lab: Lab) -> Iterator[Finding]:
    """What the steps wait for: it must exist, and pass at their stage."""
    told: set[str] = set()
    for step in lab.steps.values():
        yield from _unknown("steps.yaml", step.id, "step", step.needs, lab.steps)
        circle = _circle(lab, step.id)
        if circle and not told & set(circle):
            told |= set(circle)
            said = f"it waits for itself, through {', '.join(circle)}. Remove one of these needs."
            yield Finding("steps.yaml", step.id, said)
        for needed in (lab.steps[name] for name in step.needs if name in lab.steps):
            if not lab.reached(needed.stage, step.stage):
                said = (
                    f"it needs step {needed.id}, which passes only from stage {needed.stage} on. Need an earlier one."
                )
                yield Finding("steps.yaml", step.id, said)


def _too_early(lab: Lab, plan: Topology) -> Iterator[Finding]:
    """Steps on machines that exist only from a later stage on."""
    late = {node.name: node.since for node in plan.nodes if node.since}
    for step in lab.steps.values():
        named = [*step.machines, *(name for action in step.solution for name in action.machines)]
        for name in dict.fromkeys(name for name in named if name in late):
            if not lab.reached(late[name], step.stage):
                said = f"{name} exists only from stage {late[name]} on. Move the step to that stage, or to a later one."
                yield Finding("steps.yaml", step.id, said)


def _circle(lab: Lab, start: str) -> list[str]:
    """The steps on a path of needs from a step back to itself, beginning with it; none if there is no such path."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for name in lab.steps[way[-1]].needs:
            if name == start:
                return way
            if name in lab.steps and name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _checks(lab: Lab, plan: Topology) -> Iterator[Finding]:
    """The tests in checks/ and their marks, which are read but not run."""
    marked: set[str] = set()
    for path in sorted((lab.folder / "checks").glob("test_*.py")):
        file = f"checks/{path.name}"
        try:
            tree = ast.parse(path.read_bytes(), str(path))
        except (SyntaxError, ValueError) as error:
            yield Finding(file, "", f"is not valid Python: {error}. Fix that place.")
            continue
        for test, id_, machines in marks.of(tree):
            marked.add(id_)
            if id_ not in lab.steps:
                known = ", ".join(lab.steps)
                yield Finding(file, "", f"{test} is bound to step {id_}, which is unknown. The steps are: {known}.")
            yield from _unknown(file, id_, "machine", machines, {node.name for node in plan.nodes})
    for step in lab.steps.values():
        if step.id not in marked and not step.is_for_a_person:
            said = f'it has no check. Write one in checks/: a test marked @step("{step.id}", machine=…).'
            yield Finding("steps.yaml", step.id, said)


def _templates(lab: Lab, plan: Topology) -> Iterator[Finding]:
    """Whether the files of each machine can be rendered at each stage."""
    said: set[str] = set()
    for stage in lab.stages:
        for node in plan.nodes:
            try:
                overlay.overlay(lab, plan, node, _STUDENT, stage.id)
            except jinja2.TemplateNotFound:
                continue  # already reported
            except Exception as error:  # a template can raise anything
                words = str(error)
                if isinstance(error, jinja2.TemplateSyntaxError):
                    words = f"{error.name} line {error.lineno}: {words}"
                if words not in said:
                    said.add(words)
                    yield Finding("templates", "", f"{node.name} at stage {stage.id} cannot be rendered: {words}.")


def _mutations(lab: Lab, plan: Topology) -> Iterator[Finding]:
    """Names in mutations.yaml, if there is one."""
    if not (path := lab.folder / "mutations.yaml").exists():
        return
    tree = parsed(path)
    entries = [*tree["faults"], *tree["variants"]]
    for name, count in Counter(entry["id"] for entry in entries).items():
        if count > 1:
            yield Finding(path.name, "", f"{count} mutations are called '{name}'. Give each its own name.")
    checks = [check for entry in entries for key in ("trips", "warns") for check in entry.get(key, ())]
    steps = [*(entry["step"] for entry in entries), *(check.partition("/")[0] for check in checks)]
    yield from _unknown(path.name, "", "step", steps, lab.steps)
    machines = [name for entry in entries for name in entry["machines"]]
    yield from _unknown(path.name, "", "machine", machines, [node.name for node in plan.nodes])


def _drills(lab: Lab) -> Iterator[Finding]:
    """The drills that come with the lab."""
    for path in drills.originals(lab.folder / "drills"):
        for finding in drills.lint(path, lab) or drill_translations.lint(path):
            yield Finding(f"drills/{Path(finding.file).name}", "", f"line {finding.line}: {finding.sentence}")


def _unknown(file: str, step: str, what: str, named: Iterable[str], known: Iterable[str]) -> Iterator[Finding]:
    there = list(known)
    for name in dict.fromkeys(named):
        if name not in there:
            yield Finding(file, step, f"the {what} '{name}' is unknown. The {what}s are: {', '.join(sorted(there))}.")
