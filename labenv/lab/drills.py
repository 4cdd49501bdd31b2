"""Drills as data: single faults, each with what a user would report. Each file is one drill and gives it its name.

They come with a lab (labs/<lab>/drills), from the user's own folder, and from any folder that a command names.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labenv import places, resources
from labenv.errors import UsageError
from labenv.events import Event, Listener, silent
from labenv.lab import labs, templates, topology
from labenv.lab import schema as forms
from labenv.lab.model import Lab, parsed
from labenv.lab.positions import Place, Positions
from labenv.student import Student, check_id
from labenv.text import clean

# Keys of a drill's file that were renamed. Files, and records of a drill that runs, may still have the old name.
_RENAMED = {"mend": "fix"}

_ANYBODY = Student("nobody", 200, "anna", "abcd2345")  # templates are tried with this student


@dataclass(frozen=True)
class BadLink:
    """What is wrong with a link: percent of the packets that are lost, milliseconds that they come late, whether none passes."""

    loss: float = 0
    delay: int = 0
    down: bool = False


@dataclass(frozen=True)
class Drill:
    """A fault: what root types on `machines` to cause it (`breaks`) and to fix it (`fix`), or their bad links; and the texts about it.

    `symptom` is a user's report; `seen` a machine and a command that exits with 0 while the symptom is there. `trips` are
    the checks that fail. `also` are layers that are a right diagnosis too: a setting may belong to several. `half`, which may be
    empty, is a repair that only hides the symptom for now: a check still fails after it.
    """

    name: str
    title: str
    level: int
    layer: str
    machines: tuple[str, ...]
    breaks: str
    fix: str
    symptom: str
    seen: tuple[str, str]
    trips: tuple[str, ...]
    survives_reboot: bool
    hints: tuple[str, ...]
    explanation: str
    also: tuple[str, ...] = ()
    half: str = ""
    impair: BadLink | None = None

    @property
    def remedy(self) -> str:
        """One way to fix it, as it is shown at the end."""
        cables = [f"labenv reboot {name}" for name in self.machines] if self.impair else []
        return "\n".join(filter(None, [self.fix, *cables]))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are a right diagnosis."""
        return self.layer, *self.also


@dataclass(frozen=True)
class Finding:
    """A problem in a drill's file, or a note about it: the line, a sentence with the way out, and the column, 0 for none."""

    file: str
    line: int
    sentence: str
    column: int = 0

    def __str__(self) -> str:
        """As a compiler says it: "file:7: …"."""
        return f"{self.file}:{self.line}: {self.sentence}"


def schema() -> Any:
    """The JSON schema of a drill's file."""
    return json.loads((resources.labs() / "drill.schema.json").read_text(encoding="utf-8"))


def own_folder() -> Path:
    """Where a user's own drills are: $LABENV_DRILLS, else labenv/drills in the configuration folder (XDG)."""
    return Path(os.environ.get("LABENV_DRILLS") or places.config() / "drills")


def files(lab: Lab, folder: Path | None = None) -> list[Path]:
    """The files of all drills. Raises UsageError for a `folder` that does not exist or has no drills.

    A drill of the user replaces one of the same name that comes with the lab; one of `folder` replaces both. Of the user's own
    folder, which is the same for all labs, those count that name this lab; those that name none are for the default lab.
    """
    if folder and not originals(folder):
        raise UsageError(f"{folder} has no drills: a drill is a file NAME.yaml. To see its format: labenv drill schema")
    own = [path for path in originals(own_folder()) if _lab_of(path) == lab.id]
    places = [originals(lab.folder / "drills"), own, originals(folder) if folder else []]
    found = {path.stem: path for place in places for path in place}
    return [found[name] for name in sorted(found)]


def _lab_of(path: Path) -> str:
    """The lab that a drill's file names, or else the default lab; so that `lint` says what is wrong with a file that is broken."""
    try:
        named = parsed(path).get("lab")
    except (UsageError, AttributeError):
        named = None
    return named if isinstance(named, str) else labs.default()


def originals(folder: Path) -> list[Path]:
    """The files of drills in a folder, without their translations."""
    there = sorted(folder.glob("*.yaml"))
    return [
        path
        for path in there
        if path.with_name(f"{path.stem.partition('.')[0]}.yaml") not in there or "." not in path.stem
    ]


def catalogue(lab: Lab, folder: Path | None = None, listen: Listener = silent) -> list[Drill]:
    """All drills, by level and name; the notes on their files are emitted. Raises UsageError for an invalid file."""
    found = []
    for path in files(lab, folder):
        found.append(read(path, lab))
        for note in notes(path):
            listen(Event("drill", str(note), "note"))
    return sorted(found, key=lambda drill: (drill.level, drill.name))


def read(path: Path, lab: Lab) -> Drill:
    """The drill in a file. Raises UsageError with the first problem in it."""
    for finding in lint(path, lab):
        raise UsageError(f"{finding} To see all problems: labenv drill lint {path.parent}")
    return from_dict(path.stem, parsed(path))


def from_dict(name: str, tree: dict[str, Any]) -> Drill:
    """The drill that a file's tree, or a record of it, describes; its keys may have old names."""
    tree = _current(tree)
    return Drill(
        name=name,
        title=tree["title"],
        level=tree["level"],
        layer=tree["layer"],
        machines=tuple(tree["machines"]),
        breaks=tree.get("break", ""),
        fix=tree.get("fix", ""),
        symptom=tree["symptom"].strip(),
        seen=(tree["seen"]["machine"], tree["seen"]["type"]),
        trips=tuple(tree["trips"]),
        survives_reboot=tree["survives-reboot"],
        hints=tuple(tree["hints"]),
        explanation=tree["explanation"].strip(),
        also=tuple(tree.get("also", ())),
        half=tree.get("half", ""),
        impair=BadLink(**tree["impair"]) if tree.get("impair") else None,
    )


def to_dict(drill: Drill) -> dict[str, Any]:
    """What `from_dict` reads, without the name."""
    return {
        "title": drill.title,
        "level": drill.level,
        "layer": drill.layer,
        "machines": list(drill.machines),
        "break": drill.breaks,
        "fix": drill.fix,
        "symptom": drill.symptom,
        "seen": {"machine": drill.seen[0], "type": drill.seen[1]},
        "trips": list(drill.trips),
        "survives-reboot": drill.survives_reboot,
        "hints": list(drill.hints),
        "explanation": drill.explanation,
        "also": list(drill.also),
        "half": drill.half,
        "impair": asdict(drill.impair) if drill.impair else None,
    }


def filled(text: str, student: Student) -> str:
    """A text of a drill for that student. Raises templates.Unrenderable for an invalid template."""
    return clean(templates.for_student(text, student))


def drawn(drills: Iterable[Drill], student_id: str, seed: str) -> list[Drill]:
    """The drills in random order: the same student and seed always give the same order, whichever others are added."""

    def lot(drill: Drill) -> bytes:
        return hashlib.sha256(f"{student_id}\0{seed}\0{drill.name}".encode()).digest()

    return sorted(drills, key=lot)


def lint(path: Path, lab: Lab) -> list[Finding]:
    """The problems in a drill's file. A key under its old name is not one: see `notes`."""
    try:
        tree = parsed(path)
    except UsageError as error:
        return [Finding(str(path), 1, str(error))]
    lines = Lines(path)
    if twice := [(old, new) for old, new in _old_keys(tree) if new in tree]:
        said = "the key '{0}' is the old name of '{1}', and both are here. Remove '{0}'."
        return [placed(path, lines, [old], said.format(old, new)) for old, new in twice]
    tree = _current(tree)
    formed = list(misshaped(path, tree, schema(), lines))
    return formed or [placed(path, lines, place, sentence) for place, sentence in _meaning(path, tree, lab)]


def misshaped(path: Path, tree: Any, form: Any, lines: "Lines") -> Iterator[Finding]:
    """Where the tree in a file does not match a JSON schema."""
    for place, sentence, at in forms.faults(tree, form):
        yield placed(path, lines, at, ": ".join([*map(_place, place), sentence]))


def placed(path: Path, lines: "Lines", place: Place, sentence: str) -> Finding:
    """A finding at a place of a file."""
    line, column = lines.of(place)
    return Finding(str(path), line, sentence, column)


def notes(path: Path) -> list[Finding]:
    """What an author should know about a drill's file, though nothing is wrong with it: keys that have a new name."""
    try:
        tree = parsed(path)
    except UsageError:
        return []  # `lint` reports it, and a file with both keys
    old_keys = [(old, new) for old, new in _old_keys(tree) if new not in tree]
    if not old_keys:
        return []
    lines, said = Lines(path), "the key '{}' is now called '{}'. Rename it; the old name still works."
    return [placed(path, lines, [old], said.format(old, new)) for old, new in old_keys]


def _old_keys(tree: Any) -> list[tuple[str, str]]:
    """The keys of a tree that were renamed, each with its new name."""
    return [(old, new) for old, new in _RENAMED.items() if isinstance(tree, dict) and old in tree]


def _current(tree: Any) -> Any:
    """The tree with its keys under their current names."""
    return {_RENAMED.get(key, key): value for key, value in tree.items()} if isinstance(tree, dict) else tree


def _place(part: str | int) -> str:
    return f"number {part + 1}" if isinstance(part, int) else part


def _meaning(path: Path, tree: dict[str, Any], lab: Lab) -> Iterator[tuple[list[str | int], str]]:
    """The problems in a file that matches the schema."""
    try:
        check_id(path.stem)
    except UsageError:
        yield (
            [],
            f"a drill is named as its file: '{path.stem}' must begin with a letter and have only a-z, 0-9 and '-'.",
        )
    typed = {"break", "fix"} & tree.keys()
    if len(typed) == 1 or not typed | ({"impair"} & tree.keys()):
        yield [*typed], "a drill needs `break` and `fix`, which are typed in its machines, or `impair`, or all three."
    if tree["survives-reboot"] and not typed:
        yield ["survives-reboot"], "a reboot ends what `impair` does. Write false, or add `break` and `fix`."
    machines = [node.name for node in topology.of(lab, _ANYBODY).nodes]
    named: list[tuple[list[str | int], str]] = [(["machines", i], name) for i, name in enumerate(tree["machines"])]
    named.append((["seen", "machine"], tree["seen"]["machine"]))
    for place, name in named:
        if name not in machines:
            yield place, f"the machine '{name}' is unknown. The machines are: {', '.join(machines)}."
    if tree.get("lab", lab.id) != lab.id:
        yield (
            ["lab"],
            f"this drill is for {tree['lab']}, not for {lab.id}. Name the lab: labenv drill lint --lab {tree['lab']}",
        )
    also = list(tree.get("also", ()))
    layers: list[tuple[list[str | int], str]] = [(["layer"], tree["layer"])]
    layers += [(["also", i], layer) for i, layer in enumerate(also)]
    for place, layer in layers:
        if layer not in lab.layers:
            yield place, f"the layer '{layer}' is unknown. {said_layers(lab)}"
    for i, layer in enumerate(also):
        if layer == tree["layer"]:
            yield ["also", i], f"'{layer}' is the drill's layer already. Remove it here."
    for i, check in enumerate(tree["trips"]):
        if check.partition("/")[0] not in lab.steps:
            yield ["trips", i], f"the step of '{check}' is unknown. The steps are: {', '.join(lab.steps)}."
    yield from unrenderable(tree, ("break", "fix", "half", "symptom", "explanation", "hints"))
    yield from unrenderable(tree["seen"], ("type",), ["seen"])


def unrenderable(
    tree: dict[str, Any], keys: Iterable[str], within: Sequence[str | int] = ()
) -> Iterator[tuple[list[str | int], str]]:
    """Those of the texts under these keys, and their places, that are no templates for a drill; a key need not be there."""
    for key in keys:
        value = tree.get(key, ())
        texts = [([key], value)] if isinstance(value, str) else [([key, i], text) for i, text in enumerate(value)]
        for place, text in texts:
            try:
                filled(text, _ANYBODY)
            except templates.Unrenderable as error:
                said = f"this template cannot be rendered: {error.words}. It can use student, domain and network."
                yield [*within, *place], said


def said_layers(lab: Lab) -> str:
    """A sentence that names the layers of a lab's drills."""
    if not lab.layers:
        return f"{lab.id} has no layers: name them in its lab.yaml."
    return f"The layers are: {', '.join(f'{layer} ({name})' for layer, name in lab.layers.items())}."


class Lines(Positions):
    """Where the keys and values of a drill's file stand in it. A key may have its old or new name."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _RENAMED)
