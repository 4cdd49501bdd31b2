"""Drills as data: single faults with what a user would report of each. A file is a drill, and its name the drill's.

They come with a lab (labs/<lab>/drills), out of the user's own folder, and out of any folder that is named.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labenv import places, resources
from labenv.errors import UsageError
from labenv.lab import schema as forms
from labenv.lab import templates, topology
from labenv.lab.model import Lab, parsed
from labenv.student import Student, check_id

LAYERS = ("dns", "transport", "relay", "lda", "imap", "firewall", "accounts", "boot")


@dataclass(frozen=True)
class Drill:
    """A fault: what root types on `machines` to put it in (`breaks`) and to take it out (`mend`), and what is told of it.

    `symptom` is a user's report; `seen` a machine and a command that ends with 0 while the symptom is there. `trips` are
    the checks that fail.
    """

    name: str
    title: str
    level: int
    layer: str
    machines: tuple[str, ...]
    breaks: str
    mend: str
    symptom: str
    seen: tuple[str, str]
    trips: tuple[str, ...]
    survives_reboot: bool
    hints: tuple[str, ...]
    explanation: str


@dataclass(frozen=True)
class Finding:
    """What is wrong in a drill's file: the line, a sentence with the way out."""

    file: str
    line: int
    sentence: str

    def __str__(self) -> str:
        """As a compiler says it: "file:7: …"."""
        return f"{self.file}:{self.line}: {self.sentence}"


def schema() -> Any:
    """The JSON schema of a drill's file."""
    return json.loads((resources.labs() / "drill.schema.json").read_text(encoding="utf-8"))


def own_folder() -> Path:
    """Where a user's own drills lie: $LABENV_DRILLS, else labenv/drills in the folder of settings (XDG)."""
    return Path(os.environ.get("LABENV_DRILLS") or places.config() / "drills")


def files(lab: Lab, folder: Path | None = None) -> list[Path]:
    """The files of the drills there are. Raises UsageError for a `folder` that is none or holds none.

    One of the user's counts before one of the same name that came with the lab, one of `folder` before both.
    """
    if folder and not any(folder.glob("*.yaml")):
        raise UsageError(f"{folder} holds no drill: a drill is a file NAME.yaml. Its form: labenv drill schema")
    places = [lab.folder / "drills", own_folder(), *([folder] if folder else [])]
    found = {path.stem: path for place in places for path in sorted(place.glob("*.yaml"))}
    return [found[name] for name in sorted(found)]


def catalogue(lab: Lab, folder: Path | None = None) -> list[Drill]:
    """The drills there are, by level and name. Raises UsageError for a file that is not as it should be."""
    found = [read(path, lab) for path in files(lab, folder)]
    return sorted(found, key=lambda drill: (drill.level, drill.name))


def read(path: Path, lab: Lab) -> Drill:
    """The drill in a file. Raises UsageError with the first thing that is wrong there."""
    for finding in lint(path, lab):
        raise UsageError(f"{finding} All that is wrong: labenv drill lint {path.parent}")
    return from_dict(path.stem, parsed(path))


def from_dict(name: str, tree: dict[str, Any]) -> Drill:
    """The drill that a file's tree describes."""
    return Drill(
        name=name,
        title=tree["title"],
        level=tree["level"],
        layer=tree["layer"],
        machines=tuple(tree["machines"]),
        breaks=tree["break"],
        mend=tree["mend"],
        symptom=tree["symptom"].strip(),
        seen=(tree["seen"]["machine"], tree["seen"]["type"]),
        trips=tuple(tree["trips"]),
        survives_reboot=tree["survives-reboot"],
        hints=tuple(tree["hints"]),
        explanation=tree["explanation"].strip(),
    )


def to_dict(drill: Drill) -> dict[str, Any]:
    """What `from_dict` reads, without the name."""
    return {
        "title": drill.title,
        "level": drill.level,
        "layer": drill.layer,
        "machines": list(drill.machines),
        "break": drill.breaks,
        "mend": drill.mend,
        "symptom": drill.symptom,
        "seen": {"machine": drill.seen[0], "type": drill.seen[1]},
        "trips": list(drill.trips),
        "survives-reboot": drill.survives_reboot,
        "hints": list(drill.hints),
        "explanation": drill.explanation,
    }


def filled(text: str, student: Student) -> str:
    """A text of a drill for that student. Raises jinja2.TemplateError for one that is no template."""
    return templates.text(text, student=student, domain=student.domain, network=student.prefix)


def drawn(drills: Iterable[Drill], student_id: str, seed: str) -> list[Drill]:
    """Them by lot: for the same student and seed always in the same order, whatever others there are among them."""

    def lot(drill: Drill) -> bytes:
        return hashlib.sha256(f"{student_id}\0{seed}\0{drill.name}".encode()).digest()

    return sorted(drills, key=lot)


def lint(path: Path, lab: Lab) -> list[Finding]:
    """What is wrong in a drill's file."""
    try:
        tree = parsed(path)
    except UsageError as error:
        return [Finding(str(path), 1, str(error))]
    lines = _Lines(path)
    formed = [
        Finding(str(path), lines.of(place), ": ".join([*map(_place, place), sentence]))
        for place, sentence in forms.faults(tree, schema())
    ]
    return formed or [Finding(str(path), lines.of(place), sentence) for place, sentence in _meaning(path, tree, lab)]


def _place(part: str | int) -> str:
    return f"number {part + 1}" if isinstance(part, int) else part


def _meaning(path: Path, tree: dict[str, Any], lab: Lab) -> Iterator[tuple[list[str | int], str]]:
    """What is wrong in a file of the right form."""
    import jinja2  # with the first text that is filled in, see labenv.lab.templates

    try:
        check_id(path.stem)
    except UsageError:
        yield [], f"the file's name is the drill's: '{path.stem}' must be of a-z, 0-9 and '-', and begin with a letter."
    who = Student("nobody", 200, "anna", "abcd2345")
    machines = [node.name for node in topology.load(topology.named(lab.topology), who).nodes]
    named: list[tuple[list[str | int], str]] = [(["machines", i], name) for i, name in enumerate(tree["machines"])]
    named.append((["seen", "machine"], tree["seen"]["machine"]))
    for place, name in named:
        if name not in machines:
            yield place, f"the machine '{name}' is unknown. There are: {', '.join(machines)}."
    for i, check in enumerate(tree["trips"]):
        if check.partition("/")[0] not in lab.steps:
            yield ["trips", i], f"the step of '{check}' is unknown. There are: {', '.join(lab.steps)}."
    texts: list[tuple[list[str | int], str]] = [
        ([key], tree[key]) for key in ("break", "mend", "symptom", "explanation")
    ]
    texts += [(["hints", i], text) for i, text in enumerate(tree["hints"])]
    texts.append((["seen", "type"], tree["seen"]["type"]))
    for place, text in texts:
        try:
            filled(text, who)
        except jinja2.TemplateError as error:
            yield place, f"this cannot be filled in: {error}. A template sees student, domain and network."


class _Lines:
    """The lines of a YAML file on which its keys and values stand."""

    def __init__(self, path: Path) -> None:
        import yaml  # `drill lint` alone needs it

        self._root = yaml.compose(path.read_text(encoding="utf-8"), yaml.CSafeLoader)

    def of(self, place: list[str | int]) -> int:
        """The line of what stands at that place, or of the nearest around it."""
        import yaml  # as above

        node, line = self._root, 1
        for part in place:
            if isinstance(node, yaml.MappingNode):
                pair = next(((key, value) for key, value in node.value if key.value == part), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line + 1
        return line
