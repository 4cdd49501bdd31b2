"""Packets of one machine, read by tcpdump(8) in a container of labenv's own, which shares nothing with it but the network namespace.

So it works whatever a student has installed or removed, no process and no package of the machine tells of it, and the
student goes on working. A static tcpdump among labenv's tools would run in the machine, and Debian has none. The container may
read packets and nothing else. It ends with the connection that it writes to, however that ends.
"""

import re
import secrets
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import docker.errors
from docker.types import LogConfig

from labenv.engine import Engine, limits
from labenv.engine.errors import refusals
from labenv.engine.image_sources import wanted
from labenv.engine.images import Images
from labenv.engine.labels import LABEL
from labenv.engine.pcap import Reader, Record
from labenv.engine.stream import STDOUT, Frames
from labenv.environment import Machine, container_name
from labenv.errors import EngineError
from labenv.events import Listener
from labenv.lab.topology import Limits
from labenv.text import decoded

_IMAGE = "machine"
_MOST = Limits(memory=64 << 20, pids=32)
_BEGIN = 20.0  # seconds until tcpdump reads; it takes a tenth of one
_END = 5.0  # seconds until what has passed so far has been read
_LONGEST_COMPLAINT = 2000
_OWN = 0x88B5  # an EtherType for local experiments (IEEE 802): no packet of a lab has it
# When the input ends, tcpdump says how many were lost (SIGUSR1), and a packet of labenv's own follows those that have passed, on the
# loopback interface, which is the first one. It does not go through a firewall (packet(7)).
_PROGRAM = f"""\
exec 3<&0
token=$0
tcpdump "$@" </dev/null & dump=$!
{{
    timeout 13h cat <&3 >/dev/null
    kill -s USR1 $dump
    perl -e 'socket my $s, 17, 2, 0 or die $!; send $s, $ARGV[0], 0, pack "SnlSCCa8", 17, {_OWN}, 1, 0, 0, 0, "" or die $!' "$token"
    sleep {_END:g}
    kill $dump
}} &
wait $dump
"""
_OPTIONS = ["-i", "any", "-y", "LINUX_SLL2", "-p", "-n", "-U", "-B", "8192", "-Z", "root", "-w", "-"]
# Without this, packets come up to a second late. With it, each takes the room of the largest in a buffer (packet_mmap): of
# whole packets only some thirty would have room, and others be lost while tcpdump waits for a processor.
_AT_ONCE = ["--immediate-mode", "-s", "8000"]


class Tap:
    """What passes a machine from now on. `header` is what a file of its packets begins with."""

    def __init__(self, frames: Frames, machine: Machine, token: bytes) -> None:
        """Wait until packets are read. Raises EngineError, with tcpdump's own words, if none can be."""
        self._frames = frames
        self._machine = machine
        self._token = token
        self._reader = Reader()
        self._waiting: deque[Record] = deque()
        self._said = ""
        self._is_over = False
        deadline = time.monotonic() + _BEGIN
        try:
            while not self._reader.header:
                if not self._more(deadline):
                    raise EngineError(f"The packets of {machine.name} cannot be read: {self._why()}")
        except TimeoutError:
            raise EngineError(f"tcpdump did not begin to read {machine.name}'s packets in {_BEGIN:g} s.") from None

    @property
    def header(self) -> bytes:
        """The first bytes of a file of its packets (pcap-savefile(5))."""
        return self._reader.header

    @property
    def lost(self) -> int:
        """How many packets passed too fast to be read, as far as tcpdump has said so: it does at the end."""
        found = re.findall(r"(\d+) packets? dropped by kernel", self._said)
        return int(found[-1]) if found else 0

    def next(self, deadline: float | None) -> Record | None:
        """The next packet; None when there are no more. Raises TimeoutError past the deadline, EngineError for what is no packet."""
        while not self._waiting and not self._is_over:
            if not self._more(deadline):
                self._is_over = True
        return self._waiting.popleft() if self._waiting else None

    def end(self) -> None:
        """Let it end: what has passed by now still comes."""
        with suppress(OSError):  # the machine, or the engine, was faster
            self._frames.end_of_input()

    def _more(self, deadline: float | None) -> bool:
        """Read on; False at the end."""
        try:
            frame = self._frames.frame(deadline)
        except ConnectionError:
            return False
        if frame is None:
            return False
        if frame[0] != STDOUT:
            self._said = (self._said + decoded(frame[1]))[-_LONGEST_COMPLAINT:]
            return True
        try:
            for record in self._reader.read(frame[1]):
                if self._token in record.data[-len(self._token) :]:
                    return False
                self._waiting.append(record)
        except ValueError as error:
            raise EngineError(f"What came of {self._machine.name} is no packet: {error}.") from error
        return True

    def _why(self) -> str:
        lines = [line for line in self._said.splitlines() if "data link type" not in line]
        return lines[-1].removeprefix("tcpdump: ") if lines else "tcpdump ended without a word"


@contextmanager
def tapped(
    engine: Engine, student_id: str, machine: Machine, choice: str, listen: Listener, *, whole: bool
) -> Iterator[Tap]:
    """The packets of a running machine that a filter (pcap-filter(7)) lets through, from the beginning of the block to its end.

    They come `whole` and up to a second late, or else at once, and their first 8000 bytes. Raises EngineError.
    """
    Images(engine).ensure([_IMAGE], listen)
    token = secrets.token_hex(8)
    command = [token, *_OPTIONS, *([] if whole else _AT_ONCE), f"({choice}) or ether proto {_OWN}"]
    with refusals(f"reading the packets of {machine.name}"):
        settings = engine.settings(
            network_mode=f"container:{machine.container}",
            cap_drop=["ALL"],
            cap_add=["NET_RAW", "SETGID"],  # tcpdump sets its groups again even if it stays root
            read_only=True,
            auto_remove=True,
            security_opt=["no-new-privileges"],
            **_limits(engine),
        )
        made = engine.api.create_container(
            wanted()[_IMAGE].tag,
            name=container_name(student_id, f"tap-{token}"),
            entrypoint=["sh", "-c", _PROGRAM],
            command=command,
            stdin_open=True,
            labels={LABEL: student_id},  # it is removed with the environment
            host_config=settings,
            use_config_proxy=False,
        )["Id"]
    try:
        with refusals(f"reading the packets of {machine.name}"):
            attached = engine.api.attach_socket(made, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            engine.api.start(made)
        with closing(Frames(attached)) as frames:
            yield Tap(frames, machine, token.encode())
    finally:
        with suppress(docker.errors.APIError):  # the engine may be removing it already
            engine.api.remove_container(made, force=True)


def _limits(engine: Engine) -> dict[str, Any]:
    found = limits.settings(limits.keys(_MOST, engine.facts.limits - {limits.DISK}))
    return found | {"log_config": LogConfig(type="none")}  # else the engine would write all packets to its disk
