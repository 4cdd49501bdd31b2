"""lab.yaml: its stages, and what it names."""

from collections import Counter

from labenv import resources
from labenv.errors import UsageError
from labenv.lab import kits, labs, templates
from labenv.lab.lint.found import Found
from labenv.lab.lint.student import STUDENT
from labenv.lab.model import Lab, parsed
from labenv.lab.positions import Place, fault
from labenv.lab.stages import everywhere
from labenv.lab.topology import Topology, file_of

_FILE = "lab.yaml"


def in_topology(found: Found, lab: Lab, sentence: str, at: Place) -> None:
    """Note a problem of the topology: in its file, if that is the lab's own, or where lab.yaml names it."""
    file = file_of(lab)
    if file.is_relative_to(lab.folder) and file.is_file():
        found.add(file.relative_to(lab.folder).as_posix(), sentence, at)
    else:
        found.add(_FILE, sentence, ["topology"])


def topology(found: Found, lab: Lab, error: UsageError) -> None:
    """Note why the topology cannot be read, where that is no place that `TopologyError` names."""
    file = file_of(lab)
    words = str(error).removeprefix(f"{file}: ")
    if broken := fault(file) if file.is_file() else None:
        line, column, reason = broken
        found.add_at(file.name, f"this is not valid YAML: {reason}. Fix that place.", line, column)
    elif words != str(error):
        in_topology(found, lab, words, [])
    else:
        found.add(_FILE, words, ["topology"])


def stages(found: Found, lab: Lab) -> None:
    """The stages, everything that refers to one, and whether each has something to do."""
    there = [stage.id for stage in lab.stages]
    for name, count in Counter(there).items():
        if count > 1:
            last = len(there) - 1 - there[::-1].index(name)
            found.add(_FILE, f"{count} stages are called '{name}'. Give each its own name.", ["stages", last])
    told: set[tuple[str, str, str]] = set()
    for named in everywhere(lab):
        if (key := (named.file, named.step, named.stage)) not in told:
            told.add(key)
            found.unknown(named.file, "stage", [(named.stage, named.place)], there, step=named.step)
    used = {step.stage for step in lab.steps.values()}
    for number, name in enumerate(there[1:], 1):
        if lab.steps and name not in used:  # before there are any steps, the machines can be looked at
            said = f"no step leads to the stage '{name}', so nobody can reach it. Give a step this stage, or remove it."
            found.add(_FILE, said, ["stages", number])


def names(found: Found, lab: Lab, plan: Topology) -> None:
    """Machines, templates, images and kits that lab.yaml names, and the lab's own name."""
    tree = parsed(lab.folder / _FILE)
    machines = [node.name for node in plan.nodes]
    named: list[tuple[str, Place]] = [(m, ["files", m]) for m in lab.files if m != "desktop"]
    named += [(machine, ["images", machine]) for machine in lab.images]
    named += [(answer.machine, ["answers", number, "machine"]) for number, answer in enumerate(lab.answers)]
    if account := tree.get("account"):
        named += [(account[end]["machine"], ["account", end, "machine"]) for end in ("imap", "smtp")]
    found.unknown(_FILE, "machine", named, machines)
    folder = lab.folder / "templates"
    there = [path.relative_to(folder).as_posix() for path in folder.rglob("*.j2")]
    named = [
        (file.template, ["files", machine, number, "template"])
        for machine, files in lab.files.items()
        for number, file in enumerate(files)
        if file.template
    ]
    found.unknown(_FILE, "template", named, there)
    images = [
        path.parent.name for place in (lab.folder / "images", resources.images()) for path in place.glob("*/Dockerfile")
    ]
    later: list[tuple[str, Place]] = [
        (image, ["images", machine, number, "image"])
        for machine, entries in lab.images.items()
        for number, (_, image) in enumerate(entries)
    ]
    found.unknown(_FILE, "image", later, set(images))
    for node in plan.nodes:
        if node.image not in images:
            said = (
                f"{node.name}: the image '{node.image}' is unknown. The images are: {', '.join(sorted(set(images)))}."
            )
            in_topology(found, lab, said, ["services", node.name, "image"])
    wished: list[tuple[str, Place]] = [(profile, ["with", number]) for number, profile in enumerate(lab.profiles)]
    found.unknown(_FILE, "profile", wished, plan.profiles)
    found.unknown(_FILE, "kit", [(kit, ["kits", number]) for number, kit in enumerate(lab.kits)], kits.names())
    if (twice := labs.doubled().get(lab.id)) and any(place.folder == lab.folder for place in labs.everywhere()):
        found.add(_FILE, twice, ["id"])


def texts(found: Found, lab: Lab) -> None:
    """Whether what is a template in lab.yaml itself can be rendered."""
    tree = parsed(lab.folder / _FILE)
    there: list[tuple[str, Place]] = [
        (entry[key], ["answers", number, key])
        for number, entry in enumerate(tree.get("answers", ()))
        for key in ("dns", "http", "command")
        if key in entry
    ]
    there += [(tree["account"][key], ["account", key]) for key in ("address", "user") if "account" in tree]
    for text, place in there:
        try:
            templates.text(text, student=STUDENT, network=STUDENT.prefix)
        except templates.Unrenderable as error:
            found.add(_FILE, f"this template cannot be rendered: {error.words}. It can use student and network.", place)
