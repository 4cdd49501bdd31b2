"""Images on the nodes: pushed from the manager, once a content hash, or pulled from a registry that the admin names."""

from collections.abc import Iterable, Iterator

from labenv.engine import Engine, image_sources, own_image
from labenv.engine.errors import refusals
from labenv.engine.images import Images
from labenv.errors import EngineError, LabenvError
from labenv.events import Event, Listener, announced, counting
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.parallel import Together
from labenv.swarm.where import Nodes
from labenv.text import many

_BLOCK = 1 << 20
_TOGETHER = 4  # nodes that get images at the same time: the manager's network is what they share


def needed(wanted: Iterable[str], *, desktop: bool = False) -> list[str]:
    """The tags of the images that nodes need for these labs, and labenv's own. Raises UsageError for a lab that does not exist."""
    found: dict[str, None] = {}
    for name in wanted:
        lab = labs.load(name)
        known = image_sources.of(lab)
        found |= dict.fromkeys(known[image].tag for image in _names(lab, desktop=desktop))
    return [*found, own_tag()]


def ready(manager: Engine, wanted: Iterable[str], listen: Listener, *, desktop: bool = False) -> str:
    """Build on the manager what it lacks of the images for these labs, and return the id of labenv's own. Raises EngineError, UsageError."""
    for name in wanted:
        lab = labs.load(name)
        Images(manager, image_sources.of(lab)).ensure(_names(lab, desktop=desktop), listen)
    return image_id(manager, Images(manager).ensure_own(listen))


def _names(lab: Lab, *, desktop: bool) -> list[str]:
    """The images that a lab needs; a desktop is made on a student's wish, so that its image would be built on each node."""
    return [*image_sources.needed(lab), *(image_sources.desktop(lab) if desktop else ())]


def own_tag() -> str:
    """The tag of labenv's own image. Raises EngineError."""
    return own_image.own().tag


def image_id(engine: Engine, tag: str) -> str:
    """The id of an image that an engine has: so named, no engine looks for it in a registry. Raises EngineError."""
    with refusals(f"looking for {tag}"):
        return str(engine.api.inspect_image(tag)["Id"])


def lacking(engine: Engine, tags: Iterable[str]) -> list[str]:
    """Those of these images that an engine does not have. Raises EngineError."""
    with refusals("listing the images"):
        listed = engine.api.images(filters={"reference": "labenv/*"})
    there = {tag.removeprefix("localhost/") for image in listed for tag in image["RepoTags"] or []}
    return [tag for tag in tags if tag not in there]


def distribute(
    nodes: Nodes, tags: list[str], listen: Listener, *, registry: str = ""
) -> Iterator[tuple[str, list[str] | LabenvError]]:
    """Have all nodes that are ready hold these images; yields the name of each with what it got, or why it could not get it.

    With a `registry` such as registry.example.org/labenv each node pulls them from there; without, the manager sends them.
    """
    engines = nodes.engines()
    names = {node.id: node.name for node in nodes.all}
    todo = {names[node]: engine for node, engine in engines.items() if engine is not nodes.manager}

    def one(name: str) -> list[str] | LabenvError:
        engine = todo[name]
        try:
            if isinstance(engine, LabenvError):
                return engine
            missing = lacking(engine, tags)
            if missing and registry:
                _pull(engine, registry, missing)
            elif missing:
                with announced(listen, f"images {name}", f"sending {many(len(missing), 'image')} to {name}"):
                    _send(nodes.manager, engine, missing, listen, name)
            return missing
        except LabenvError as error:
            return error

    with Together(_TOGETHER) as pool:
        yield from zip(todo, pool.map(one, todo), strict=True)


def _send(manager: Engine, engine: Engine, tags: list[str], listen: Listener, name: str) -> None:
    count = counting(listen, f"images {name}")

    def pieces() -> Iterator[bytes]:
        for block in manager.save(tags, _BLOCK):
            count(len(block))
            yield block

    with refusals(f"sending images to {name}"):
        url = f"{engine.api.base_url}/v{engine.api.api_version}/images/load"
        answer = engine.api.post(url, data=pieces(), params={"quiet": True}, timeout=(60, 3600))
        text = answer.text
    if not answer.ok or '"error"' in text:
        raise EngineError(f"{name} did not take the images: {' '.join(text.split())[-300:]}")
    if still := lacking(engine, tags):
        raise EngineError(f"{name} took the images, but does not have {still[0]}: is its disk full?")


def _pull(engine: Engine, registry: str, tags: list[str]) -> None:
    for tag in tags:
        name, _, version = tag.rpartition(":")
        there = f"{registry.rstrip('/')}/{name.removeprefix('labenv/')}"
        with refusals(f"pulling {there}:{version}"):
            engine.api.pull(there, version)
            engine.api.tag(f"{there}:{version}", name, version)
            engine.api.remove_image(f"{there}:{version}")


def publish(manager: Engine, registry: str, tags: list[str], listen: Listener) -> None:
    """Put images of the manager into a registry, from which nodes can pull them. Raises EngineError."""
    for tag in tags:
        name, _, version = tag.rpartition(":")
        there = f"{registry.rstrip('/')}/{name.removeprefix('labenv/')}"
        with announced(listen, f"push {tag}", f"pushing {there}:{version}"), refusals(f"pushing {there}:{version}"):
            manager.api.tag(tag, there, version)
            try:
                for part in manager.api.push(there, version, stream=True, decode=True):
                    if "error" in part:
                        raise EngineError(f"{there}:{version} cannot be pushed: {part['error'].strip()}")
                    listen(Event(f"push {tag}", str(part.get("status", ""))))
            finally:
                manager.api.remove_image(f"{there}:{version}")
