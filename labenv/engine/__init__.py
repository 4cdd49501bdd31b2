"""The door to the container engine: the only package that speaks to Docker (docker SDK).

It finds environments by their labels (`labels`, `listing`), makes and removes their networks and machines (`create`), and reports in
words what the engine refused (`errors`). It knows nothing about stages, templates or checks.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import docker
import docker.errors
from docker.types import Ulimit

from labenv.engine import cgroups, limits, pause, recipe
from labenv.engine.channel import Channel
from labenv.engine.dial import Switchboard
from labenv.engine.endpoint import Endpoint
from labenv.engine.errors import NetworkTaken, refusals
from labenv.engine.find import Connection
from labenv.engine.labels import BRIDGED, LABEL, MACHINE, RECORD, SWARM
from labenv.engine.listing import environment_of
from labenv.engine.no_road import NoRoadError
from labenv.engine.patience import Patience
from labenv.engine.stream import TOOLS, Stream
from labenv.environment import Environment, Machine, network_name
from labenv.errors import EngineError
from labenv.lab.topology import Network, Node
from labenv.parallel import Together
from labenv.student import Student
from labenv.text import decoded

T = TypeVar("T")

# Runs a command until it ends, or the connection does: that is the end of the input.
_LINES = '( /bin/sh -c "$0"; kill -s HUP $$ ) & read -r _; kill -s KILL -- -$$'
_LONGEST_LINE = 1 << 20


class Engine:
    """One container engine, and the environments on it."""

    def __init__(self, connection: Connection) -> None:
        self.client = connection.client
        self.api: Any = connection.client.api  # its type stubs cover only half of these calls
        self._connection = connection
        self.is_local = connection.is_local
        self.is_distant = connection.endpoint.socket is None
        self._facts: recipe.Facts | None = None
        self._patience = Patience()
        self._asking = threading.Lock()  # an engine starts programs to answer, so threads ask it once

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers, so that another process can open it, too."""
        return self._connection.endpoint

    def holding(self, student_id: str) -> "Engine":
        """The engine that has a student's environment: this one, unless it stands for several (labenv.swarm.where). Raises EngineError."""
        return self

    def away(self, student_id: str, *, is_there: bool | None = True) -> EngineError | None:
        """Why nobody can work in a student's environment now, if it is on its way from one of several engines to another.

        `is_there` is whether the engine that should have it lists it, None if that does not answer. Raises EngineError.
        """
        return None

    def gathered(self, question: "Callable[[Engine], Mapping[str, T]]") -> dict[str, T]:
        """What the engines that it stands for tell of students: of two that tell of one, the one that has the environment. Raises EngineError."""
        return dict(question(self))

    def each(self) -> list["Engine"]:
        """The engines that it stands for: itself alone, or those of a swarm's nodes that answer. Raises EngineError."""
        return [self]

    def here(self, port: int) -> int:
        """The port of this computer's 127.0.0.1 that leads to one of the engine's: the same one, unless ssh takes it there. Raises EngineError."""
        if not (road := self.endpoint.road):
            return port
        try:
            return road.led(port)
        except NoRoadError as error:
            raise EngineError(f"No port of 127.0.0.1 leads to the engine's computer: it {error}") from error

    def apart(self) -> "Engine":
        """The same engine for a piece of work beside others: it waits for its machines with a patience of its own."""
        other = copy(self)
        other._patience = Patience()
        return other

    @cached_property
    def is_in_swarm(self) -> bool:
        """Whether it is a node of a swarm of labenv's, so that others change what is on it, too. Raises EngineError."""
        with refusals("asking who else uses the engine"):
            return bool(self.api.containers(all=True, limit=1, filters={"label": SWARM}))

    @cached_property
    def group(self) -> int | None:
        """The group whose members may use this engine's socket; None if it has none, or only its owner may."""
        socket = self._connection.endpoint.socket
        if socket is None:
            return None
        status = socket.stat()
        return status.st_gid if status.st_gid and status.st_mode & 0o020 else None

    @property
    def facts(self) -> recipe.Facts:
        """What the engine says about itself. Raises EngineError if it stopped answering."""
        with self._asking, refusals("asking the engine about itself"):
            if not self._facts:
                self._facts = recipe.facts(
                    self._connection.version,
                    self.api.info(),
                    hybrid=recipe.local_hybrid(),
                    delegates=not self.is_local or recipe.local_delegates(),
                )
            return self._facts

    @property
    def info(self) -> dict[str, Any]:
        """The engine's answer to /info (Engine API). Raises EngineError if it stopped answering."""
        with refusals("asking the engine about itself"):
            answer: dict[str, Any] = self.api.info()
            return answer

    def shell(
        self,
        machine: Machine | str,
        *,
        reads: bool = False,
        patience: Patience | None = None,
        over: Switchboard | None = None,
    ) -> Channel:
        """A shell in a machine, or in the container of that name; it opens with its first command.

        `reads` and `over` as Channel has them; `patience` is another than the one for all that this command asks.
        """
        patience = patience or self._patience
        if isinstance(machine, str):
            return Channel(self.api, machine, patience)
        return Channel(self.api, machine.container, patience, has_tools=machine.has_tools, reads=reads, over=over)

    def lines(self, machine: Machine, command: str) -> Iterator[str]:
        """The lines that a shell command prints, as they come; it ends with whoever reads them. Raises EngineError."""
        shell = f"{TOOLS}/bin/sh" if machine.has_tools else "/bin/sh"
        with closing(Stream(self.api, machine.container, [shell, "-c", _LINES, command])) as talk:
            rest = b""
            while (frame := talk.next_frame()) is not None:
                *whole, rest = (rest + frame[1]).split(b"\n")
                yield from map(decoded, whole)
                if len(rest) > _LONGEST_LINE:
                    yield decoded(rest)
                    rest = b""
            if rest:
                yield decoded(rest)

    def switchboard(self, machine: Machine) -> Switchboard:
        """Connections that start in a machine; nothing is opened before the first."""
        return Switchboard(self.api, machine.container, has_tools=machine.has_tools)

    def networks(self) -> list[dict[str, Any]]:
        """All networks of the engine as it lists them (Engine API, NetworkList). Raises EngineError."""
        with refusals("listing the networks"):
            there: list[dict[str, Any]] = self.api.networks()
            return there

    @property
    def architecture(self) -> str:
        """The engine's architecture as image manifests name it: "amd64", "arm64"."""
        return str(self._connection.version["Arch"])

    def environments(self, student_id: str | None = None) -> list[Environment]:
        """The environments on the engine (of one student, if given), sorted by student. Raises EngineError."""
        wanted = {"label": LABEL if student_id is None else f"{LABEL}={student_id}"}
        with refusals("listing the environments"):
            containers = self.api.containers(all=True, filters={"label": [wanted["label"], "labenv.machine"]})
            networks = self.api.networks(filters=wanted)
        found: dict[str, list[dict[str, Any]]] = {}
        labels: dict[str, dict[str, str]] = {}
        alive = {network["Id"] for network in networks}
        for network in networks:
            labels[network["Labels"][LABEL]] = network["Labels"]
        for container in (c for c in containers if MACHINE in c["Labels"]):
            owner = container["Labels"][LABEL]
            labels.setdefault(owner, container["Labels"])
            found.setdefault(owner, []).append(container)
        elsewhere = self.endpoint.is_elsewhere
        there = (environment_of(labels[owner], found.get(owner, []), alive) for owner in sorted(labels))
        return [replace(environment, elsewhere=elsewhere) for environment in there]

    def looked_at(self, environment: Environment) -> Environment:
        """The environment with each machine's state as it is: where the disk was full, an engine lists dead ones as running. Raises EngineError."""

        def seen(machine: Machine) -> Machine:
            try:
                return replace(machine, state=self.api.inspect_container(machine.container)["State"]["Status"])
            except docker.errors.NotFound:
                return replace(machine, state="missing")

        with refusals(f"looking at {environment.student.id}'s machines"):
            return replace(environment, machines=tuple(map(seen, environment.machines)))

    def bridges(self, student_id: str | None = None) -> dict[str, str]:
        """The networks of all environments (or of a student's) by name on the engine, each with its bridge. Raises EngineError.

        The bridge of a network that an earlier version of labenv made has no name here.
        """
        wanted = LABEL if student_id is None else f"{LABEL}={student_id}"
        with refusals("listing the networks"):
            there = self.api.networks(filters={"label": wanted})
        return {network["Name"]: network["Labels"].get(BRIDGED, "") for network in there}

    def create_network(
        self, student: Student, network: Network, labels: dict[str, str], options: dict[str, str]
    ) -> None:
        """Create a network. Raises EngineError; `NetworkTaken` if its addresses are taken."""
        subnet, gateway = network.on_engine
        pool = {"Subnet": subnet, "Gateway": gateway}
        try:
            with refusals(f"making the network {subnet}"):
                self.api.create_network(
                    network_name(student.id, network.name),
                    driver="bridge",
                    options=options | recipe.network_options(self.facts),
                    ipam={"Driver": "default", "Config": [pool]},
                    labels=labels,
                    check_duplicate=True,
                )
        except EngineError as error:
            if re.search(r"overlap|already used|conflicts with", str(error)):
                raise NetworkTaken(str(error)) from error
            raise

    def join(self, container: str, student: Student, network: str, address: str) -> None:
        """Attach a machine to one more of the student's networks, with that address there. Raises EngineError."""
        with refusals(f"attaching {container} to the network {network_name(student.id, network)}"):
            self.api.connect_container_to_network(container, network_name(student.id, network), ipv4_address=address)

    def lend(self, container: str, student: Student, network: str, address: str) -> bool:
        """Attach a machine that is not the student's to one of their networks, as `join` does; False if it does not exist.

        It is no error if another command was faster.
        """
        try:
            self.join(container, student, network, address)
        except EngineError as error:
            if isinstance(error.__cause__, docker.errors.NotFound):
                return False
            with refusals(f"looking at the networks of {container}"):
                there = self.api.inspect_container(container)["NetworkSettings"]["Networks"]
            if network_name(student.id, network) not in there:
                raise
        return True

    @contextmanager
    def helper(self, image: str, **options: Any) -> Iterator[str]:
        """A container of labenv's own, made with the SDK's `options` and not started; the end of the block removes it.

        Raises what the SDK raises.
        """
        made = str(self.api.create_container(image, use_config_proxy=False, **options)["Id"])
        try:
            yield made
        finally:
            with suppress(docker.errors.NotFound):
                self.api.remove_container(made, force=True, v=True)

    def settings(self, **given: Any) -> dict[str, Any]:
        """A container's HostConfig (Engine API) from the SDK's arguments, with a limit of open files of labenv's own.

        With an engine's own default some kernels start no container at all. Raises EngineError.
        """
        files = Ulimit(name="nofile", soft=recipe.NOFILE["soft"], hard=recipe.NOFILE["hard"])
        ulimits = [] if recipe.choose(self.facts).userns else [files]
        made: dict[str, Any] = self.api.create_host_config(ulimits=ulimits, **given)
        return made

    def lay(self, container: str, files: bytes) -> None:
        """Lay a tar archive rooted at / over a machine that was made and not started. Raises EngineError."""
        with refusals(f"laying files over {container}"):
            self.api.put_archive(container, "/", files)

    def limit(self, container: str, node: Node) -> bool:
        """Give an existing machine the limits of its node, running or not; returns whether it had others. Raises EngineError."""
        with refusals(f"limiting {container}"):
            has = self.api.inspect_container(container)["HostConfig"]
            if update := limits.changed(limits.keys(node.limits, self.facts.limits), has):
                url = f"{self.api.base_url}/v{self.api.api_version}/containers/{container}/update"
                answer = self.api.post(url, json=update)  # the SDK's own call does not know the number of processes
                if not answer.ok:
                    raise EngineError(f"{container} cannot be limited: {answer.text.strip()}")
        return bool(update)

    def cap(self, student_id: str, nodes: Collection[Node]) -> bool:
        """Put the limits of running machines where their root cannot raise them; returns whether they are there now."""
        if self.facts.cgroup != "2" or not self.facts.limits or not recipe.choose(self.facts).own_slice:
            return True  # there is nothing to do
        caps = {recipe.ident(student_id, node.name): node.limits for node in nodes if node.systemd}
        return cgroups.cap(self, caps)

    def start(self, container: str) -> None:
        """Start a machine; does nothing if it runs. Raises EngineError, which says so if a port is taken."""
        with refusals(f"starting {container}"):
            try:
                self.api.start(container)
            except docker.errors.APIError as error:
                if "already exists in network" not in str(error):
                    raise
                self._clear(container)
                self.api.start(container)

    def _clear(self, container: str) -> None:
        """Remove from a machine's networks what a start that failed, as on a full disk, has left there in the machine's name.

        The engine removes that only while no container has the name.
        """
        networks = self.api.inspect_container(container)["NetworkSettings"]["Networks"]
        aside = f"{container}.aside"
        self.api.rename(container, aside)
        try:
            for network in networks:
                with suppress(docker.errors.APIError):  # there is nothing in this one
                    self.api.disconnect_container_from_network(container, network, force=True)
        finally:
            self.api.rename(aside, container)

    def restart(self, container: str) -> None:
        """Shut a machine down in order and boot it again. Raises EngineError."""
        with refusals(f"restarting {container}"):
            self.api.restart(container, timeout=30)

    def stop(self, container: str, *, hard: bool = False) -> None:
        """Shut a machine down in order, or with `hard` at once, as when its power fails; it stays off. Raises EngineError."""
        with refusals(f"stopping {container}"):
            if hard:
                self.api.kill(container)
            else:
                self.api.stop(container, timeout=30)

    def cut_power(self, container: str) -> None:
        """Stop a machine at once, as when its power fails, and boot it again. Raises EngineError."""
        with refusals(f"restarting {container}"):
            self.api.kill(container)
            self.start(container)

    def switch_off(self, environment: Environment) -> None:
        """Cut the power of all machines of an environment; they stay, with their content. Raises EngineError."""

        def kill(machine: Machine) -> None:
            try:
                self.api.kill(machine.container)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):  # it is gone, or does not run
                    raise

        running = [machine for machine in environment.machines if machine.state in ("running", "paused", "restarting")]
        with refusals(f"switching {environment.student.id}'s machines off"), Together() as pool:
            list(pool.map(kill, running))

    def unpause(self, container: str) -> None:
        """Resume a paused machine. Raises EngineError."""
        with refusals(f"unpausing {container}"):
            pause.go_on(self, container)

    def reattach(self, machine: Machine, student: Student, address: str) -> None:
        """Attach a stopped machine whose network was removed to the student's current network, with that address. Raises EngineError."""
        name = network_name(student.id, machine.network)
        with refusals(f"attaching {machine.name} to its network"):
            with suppress(docker.errors.APIError):  # it may not be attached to anything
                self.api.disconnect_container_from_network(machine.container, name, force=True)
            self.api.connect_container_to_network(machine.container, name, ipv4_address=address)

    def remove(self, environment: Environment) -> None:
        """Remove machines, networks and cgroups of an environment, but not its records. It is no error if some are gone already."""
        with refusals(f"removing {environment.student.id}'s environment"):
            mine = {"label": f"{LABEL}={environment.student.id}"}
            present = [container["Id"] for container in self.api.containers(all=True, filters=mine)]
            if present:
                with Together(len(present)) as pool:
                    list(pool.map(self._remove_container, present))
            for volume in self.api.volumes(filters=mine)["Volumes"] or []:
                if RECORD not in volume["Labels"]:
                    self.api.remove_volume(volume["Name"], force=True)
            for network in self.api.networks(filters=mine):
                self.remove_network(network["Id"])
        if recipe.choose(self.facts).own_slice:
            idents = [recipe.ident(environment.student.id, machine.name) for machine in environment.regular]
            cgroups.remove(idents, self)

    def remove_network(self, network: str) -> None:
        """Remove a network. Who else is on it stays, without it: what a person attached, and machines of a class. Raises EngineError.

        A start that failed may have left something there that is no container any more; it has a name, too.
        """
        with suppress(docker.errors.NotFound):
            try:
                self.api.remove_network(network)
            except docker.errors.APIError as error:
                guests = {} if error.status_code == 404 else self.api.inspect_network(network)["Containers"] or {}
                if not guests:
                    raise
                for guest in guests.values():
                    with suppress(docker.errors.APIError):  # it has left
                        self.api.disconnect_container_from_network(guest["Name"], network, force=True)
                self.api.remove_network(network)

    def remove_machine(self, container: str) -> None:
        """Remove one container, running or not. Raises EngineError."""
        with refusals(f"removing {container}"):
            self._remove_container(container)

    def _remove_container(self, container: str) -> None:
        try:
            self.api.remove_container(container, v=True, force=True)
        except docker.errors.NotFound:
            pass
        except docker.errors.APIError as error:
            if error.status_code != 409:  # 409: another command is already removing it
                raise

    def save(self, tags: list[str], block: int) -> Iterator[bytes]:
        """The images in the format of `docker save`, in blocks; shared layers appear once. Raises EngineError.

        The SDK can ask for one image only, so its session is used for what the API calls ImageGetAll.
        """
        url = f"{self.api.base_url}/v{self.api.api_version}/images/get"
        with (
            refusals("saving the images"),
            self.api.get(url, params={"names": tags}, stream=True, timeout=600) as answer,
        ):
            answer.raise_for_status()
            yield from answer.iter_content(block)

    def processes(self, container: str) -> list[int]:
        """The processes of a machine, by their process ids on the engine's computer. Raises EngineError."""
        with refusals(f"listing the processes of {container}"):
            return [int(row[0]) for row in self.api.top(container, ps_args="-eo pid")["Processes"]]

    def last_words(self, container: str) -> tuple[str, int, str]:
        """State, exit code and last lines of output of a container, for an error message. Raises EngineError."""
        with refusals(f"looking at {container}"):
            state = self.api.inspect_container(container)["State"]
            output = decoded(self.api.logs(container, tail=10)).strip()
        return state["Status"], state["ExitCode"], output or state.get("Error", "")
