"""The services of a swarm: the keeper, the wardens, and a supervisor for each student."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labenv import places
from labenv.engine import Engine, swarm
from labenv.engine.swarm import Service
from labenv.environments.plan import Request, wished
from labenv.environments.room import MEMORY
from labenv.errors import UsageError
from labenv.swarm import setup, wishes, words
from labenv.swarm.supervisor import told_of

_SOCKET = {"/var/run/docker.sock": "/var/run/docker.sock", "/sys/fs/cgroup": "/sys/fs/cgroup"}
_NODE = {words.NODE: "{{.Node.ID}}", words.NODE_NAME: "{{.Node.Hostname}}"}
_SECRETS = {words.CERTIFICATE: words.CERTIFICATE, words.TOKEN: words.TOKEN}
_PROCESSORS = 0.05  # that an environment of a class needs on average; measured (docs/operator.md)
_INSTEAD = "For another place, change its class.yaml, and type there: labenv class up"
_KEEPER_MEMORY, _WARDEN_MEMORY, _SHELL_MEMORY = 96 << 20, 96 << 20, 8 << 20

_SHARED = "/slots"  # what all supervisors of a node have together (supervise.sh)
_SUPERVISE = Path(__file__).with_name("supervise.sh").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Reserve:
    """What Swarm reserves for one environment: bytes of memory, and processors; 0 for labenv's own measure."""

    memory: int = 0
    processors: float = 0.0


def keeper(engine: Engine, image: str) -> Service:
    """The service of the keeper: on this manager, which has labenv's folder of state; it puts copies where classes want them besides.

    Raises UsageError if a class's settings for that place cannot be read, EngineError.
    """
    state = places.state()
    secrets = {**_SECRETS, words.KEY: words.KEY}
    binds = {str(state): "/state/labenv"}
    urls = {wish.url: (of, wish.settings) for of, wish in sorted(wishes.everything().items()) if wish.url}
    for number, (url, (of, file)) in enumerate(urls.items()):
        if file:
            secrets[setup.keep(engine, words.PLACE, _content(Path(file), of))] = f"{words.PLACE}-{number}"
        if url.startswith("file://"):
            place = url.removeprefix("file://")
            if not Path(place).is_dir():  # an empty one that labenv makes would hide that a disk is not mounted
                raise UsageError(
                    f"The place for copies of the class {of} is no folder here: {place}. Make it, or mount what it lies on. {_INSTEAD}"
                )
            binds[place] = place
    return Service(
        words.KEEPER_SERVICE,
        "keeper",
        image,
        ["python3", "-m", "labenv.swarm.keeper"],
        environment={"XDG_STATE_HOME": "/state", "HOME": "/state", words.PLACES: json.dumps(list(urls))},
        binds=binds,
        secrets=setup.named(engine, secrets),
        constraints=[f"node.id=={swarm.state(engine)['NodeID']}"],
        memory=_KEEPER_MEMORY,
        user=f"{os.geteuid()}:{os.getegid()}",
    )


def warden(engine: Engine, image: str) -> Service:
    """The service of the wardens, one on each node; they push as often as the class wants that wants it most often. Raises EngineError."""
    every = min((wish.every for wish in wishes.everything().values()), default=wishes.EVERY)
    return Service(
        words.WARDEN_SERVICE,
        "warden",
        image,
        ["python3", "-m", "labenv.swarm.warden"],
        environment={**_of_nodes(), words.EVERY: f"{every:g}"},
        binds=_SOCKET,
        secrets=setup.named(engine, _SECRETS),
        replicas=None,
        memory=_WARDEN_MEMORY,
        grace=60,
    )


def secrets(engine: Engine) -> dict[str, str]:
    """The secrets that a supervisor needs, which are kept first: the same for all. Raises EngineError."""
    return setup.named(engine, _SECRETS)


def supervisor(image: str, request: Request, reserve: Reserve, has: str, secrets: Mapping[str, str]) -> Service:
    """The service of a student: one task, on a node that `has` the images (a label) and has room.

    Raises UsageError for a request that cannot be met, EngineError.
    """
    who = request.student_id
    each = min(MEMORY, request.belongs.allowance.memory or MEMORY)
    machines = len(wished(request).nodes)
    return Service(
        words.supervisor(who),
        "supervisor",
        image,
        ["sh", "-c", _SUPERVISE],
        # What one has read and compiled, the next on that node need not.
        environment={
            **_of_nodes(),
            words.WORK: json.dumps(told_of(request), sort_keys=True),
            "XDG_CACHE_HOME": _SHARED,
        },
        labels={words.SUPERVISED: who, words.OF_CLASS: request.belongs.class_id},
        binds=_SOCKET,
        volumes={"labenv-slots": _SHARED},
        secrets=secrets,
        constraints=[f"node.labels.{has}==yes"],
        memory=reserve.memory or machines * each + _SHELL_MEMORY,
        processors=reserve.processors or _PROCESSORS,
        grace=words.GRACE,
        spread=True,
    )


def _of_nodes() -> dict[str, str]:
    return {**_NODE, words.KEEPER: setup.keeper_url(), "HOME": "/root", "XDG_STATE_HOME": "/var/lib"}


def _content(file: Path, class_id: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{file}, the settings of the place for copies of the class {class_id}, cannot be read: {error.strerror}. {_INSTEAD}"
        ) from error


def classes(engine: Engine) -> dict[str, str]:
    """The students that have a supervisor, each with the class that it is of. Raises EngineError."""
    there = (each["Spec"]["Labels"] for each in swarm.services(engine, words.SUPERVISED))
    return {labels[words.SUPERVISED]: labels.get(words.OF_CLASS, "") for labels in there}


def students(engine: Engine, class_id: str) -> dict[str, str]:
    """The students of a class that have a supervisor, each with the id of its service. Raises EngineError."""
    there = swarm.services(engine, f"{words.OF_CLASS}={class_id}")
    return {each["Spec"]["Labels"][words.SUPERVISED]: each["ID"] for each in there}


def tasks_of(engine: Engine, ids: Sequence[str]) -> dict[str, swarm.Task]:
    """The newest task of each of these services that has one, by the service's id. Raises EngineError."""
    wanted = set(ids)
    return {task.service: task for task in swarm.tasks(engine) if task.service in wanted}
