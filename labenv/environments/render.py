"""An environment as plain files: a compose.yaml and, for each machine, a Dockerfile with its overlay.

`docker-compose up` there brings up the same environment without labenv; labenv finds it by its labels.
"""

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from labenv.engine import Engine, image_sources, recipe
from labenv.engine.images import Images
from labenv.engine.labels import environment_labels, machine_labels
from labenv.environment import container_name, network_name
from labenv.environments.plan import Plan, Request, made_from, network_labels, network_options, new_plan
from labenv.errors import UsageError
from labenv.events import Listener
from labenv.lab import overlay
from labenv.lab.topology import Network

_HEAD = """\
# {student}'s {lab} at stage {stage}, written by labenv render.
# Start it here with `docker-compose up -d` (or `docker compose up -d`), remove it with `docker-compose down`.
# Packet filter rules keep the lab's packets in; Compose cannot load them: labenv doctor --rules | sudo nft -f -
# The way in which systemd gets its cgroup fits the engine that labenv found: {recipe}.
"""
_DOCKERFILE = "# {fqdn}: the image with this student's files laid over it.\nFROM {image}\n{steps}\n"


def check_folder(folder: Path) -> None:
    """Raise UsageError unless `folder` is empty or does not exist: labenv never overwrites a person's files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder. Choose another folder.")


def write(engine: Engine, request: Request, folder: Path, listen: Listener) -> None:
    """Write the environment that `up` would make to `folder`.

    Raises UsageError if the folder cannot be written, EngineError if the images cannot be built.
    """
    made = new_plan(engine, request, listen)
    Images(engine, image_sources.of(made.lab)).ensure(set(made.images().values()), listen)
    way = recipe.choose(engine.facts)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it contains the accounts' password
        for node in made.topology.nodes:
            items = made.overlay(node)
            overlay.write(items, folder / node.name)
            text = _DOCKERFILE.format(fqdn=node.fqdn, image=made.image_tag(node), steps="\n".join(_steps(items)))
            (folder / node.name / "Dockerfile").write_text(text, encoding="utf-8")
        head = _HEAD.format(student=made.student.id, lab=made.lab.id, stage=made.stage, recipe=way.name)
        body = yaml.safe_dump(document(made, way, lambda n: network_options(engine, made.student, n)), sort_keys=False)
        # In a Compose file a dollar sign begins a variable; two stand for a dollar sign.
        (folder / "compose.yaml").write_text(head + body.replace("$", "$$"), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}.") from error


def _steps(items: list[overlay.Item]) -> list[str]:
    """Dockerfile lines that lay the files over the image.

    A COPY for each folder names its files: a COPY of the folder itself would also replace its owner and mode.
    """
    folders: dict[str, list[str]] = {}
    for item in items:
        if item.link is None:
            folders.setdefault(str(PurePosixPath(item.path).parent), []).append(item.path.lstrip("/"))
    copies = [f"COPY {json.dumps([*paths, folder + '/'])}" for folder, paths in folders.items()]
    return copies + [f"RUN {json.dumps(['ln', '-sf', item.link, item.path])}" for item in items if item.link]


def document(made: Plan, way: recipe.Recipe, options: Callable[[Network], dict[str, str]]) -> dict[str, Any]:
    """The compose file as a tree: services with what the recipe adds, and the networks with their `options`."""
    labels = environment_labels(made.environment())
    services = {}
    keys = {network.name: network.key for network in made.topology.networks}
    for node in made.topology.nodes:
        published = made.topology.published(node, made.student.x)
        mark = machine_labels(node, made_from(made, node))
        joined = {n.name: n.joined_by[node.name] for n in made.topology.networks if node.name in n.joined_by}
        addresses = {name: node.on_engine(own) for name, own in ({node.network: node.address} | joined).items()}
        services[node.name] = {
            "build": {"context": f"./{node.name}"},
            "container_name": container_name(made.student.id, node.name),
            "hostname": overlay.hostname(made.overlay(node)) or node.fqdn,
            **({"stop_signal": "SIGRTMIN+3"} if node.systemd else {}),
            "networks": {keys[name]: {"ipv4_address": address} for name, address in addresses.items()},
            "ports": [f"127.0.0.1:{published[port.key]}:{port.number}/{port.protocol}" for port in node.ports],
            **recipe.service_keys(way, made.student.id, node),
            "labels": labels | mark,
        }
    networks = {
        network.key: {
            "name": network_name(made.student.id, network.name),
            "driver": "bridge",
            "driver_opts": options(network),
            "ipam": {"config": [dict(zip(("subnet", "gateway"), network.on_engine, strict=True))]},
            "labels": network_labels(made, network),
        }
        for network in made.topology.networks
    }
    return {"services": services, "networks": networks}
