"""Makes the container of a machine, by the first of labenv's recipes that the engine knows."""

import base64
import gzip
import re
from typing import TYPE_CHECKING, Any

import docker.errors

from labenv.engine import limits, recipe
from labenv.engine.errors import refusals
from labenv.engine.labels import CLASS, FOREIGN, HOSTNAME
from labenv.environment import container_name, network_name
from labenv.lab.topology import Node
from labenv.student import Student

if TYPE_CHECKING:
    from labenv.engine import Engine

# What engines answer when they do not know or cannot grant a recipe's option; then the next recipe is tried.
_REFUSED = re.compile(r"writable-cgroups|WritableCgroups|storage-opt|pquota", re.IGNORECASE)


def create(
    engine: "Engine",
    node: Node,
    student: Student,
    image: str,
    published: dict[str, int],
    labels: dict[str, str],
    files: bytes,
    binds: tuple[str, ...] = (),
) -> str:
    """Create a machine without starting it, with `binds` mounted, and return its container's name. Raises EngineError.

    `files` is its overlay, a tar archive rooted at /. The machine unpacks it over its image itself, at its first boot: the
    engine would start another process for that, which costs a tenth of a second.
    A machine with the label FOREIGN gets fewer rights, and so may one of a class; one with HOSTNAME gets that host name.
    """
    overlay = base64.b64encode(gzip.compress(files, mtime=0)).decode()
    name = container_name(student.id, node.name)
    with refusals(f"making {node.name}"):
        for way in recipe.candidates(engine.facts):
            try:
                keys = recipe.service_keys(way, student.id, node, foreign=FOREIGN in labels, shared=CLASS in labels)
                keys["command"].append(overlay)
                keys["volumes"] = [*keys.get("volumes", ()), *binds]
                _create(engine, name, node, student, image, published, labels, keys)
                break
            except docker.errors.APIError as error:
                if not _REFUSED.search(str(error)):
                    raise
    return name


def _create(
    engine: "Engine",
    name: str,
    node: Node,
    student: Student,
    image: str,
    published: dict[str, int],
    labels: dict[str, str],
    keys: dict[str, Any],
) -> None:
    ports = {f"{port.number}/{port.protocol}": ("127.0.0.1", published[port.key]) for port in node.ports}
    settings = engine.settings(
        cap_add=keys["cap_add"],
        dns=keys["dns"],
        tmpfs=dict(mount.split(":", 1) for mount in keys["tmpfs"]),
        sysctls=keys.get("sysctls"),
        port_bindings=ports,
        binds=keys["volumes"],
        security_opt=keys.get("security_opt"),
        cgroup_parent=keys.get("cgroup_parent"),
        network_mode=network_name(student.id, node.network),
        **limits.settings(keys),
    )
    if "cgroup" in keys:
        settings["CgroupnsMode"] = keys["cgroup"]
    endpoint = engine.api.create_endpoint_config(ipv4_address=node.on_engine(node.address))
    engine.api.create_container(
        image,
        name=name,
        hostname=labels.get(HOSTNAME, node.fqdn),
        command=keys["command"],
        labels=labels,
        use_config_proxy=False,  # a proxy of this computer is none of the lab's
        # The same as in the images; one that came out of a save may not have it (systemd(1)).
        stop_signal="SIGRTMIN+3" if node.systemd else "SIGTERM",
        ports=[(port.number, port.protocol) for port in node.ports],
        host_config=settings,
        networking_config=engine.api.create_networking_config({settings["NetworkMode"]: endpoint}),
    )
