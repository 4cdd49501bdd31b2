"""Problems of this computer and its engine that would stop a lab, in plain sentences, each with its fix.

Every exam is one function that looks at one thing. What cannot be found out (another system, an engine elsewhere, a file
that this user may not read) is left out rather than guessed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from labenv.computer import Computer
from labenv.doctor import findings
from labenv.doctor.findings import Finding
from labenv.engine import Engine, disk, wall
from labenv.engine.advice import NoEngineError
from labenv.engine.find import Connection, connect
from labenv.engine.image_sources import usual
from labenv.engine.images import Images
from labenv.environment import Environment
from labenv.environments import networks, room
from labenv.errors import EngineError
from labenv.events import Listener
from labenv.lab import labs, topology
from labenv.student import Student

__all__ = ["Finding", "examine"]


@dataclass(frozen=True)
class Patient:
    """What is examined: this computer, and an engine with its answers."""

    computer: Computer
    connection: Connection
    engine: Engine
    info: Mapping[str, Any]
    environments: tuple[Environment, ...]

    @property
    def here(self) -> bool:
        """Whether the engine shares this computer's kernel, so that this computer's numbers are the engine's."""
        return self.connection.is_local


def examine(listen: Listener, computer: Computer | None = None) -> list[Finding]:
    """Examine this computer and the engine that labenv would use. Starts, changes and raises nothing."""
    computer = computer or Computer()
    try:
        connection = connect(listen, start=False, computer=computer)
        engine = Engine(connection)
        patient = Patient(computer, connection, engine, engine.info, tuple(engine.environments()))
    except EngineError as error:
        inotify = room.inotify(computer, None)
        return [
            _no_engine(error),
            *_present([findings.memory(computer), findings.enough(inotify, computer) if inotify else None]),
        ]
    exams: list[Callable[[Patient], Finding | None]] = [
        _engine, _systemd, _limits, _images, _disk, _memory, _inotify, _kernel, _networks, _wall, _bridges, _ports, _firewall, _uplink,
    ]  # fmt: skip
    found = []
    for exam in exams:
        try:
            found.append(exam(patient))
        except EngineError as error:
            found.append(_no_engine(error))
            break
    return _present(found)


def _present(found: Iterable[Finding | None]) -> list[Finding]:
    return [finding for finding in found if finding]


def _no_engine(error: EngineError) -> Finding:
    if isinstance(error, NoEngineError):
        return Finding("engine", "fail", error.what, error.mend)
    return Finding("engine", "fail", str(error))


def _engine(patient: Patient) -> Finding:
    facts = patient.engine.facts
    kind = "Podman" if facts.podman else "Docker"
    rootless = ", without root" if facts.rootless else ""
    place = "on this computer" if patient.here else "in a virtual machine or on another computer"
    version = patient.connection.version.get("Version")
    return Finding(
        "engine", "ok", f"{kind} {version} answers at {patient.connection.source}; it runs {place}{rootless}."
    )


def _systemd(patient: Patient) -> Finding:
    return findings.systemd(patient.engine.facts)


def _limits(patient: Patient) -> Finding:
    return findings.limited(patient.engine.facts)


def _images(patient: Patient) -> Finding:
    images = Images(patient.engine)
    missing, present = images.missing(usual()), images.present()
    if missing:
        names = ", ".join(image.name for image in missing)
        sentence = (
            f"Not built yet: {names}. The first `labenv up` builds them, which takes about a minute and a network."
        )
        return Finding(
            "images", "warn", sentence, "labenv images build (or, without a network: labenv images import FILE)"
        )
    old = [image for image in present if image.old]
    sentence = f"All {len(usual())} images are built."
    if old:
        return Finding(
            "images", "ok", f"{sentence} {len(old)} more are of earlier versions.", "labenv images remove --old"
        )
    return Finding("images", "ok", sentence)


def _disk(patient: Patient) -> Finding | None:
    there = disk.of(patient.engine)
    if there is None:
        return None
    found = findings.disk(there.path, there.free)
    if not there.is_low:
        return found
    return replace(found, status="fail" if there.is_full else found.status, mend=disk.said(there, patient.engine))


def _memory(patient: Patient) -> Finding | None:
    if patient.here:
        return findings.memory(patient.computer)
    total = int(patient.info.get("MemTotal") or 0)
    return findings.memory_of(total, "are all that the engine's computer has") if total else None


def _inotify(patient: Patient) -> Finding | None:
    running = sum(machine.state == "running" for there in patient.environments for machine in there.machines)
    supply = room.inotify(patient.computer, running) if patient.here else None
    return findings.enough(supply, patient.computer) if supply else None


def _kernel(patient: Patient) -> Finding | None:
    if not patient.here:
        return None
    supplies = room.others(patient.computer, patient.computer.uid if patient.engine.facts.rootless else 0)
    scarcest = min(supplies, key=lambda supply: supply.room, default=None)
    return findings.enough(scarcest, patient.computer) if scarcest else None


def _networks(patient: Patient) -> Finding:
    taken = networks.takings(patient.engine).by_x
    wide = networks.wide_routes(patient.computer) if patient.here else []
    sentence = f"Of the 256 networks 192.168.X.0/24, {256 - len(taken)} are free."
    if taken:
        sentence += f" Taken: {_spelled(taken)}."
    if len(taken) == 256:
        return Finding("networks", "fail", sentence, "Remove an environment you do not need: labenv down -s STUDENT")
    if wide:
        ways = ", ".join(f"{route.destination} through {route.device}" for route in wide)
        sentence += f" This computer's route to {ways} covers them all: a running lab hides its part of that network."
        return Finding(
            "networks", "warn", sentence, "If you need a hidden host, choose another X: labenv up STUDENT --net X"
        )
    return Finding("networks", "ok", sentence)


def _spelled(taken: Mapping[int, str]) -> str:
    """What uses which X, consecutive numbers together: `0-15 (the engine's network 'x'), 90 (…)`."""
    runs: list[tuple[int, int, str]] = []
    for x, who in sorted(taken.items()):
        if runs and runs[-1][1] == x - 1 and runs[-1][2] == who:
            runs[-1] = (runs[-1][0], x, who)
        else:
            runs.append((x, x, who))
    return ", ".join(f"{first if first == last else f'{first}-{last}'} ({who})" for first, last, who in runs)


def _ports(patient: Patient) -> Finding | None:
    if patient.connection.endpoint.socket is None:
        return None  # published on the loopback of another computer
    anyone = Student("anyone", 2, "any", "")
    nodes = topology.of(labs.load(labs.default()), anyone)
    ours = {port for there in patient.environments for machine in there.machines for port in machine.published.values()}
    wished = {port: x for x in range(256) for node in nodes.nodes for port in nodes.published(node, x).values()}
    return findings.ports({port: x for port, x in wished.items() if port not in ours})


def _firewall(patient: Patient) -> Finding | None:
    return findings.firewall(patient.computer, patient.info.get("KernelVersion") or "") if patient.here else None


def _bridges(patient: Patient) -> Finding | None:
    return findings.bridges(patient.computer) if patient.here and patient.engine.facts.podman else None


def _wall(patient: Patient) -> Finding:
    bridges = patient.engine.bridges()
    facts = patient.engine.facts
    open_ = sorted({there.student.id for there in patient.environments if not bridges.get(there.network_name, "-")})
    by_hand = wall.by_hand(facts, patient.computer.sudo)
    if open_:
        sentence = f"An earlier version of labenv made the networks of {', '.join(open_)}: their machines can reach this computer."
        return Finding("wall", "warn", sentence, wall.way_in(open_[0]))
    if facts.podman and facts.rootless:
        sentence = "Podman without root does not let labenv close this computer to the labs' networks."
        return Finding("wall", "warn", sentence, f"After each start of the computer, once a lab runs: {by_hand}")
    seen = wall.are_here(bridges.values()) if bridges else patient.here and not facts.rootless
    return findings.wall(wall.stands() if seen else None, len(bridges), by_hand)


def _uplink(patient: Patient) -> Finding | None:
    mtu = networks.uplink_mtu(patient.computer) if patient.here else None
    return (
        Finding("uplink", "ok", f"This computer's uplink has an MTU of {mtu} bytes; labs use the same.")
        if mtu
        else None
    )
