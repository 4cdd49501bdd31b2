"""Making a swarm and its services, joining it, and leaving it again."""

import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from labenv.engine import Engine, swarm
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.swarm import images, leases, services, setup, words
from labenv.text import many

_PATIENCE = 150.0  # seconds for supervisors that push and end
_SETTLING = 30.0  # seconds for an engine that is just making its swarm, or joining one
_POLL = 0.25
_SSH = 22


@dataclass(frozen=True)
class Made:
    """A swarm: the manager's address, the token with which others join, its public key; whether it was made now."""

    address: str
    token: str
    key: str
    is_new: bool


@dataclass(frozen=True)
class Joined:
    """A node: its address, the file that the manager's key is in (None if none was given), what a person should do; whether it is new."""

    address: str
    keys: Path | None
    warnings: tuple[str, ...]
    is_new: bool


def init(engine: Engine, address: str, listen: Listener) -> Made:
    """Make the engine the manager of a swarm of labenv's, or repair what is missing of that.

    Raises UsageError for an engine that can be none, EngineError.
    """
    _refuse_foreign(engine)
    image = images.ready(engine, [], listen)  # first, because it may need a network
    told = _settled(engine)
    is_new = told == "inactive"
    if is_new:
        with announced(listen, "swarm", "making a swarm of Docker's"):
            try:
                _addressed(lambda: swarm.init(engine, address))
            except EngineError:
                if _settled(engine) != "active":
                    raise
                is_new = False  # another command has just made it
            _settled(engine)
    if not is_new and not swarm.is_manager(engine):
        raise UsageError(
            f"This server is in a swarm already, which it does not manage (its state there is {told}). Make the swarm's manager "
            "labenv's, or leave it: docker swarm leave"
        )
    there = setup.address_of(engine)
    if address and address != there and not is_new:
        listen(Event("swarm", f"the swarm knows this server as {there}; --address changes nothing there", "warn"))
    setup.prepare(there)
    ensure(engine, image, listen)
    return Made(there, swarm.tokens(engine)["Worker"], setup.public_key(), is_new)


def ensure(engine: Engine, image: str, listen: Listener) -> None:
    """Have the keeper and the wardens run, from that image. Raises EngineError."""
    before = {task.id for task in swarm.tasks(engine, service=words.KEEPER_SERVICE)}
    swarm.ensure(engine, services.keeper(engine, image))
    swarm.ensure(engine, services.warden(engine, image))
    with announced(
        listen, "keeper", "waiting for the keeper"
    ):  # also one that was begun by a command that was interrupted
        _await_keeper(engine, before)


def _await_keeper(engine: Engine, before: Collection[str]) -> None:
    """Wait until the keeper listens. Raises EngineError with what Swarm says if it does not; what the tasks `before` say is old."""
    deadline = time.monotonic() + 60
    address = setup.address_of(engine)
    failed: list[str] = []
    while time.monotonic() < deadline and len(failed) < 3:
        tasks = swarm.tasks(engine, service=words.KEEPER_SERVICE)
        if any(task.state == "running" and task.wanted == "running" for task in tasks):
            try:
                socket.create_connection((address, words.PORT), 1).close()
            except OSError:
                pass
            else:
                return
        failed = [task.error for task in tasks if task.error and task.id not in before]
        time.sleep(_POLL)
    said = failed[-1] if failed else "it does not answer"
    raise EngineError(
        f"The keeper of the swarm cannot be started: {said}. Is port {words.PORT} free here? Its log: docker service logs {words.KEEPER_SERVICE}"
    )


def join(engine: Engine, token: str, manager: str, key: str, address: str, listen: Listener) -> Joined:
    """Make the engine a node of the swarm of that manager.

    Raises UsageError for an engine that can be none or is another swarm's, EngineError.
    """
    _refuse_foreign(engine)
    is_new = _settled(engine) == "inactive"
    state = swarm.state(engine)
    known = [each.get("Addr", "").rpartition(":")[0] for each in state.get("RemoteManagers") or []]
    if not is_new and manager.partition(":")[0] not in known:
        raise UsageError(f"This server is in another swarm ({', '.join(known)}). Leave that first: docker swarm leave")
    keys = setup.authorize(key) if key else None
    if is_new:
        with announced(listen, "swarm", f"joining the swarm of {manager}"):
            _addressed(lambda: swarm.join(engine, manager, token, address))
    warnings = (
        ()
        if not keys or _has_ssh()
        else (
            "No ssh server answers here, by which the manager reaches this server's engine: apt-get install openssh-server",
        )
    )
    return Joined(setup.address_of(engine), keys, warnings, is_new)


def leaving(engine: Engine) -> str:
    """What `leave` would do, as a verb and its object. Raises EngineError if the engine is in no swarm, UsageError as `leave` does."""
    setup.address_of(engine)
    if not swarm.is_manager(engine):
        _refuse_with_environments(engine)
        return "have this server leave its swarm"
    there = swarm.services(engine)
    count = sum(words.SUPERVISED in each["Spec"]["Labels"] for each in there)
    return f"end the swarm: push and remove {many(count, 'environment')}, end {many(len(there), 'service')}, leave the swarm"


def leave(engine: Engine, listen: Listener) -> None:
    """Leave the swarm; a manager ends labenv's services first, each environment after its last push.

    Raises UsageError for another node that still has environments, EngineError.
    """
    if not swarm.is_manager(engine):
        _refuse_with_environments(engine)
    else:
        there = swarm.services(engine)
        supervised = {each["Spec"]["Labels"].get(words.SUPERVISED, ""): each["ID"] for each in there}
        supervised.pop("", None)
        with announced(listen, "swarm", f"pushing and removing {many(len(supervised), 'environment')}"):
            for service in supervised.values():
                swarm.remove(engine, service)
            await_ended(list(supervised))
        for each in there:
            swarm.remove(engine, each["ID"])
    swarm.leave(engine)
    setup.forget()


def _refuse_with_environments(engine: Engine) -> None:
    """Raise UsageError on a node that has environments: Docker kills their supervisors when it leaves, and nothing is pushed."""
    if count := swarm.running(engine, "supervisor"):
        raise UsageError(
            f"This node has {many(count, 'environment')}, which would lose what was not pushed. First, on the manager: labenv swarm drain "
            f"{engine.info['Name']}. If the manager is gone for good: docker swarm leave"
        )


def await_ended(students: list[str]) -> None:
    """Wait until no node has the environments of these students. Raises EngineError for those that do not end."""
    deadline = time.monotonic() + _PATIENCE
    while rest := [who for who in students if (lease := leases.read(who)) and lease.node]:
        if time.monotonic() > deadline:
            raise EngineError(
                f"{', '.join(rest)}: the environments were not ended. Their nodes do not answer: labenv swarm nodes"
            )
        time.sleep(_POLL)


def _settled(engine: Engine) -> str:
    """The engine's state in its swarm (Engine API, LocalNodeState), once it is not about to change. Raises EngineError."""
    deadline = time.monotonic() + _SETTLING
    while True:
        told = str(swarm.state(engine).get("LocalNodeState") or "inactive")
        if told != "pending" or time.monotonic() > deadline:
            return told
        time.sleep(_POLL)


def _refuse_foreign(engine: Engine) -> None:
    if engine.facts.podman:
        raise UsageError("Podman has no swarm mode. A class on several servers needs Docker.")
    if engine.facts.rootless:
        raise UsageError("Docker without root has no swarm mode that reaches other servers. Use Docker as root.")
    if engine.is_distant:
        raise UsageError(
            "A swarm is made on its servers themselves: unset DOCKER_HOST, or the docker context, and type this there."
        )


def _addressed(work: Callable[[], None]) -> None:
    try:
        work()
    except EngineError as error:
        said = str(error)
        if "advertise" in said or "IP address" in said:
            raise UsageError(
                "This server has several addresses. Say by which one the other servers reach it: --address ADDRESS"
            ) from error
        if "token" in said:
            raise UsageError(
                f"That is no token of this swarm: `labenv swarm init` on the manager prints it. ({said})"
            ) from error
        if "nftables" in said:
            way_out = 'remove "firewall-backend" from /etc/docker/daemon.json'
            raise UsageError(f"Docker has no swarm mode while it uses nftables itself: {way_out}.") from error
        raise


def _has_ssh() -> bool:
    try:
        socket.create_connection(("127.0.0.1", _SSH), 1).close()
    except OSError:
        return False
    return True
