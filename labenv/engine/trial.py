"""A machine's firewall on trial: saved rules are loaded into a kernel, and packets are tried on them.

No machine may be disturbed for that, so it is done in a container beside an environment's machines, made from labenv's own image
when it is first needed. It has no network and no right but those over its own (NET_ADMIN, NET_RAW). It ends by itself when
nothing has been tried for a while, and then uses no memory; `labenv down` removes it. trial.pl has the trial.
"""

import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import docker.errors

from labenv.engine import Engine, limits, origin
from labenv.engine.errors import refusals
from labenv.engine.labels import LABEL
from labenv.engine.stream import STDOUT, Stream
from labenv.environment import Machine, container_name
from labenv.errors import EngineError
from labenv.lab.topology import Limits
from labenv.text import decoded

LOADED, FAILED = "loaded", "failed"
_FATES = ("in", "rejected", "dropped")
_END = "end"
_PROGRAM = Path(__file__).with_suffix(".pl").read_text(encoding="utf-8")
_MOST = Limits(memory=64 << 20, pids=64)
# It ends after a while, but not while something is on trial (trial.pl has the same lock).
_IDLES = "sleep 30; exec flock /run/labenv-trial true"
_SECONDS = 8.0  # for a trial, which takes a tenth of one
_LONGEST = 4_000_000  # bytes of an answer
_ATTEMPTS = 3
_PAUSE = 0.02  # seconds until a container is looked for again that is being made


@dataclass(frozen=True)
class Packet:
    """The first packet of a TCP connection to a machine, or a UDP one: from which address, to which port, and the sender's hardware address."""

    source: str
    port: int
    hardware: str = ""
    protocol: str = "tcp"


@dataclass(frozen=True)
class Fate:
    """What became of a packet, "in", "rejected" or "dropped", and the rules with their counters before and after it."""

    word: str
    before: str
    after: str


@dataclass(frozen=True)
class Verdict:
    """What the rules' loader complained about, or else the fate of each packet, in the order in which they were tried."""

    complaint: str = ""
    fates: tuple[Fate, ...] = ()


class _Ended(EngineError):
    """The container ended, because nothing had been tried for a while."""


def tried(engine: Engine, student_id: str, machine: Machine, rules: bytes, packets: Sequence[Packet]) -> Verdict:
    """Load rules as a machine does at boot, and try packets on them.

    `rules` is the content of the file with its saved rules. All trials of an environment take turns. Raises EngineError if the engine
    does not let labenv do that.
    """
    order = f"{machine.address}/24 {_SECONDS:g}\n"
    order += "".join(
        f"try {packet.source} {packet.port} {packet.hardware or '-'} {packet.protocol}\n" for packet in packets
    )
    name = container_name(student_id, "firewall-trial")
    for _ in range(_ATTEMPTS):
        _ready(engine, student_id, name, machine)
        with suppress(_Ended):
            return _said(engine, name, f"{order}rules\n".encode() + rules)
    raise EngineError(f"The container {name} ends before the rules have been tried.")


def _ready(engine: Engine, student_id: str, name: str, machine: Machine) -> None:
    """Have the container there and running."""
    deadline = time.monotonic() + _SECONDS
    with refusals("making a place to try a firewall"):
        while True:
            try:
                engine.api.start(name)  # does nothing if it runs
                return
            except docker.errors.NotFound:  # or another check has begun to make it, and it is not there yet
                if time.monotonic() > deadline:
                    raise
            image, _ = origin.image_of(engine, machine)
            if not image:
                raise EngineError(f"The image that {machine.name} was made from is not on this engine.")
            _make(engine, student_id, name, image)
            time.sleep(_PAUSE)


def _make(engine: Engine, student_id: str, name: str, image: str) -> None:
    settings = engine.settings(
        network_mode="none",
        cap_drop=["ALL"],
        cap_add=["NET_ADMIN", "NET_RAW"],
        security_opt=["no-new-privileges"],
        **limits.settings(limits.keys(_MOST, engine.facts.limits - {limits.DISK})),
    )
    try:
        engine.api.create_container(
            image,
            name=name,
            entrypoint=["sh", "-c", _IDLES],
            command=[],
            labels={LABEL: student_id},
            host_config=settings,
            use_config_proxy=False,
        )
    except docker.errors.APIError as error:
        if error.status_code != 409:  # 409: another check was faster
            raise


def _said(engine: Engine, name: str, order: bytes) -> Verdict:
    """The verdict. Raises EngineError; `_Ended` if the container did meanwhile."""
    deadline = time.monotonic() + 2 * _SECONDS  # it may have to wait for another
    answer, complaint = bytearray(), bytearray()
    try:
        stream = Stream(engine.api, name, ["perl", "-e", _PROGRAM])
    except EngineError as error:
        raise _Ended(str(error)) from error
    with closing(stream) as talk:
        talk.send(order)
        talk.end_of_input()
        try:
            while (frame := talk.frame(deadline)) is not None and len(answer) + len(complaint) < _LONGEST:
                (answer if frame[0] == STDOUT else complaint).extend(frame[1])
        except TimeoutError:
            raise EngineError(
                f"The container {name} did not say within {2 * _SECONDS:g} s what the rules do."
            ) from None
    records = _records(bytes(answer))
    if records[-1:] == [(_END, "")]:
        return _verdict(records)
    if complaint:
        raise EngineError(f"The rules could not be tried: {decoded(bytes(complaint)).strip()}")
    raise _Ended


def _records(answer: bytes) -> list[tuple[str, str]]:
    """The records that are whole (trial.pl)."""
    found = []
    place = 0
    while (line := answer.find(b"\n", place)) >= 0:
        name, _, length = decoded(answer[place:line]).partition(" ")
        place = line + 1 + int(length)
        if place > len(answer):
            break
        found.append((name, decoded(answer[line + 1 : place])))
    return found


def _verdict(records: list[tuple[str, str]]) -> Verdict:
    fates = []
    before = ""
    for name, text in records:
        if name == FAILED:
            return Verdict(complaint=text.strip() or "no reason given")
        if name in _FATES:
            fates.append(Fate(name, before, text))
        before = text
    return Verdict(fates=tuple(fates))
