"""lab.yaml: its stages, and what it names."""

from collections import Counter

from labenv import resources
from labenv.lab import kits, labs
from labenv.lab.lint.found import Found
from labenv.lab.model import Lab, parsed
from labenv.lab.positions import Place
from labenv.lab.topology import Topology

_FILE = "lab.yaml"


def stages(found: Found, lab: Lab) -> None:
    """The stages, everything that refers to one, and whether each has something to do."""
    there = [stage.id for stage in lab.stages]
    for name, count in Counter(there).items():
        if count > 1:
            last = len(there) - 1 - there[::-1].index(name)
            found.add(_FILE, f"{count} stages are called '{name}'. Give each its own name.", ["stages", last])
    tree = parsed(lab.folder / _FILE)
    named: list[tuple[str, Place]] = []
    for part in ("files", "images"):
        for machine, entries in tree.get(part, {}).items():
            for number, entry in enumerate(entries):
                named += [(entry[key], [part, machine, number, key]) for key in ("since", "until") if key in entry]
    for number, entry in enumerate(tree.get("answers", ())):
        named += [(entry["since"], ["answers", number, "since"])] if "since" in entry else []
    found.unknown(_FILE, "stage", named, there)
    for number, step in enumerate(lab.steps.values()):
        found.unknown("steps.yaml", "stage", [(step.stage, ["steps", number, "stage"])], there, step=step.id)
    used = {step.stage for step in lab.steps.values()}
    for number, name in enumerate(there[1:], 1):
        if name not in used:
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
    templates: list[tuple[str, Place]] = [
        (file.template, ["files", machine, number, "template"])
        for machine, files in lab.files.items()
        for number, file in enumerate(files)
        if file.template
    ]
    found.unknown(_FILE, "template", templates, there)
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
                f"the topology's machine {node.name} has the image '{node.image}', which is unknown. The images are: "
            )
            found.add(_FILE, f"{said}{', '.join(sorted(set(images)))}.", ["topology"])
    found.unknown(_FILE, "kit", [(kit, ["kits", number]) for number, kit in enumerate(lab.kits)], kits.names())
    if (twice := labs.doubled().get(lab.id)) and any(place.folder == lab.folder for place in labs.everywhere()):
        found.add(_FILE, twice, ["id"])
