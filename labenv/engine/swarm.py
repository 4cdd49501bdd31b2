"""Docker's swarm mode as the engine has it: nodes, services, tasks, secrets (Engine API, "Swarm", "Node", "Service", "Task")."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import docker.errors
from docker.types import (
    ContainerSpec,
    EndpointSpec,
    Mount,
    NetworkAttachmentConfig,
    Placement,
    Resources,
    RestartPolicy,
    SecretReference,
    ServiceMode,
    TaskTemplate,
)

from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.labels import SWARM
from labenv.errors import EngineError

PORT = 2377  # where managers listen, unless told otherwise (docker-swarm-init(1))
SAYS = "labenv.swarm-says"  # on a service: what it was made from
_SECOND = 1_000_000_000  # of the Engine API: nanoseconds
# Seconds. A task that cannot begin is tried again slowly: nobody sees it but those who wait for it.
_AGAIN = 5
_CONFLICT = 409  # a name is taken
_TRIES = 5
T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """A node of a swarm as its managers see it. `state` is "ready", "down", …; `availability` "active", "pause" or "drain".

    `memory` is in bytes, `processors` in processors.
    """

    id: str
    name: str
    address: str
    state: str
    availability: str
    is_manager: bool
    engine: str
    processors: float
    memory: int
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_lost(self) -> bool:
        """Whether Swarm has lost it. While its manager has just started, a node's state is "unknown", and it may be as well as ever."""
        return self.state not in ("ready", "unknown")

    @property
    def takes(self) -> bool:
        """Whether it gets tasks."""
        return self.state == "ready" and self.availability == "active"


@dataclass(frozen=True)
class Task:
    """A task of a service: on which node, its `state`, the state that is `wanted`, and what went wrong (`error`), if anything did.

    `made` is when it was made (ISO 8601).
    """

    id: str
    service: str
    node: str
    state: str
    wanted: str
    error: str
    made: str


@dataclass(frozen=True)
class Service:
    """A service of labenv's to be: everything but its name is as docker-service-create(1) has it.

    `secrets`, `binds` and `volumes` map names, or places on the node, to places in the container; `memory` is in bytes. With no `replicas`
    it has one task on each node.
    """

    name: str
    role: str
    image: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    binds: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    constraints: Sequence[str] = ()
    replicas: int | None = 1
    memory: int = 0
    processors: float = 0.0
    user: str = ""
    grace: int = 10
    spread: bool = False


def state(engine: Engine) -> dict[str, Any]:
    """What the engine says about its swarm (Engine API, SystemInfo.Swarm). Raises EngineError."""
    told: dict[str, Any] = engine.info.get("Swarm") or {}
    return told


def is_manager(engine: Engine) -> bool:
    """Whether the engine manages a swarm that has a leader. Raises EngineError."""
    with refusals("asking about the swarm"):
        try:
            engine.api.inspect_swarm()
        except docker.errors.APIError as error:
            if error.status_code in (404, 406, 503):  # no swarm, a worker, no leader; Podman has none of it
                return False
            raise
    return True


def init(engine: Engine, address: str) -> None:
    """Make the engine the first manager of a swarm, reached at that address (or interface). Raises EngineError."""
    with refusals("making the swarm"):
        engine.api.init_swarm(advertise_addr=address or None, listen_addr=f"0.0.0.0:{PORT}")


def join(engine: Engine, manager: str, token: str, address: str) -> None:
    """Have the engine join the swarm of that manager, ADDRESS or ADDRESS:PORT. Raises EngineError."""
    remote = manager if ":" in manager else f"{manager}:{PORT}"
    with refusals(f"joining the swarm of {manager}"):
        engine.api.join_swarm([remote], token, listen_addr=f"0.0.0.0:{PORT}", advertise_addr=address or None)


def tokens(engine: Engine) -> dict[str, str]:
    """The tokens with which others join, as "Worker" and "Manager". Raises EngineError."""
    with refusals("asking for the tokens of the swarm"):
        told: dict[str, str] = engine.api.inspect_swarm()["JoinTokens"]
    return told


def nodes(engine: Engine) -> list[Node]:
    """The nodes of the swarm, by name. Raises EngineError if the engine is no manager."""
    with refusals("listing the nodes of the swarm"):
        there = engine.api.nodes()
    return sorted(map(_node, there), key=lambda node: (node.name, node.id))


def _node(told: dict[str, Any]) -> Node:
    manager = told.get("ManagerStatus") or {}
    address = told["Status"].get("Addr", "")
    if address in ("", "0.0.0.0", "127.0.0.1") and manager:
        address = manager.get("Addr", "").rpartition(":")[0]
    about = told.get("Description") or {}
    size = about.get("Resources") or {}
    return Node(
        told["ID"],
        about.get("Hostname", ""),
        address,
        told["Status"]["State"],
        told["Spec"]["Availability"],
        bool(manager),
        (about.get("Engine") or {}).get("EngineVersion", ""),
        size.get("NanoCPUs", 0) / _SECOND,
        size.get("MemoryBytes", 0),
        told["Spec"].get("Labels") or {},
    )


def set_availability(engine: Engine, node: Node, availability: str) -> None:
    """Have a node take tasks ("active"), no new ones ("pause"), or give up those that it has ("drain"). Raises EngineError."""
    with refusals(f"changing the node {node.name}"):
        _in_turn(lambda: _update_node(engine, node, lambda spec: {"Availability": availability}))


def set_label(engine: Engine, node: Node, name: str, value: str) -> None:
    """Give a node a label. Raises EngineError."""
    with refusals(f"labelling the node {node.name}"):
        _in_turn(
            lambda: _update_node(engine, node, lambda spec: {"Labels": {**(spec.get("Labels") or {}), name: value}})
        )


def _update_node(engine: Engine, node: Node, changes: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    told = engine.api.inspect_node(node.id)
    engine.api.update_node(node.id, told["Version"]["Index"], told["Spec"] | changes(told["Spec"]))


def _in_turn(work: Callable[[], T]) -> T:
    """Do something that reads, decides and writes, again if somebody else wrote in between."""
    for left in reversed(range(_TRIES)):
        try:
            return work()
        except docker.errors.APIError as error:
            if not left or not (error.status_code == _CONFLICT or "out of sequence" in str(error)):
                raise
    raise AssertionError("the last try returns or raises")


def services(engine: Engine, *labels: str) -> list[dict[str, Any]]:
    """Labenv's services with these labels, as the engine tells of them (Engine API, ServiceList). Raises EngineError."""
    with refusals("listing the services of the swarm"):
        there: list[dict[str, Any]] = engine.api.services(filters={"label": [SWARM, *labels]})
    return there


def tasks(engine: Engine, *, labels: Sequence[str] = (), service: str = "") -> list[Task]:
    """The tasks of labenv's services with these labels, or of one service, oldest first; none of one that does not exist.

    Raises EngineError.
    """
    wanted = {"service": [service]} if service else {"label": list(labels)}
    with refusals("listing the tasks of the swarm"):
        try:
            there = engine.api.tasks(filters=wanted)
        except docker.errors.NotFound:
            return []
    found = [
        Task(
            told["ID"],
            told["ServiceID"],
            told.get("NodeID", ""),
            told["Status"]["State"],
            told["DesiredState"],
            told["Status"].get("Err", ""),
            told["CreatedAt"],
        )
        for told in there
    ]
    return sorted(found, key=lambda task: task.made)


def running(engine: Engine, role: str) -> int:
    """How many tasks of labenv's services of that role run on this engine itself, which may be no manager. Raises EngineError."""
    with refusals("listing the tasks of this node"):
        return len(engine.api.containers(filters={"label": f"{SWARM}={role}"}))


def ensure(engine: Engine, wanted: Service) -> bool:
    """Make a service, or change it if it was made from something else; returns whether anything was done. Raises EngineError."""
    says = json.dumps([wanted.__dict__], sort_keys=True, default=list)
    labels = {SWARM: wanted.role, SAYS: says, **wanted.labels}

    def ensured() -> bool:
        try:
            there = engine.api.inspect_service(wanted.name)
        except docker.errors.NotFound:
            engine.api.create_service(
                _template(engine, wanted), wanted.name, labels, _mode(wanted), endpoint_spec=_ports()
            )
            return True
        if there["Spec"]["Labels"].get(SAYS) == says:
            return False
        engine.api.update_service(
            there["ID"],
            there["Version"]["Index"],
            _template(engine, wanted),
            wanted.name,
            labels,
            _mode(wanted),
            endpoint_spec=_ports(),
        )
        return True

    with refusals(f"making the service {wanted.name}"):
        return _in_turn(ensured)


def remove(engine: Engine, service: str) -> None:
    """Remove a service; it is no error if there is none. Raises EngineError."""
    with refusals(f"removing the service {service}"), suppress(docker.errors.NotFound):
        engine.api.remove_service(service)


def keep_secret(engine: Engine, name: str, content: bytes) -> None:
    """Have the swarm keep a secret under a name that stands for just that content. Raises EngineError."""
    with refusals(f"keeping the secret {name}"):
        if not engine.api.secrets(filters={"name": name}):
            try:
                engine.api.create_secret(name, content, {SWARM: "secret"})
            except docker.errors.APIError as error:
                if error.status_code != _CONFLICT:  # another command has just kept the same
                    raise


def leave(engine: Engine) -> None:
    """Have the engine leave its swarm; what the swarm knew goes with its last manager. Raises EngineError."""
    with refusals("leaving the swarm"):
        engine.api.leave_swarm(force=True)


def image_id(engine: Engine, tag: str) -> str:
    """The id of an image. Nobody looks for an image that is named so in a registry. Raises EngineError."""
    with refusals(f"looking for {tag}"):
        try:
            return str(engine.api.inspect_image(tag)["Id"])
        except docker.errors.ImageNotFound as error:
            raise EngineError(
                f"The engine does not have the image {tag}. Build it: labenv images build labenv"
            ) from error


def _mode(wanted: Service) -> ServiceMode:
    return ServiceMode("global") if wanted.replicas is None else ServiceMode("replicated", wanted.replicas)


def _ports() -> EndpointSpec:
    """No virtual address: that would need IPVS, which not every kernel has."""
    return EndpointSpec(mode="dnsrr")


def _template(engine: Engine, wanted: Service) -> TaskTemplate:
    mounts = [Mount(into, place, "bind") for place, into in wanted.binds.items()]
    mounts += [Mount(into, volume, "volume") for volume, into in wanted.volumes.items()]
    known = {}
    if wanted.secrets:
        known = {each["Spec"]["Name"]: each["ID"] for each in engine.api.secrets(filters={"label": SWARM})}
    secrets = [
        SecretReference(known[name], name, filename=into, uid=wanted.user.partition(":")[0] or None, mode=0o400)
        for name, into in wanted.secrets.items()
    ]
    container = ContainerSpec(
        wanted.image,
        command=list(wanted.command),
        env=dict(wanted.environment),
        labels={SWARM: wanted.role},
        mounts=mounts,
        secrets=secrets,
        user=wanted.user or None,
        stop_grace_period=wanted.grace * _SECOND,
        init=True,
        isolation=None,
    )
    return TaskTemplate(
        container,
        Resources(mem_reservation=wanted.memory or None, cpu_reservation=round(wanted.processors * _SECOND) or None),
        RestartPolicy("any", delay=_AGAIN * _SECOND),
        Placement(list(wanted.constraints), preferences=[("spread", "node.id")] if wanted.spread else None),
        # The node's own network: no address of a swarm's network, which labs might use.
        networks=[NetworkAttachmentConfig("host")],
    )
