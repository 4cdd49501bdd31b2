"""Capturing what passes a machine: which packets, for how long, and why it ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from labenv.engine import Engine
from labenv.engine.pcap import Record
from labenv.engine.session import life
from labenv.engine.tap import Tap, tapped
from labenv.environment import Environment, Machine
from labenv.environments.gone import error_if_gone
from labenv.environments.plan import topology_of
from labenv.errors import EngineError, UsageError
from labenv.events import Listener
from labenv.lab import labs
from labenv.text import many

MOST = 50_000_000  # bytes of packets
LONGEST = 12 * 3600.0  # seconds
_END = 5.0  # seconds for what has passed when the time is over
_LOOK = 2.0  # seconds after which the machine is looked for again: a namespace outlives its machine as long as it is captured in
# What labenv's own checks say begins at these ports (images/tools/source/connect.c).
_OWN = "tcp portrange 61000-65535"
# A firewall that rejects, and a port that nobody listens on, answer with this, whatever the port.
_REFUSALS = "icmp[icmptype] == icmp-unreach"


@dataclass(frozen=True)
class Choice:
    """Which packets: those of `ports`, or with none of them all; labenv's own only with `own`."""

    ports: tuple[int, ...] = ()
    own: bool = False

    @property
    def filter(self) -> str:
        """As tcpdump takes it (pcap-filter(7))."""
        ports = " or ".join([*(f"port {port}" for port in self.ports), *([_REFUSALS] if self.ports else [])])
        return " and ".join([*([f"({ports})"] if ports else []), *([] if self.own else [f"not {_OWN}"])]) or "ip or ip6"


def ports_of(environment: Environment) -> tuple[int, ...]:
    """The ports of the lab's protocols: those that its machines answer on and publish, and those of its account. Raises UsageError."""
    lab = labs.of(environment)
    found = {answer.port for answer in lab.answers if answer.port}
    found |= {port.number for node in topology_of(environment).nodes for port in node.ports}
    found |= {lab.account.imap.port, lab.account.smtp.port} if lab.account else set()
    return tuple(sorted(found))


def machine_of(environment: Environment, name: str | None) -> Machine:
    """The machine of that name; without one, the one where the lab's account reads its mail. Raises UsageError, EngineError if it does not run."""
    account = None if name else labs.of(environment).account
    if not name and not account:
        known = ", ".join(machine.name for machine in environment.machines)
        raise UsageError(f"Say whose packets: labenv capture MACHINE. The machines are: {known}.")
    machine = environment.machine(name or (account.imap.machine if account else ""))
    if machine.state != "running":
        raise EngineError(f"{machine.name} is {machine.state}. Start it: labenv up {environment.student.id}")
    return machine


class Capture:
    """A capture that goes on: what a file of its packets begins with, how many they are, their bytes.

    At its end, `cut` says why they are not all; it is empty if they are.
    """

    def __init__(self, engine: Engine, environment: Environment, machine: Machine, tap: Tap, before: str) -> None:
        self.header = tap.header
        self.count = 0
        self.size = len(tap.header)
        self.cut = ""
        self._engine = engine
        self._environment = environment
        self._machine = machine
        self._tap = tap
        self._before = before
        self._is_ending = False

    def end(self) -> None:
        """Let it end: the packets that have passed by now still come."""
        self._is_ending = True
        self._tap.end()

    def packets(self, seconds: float | None = None) -> Iterator[Record]:
        """The packets as they come, for so many seconds, or until `end` is called, or until they fill `MOST` bytes.

        Raises EngineError if the machine stops meanwhile.
        """
        over = time.monotonic() + min(seconds or LONGEST, LONGEST)
        look = time.monotonic() + _LOOK
        while True:
            try:
                record = self._tap.next(min(over, look))
            except TimeoutError:
                now = time.monotonic()
                if now >= over:
                    if self._is_ending:
                        self.cut = f"The last packets did not come within {_END:g} s."
                        return
                    self.end()
                    over = now + _END
                if now >= look:
                    self._check_alive(wait=False)
                    look = now + _LOOK
                continue
            if record is None:
                if not self._is_ending:
                    self._check_alive(wait=True)
                    raise EngineError(
                        f"The capture on {self._machine.name} ended, because its container is gone. Begin again."
                    )
                if lost := self._tap.lost:
                    self.cut = f"The computer was too busy to read {many(lost, 'packet')} more."
                return
            if self.size + len(record.raw) > MOST:
                self.cut = (
                    f"That is {MOST // 1_000_000} MB, the most of one capture. Choose fewer packets, with --port."
                )
                return
            self.count += 1
            self.size += len(record.raw)
            yield record

    def _check_alive(self, *, wait: bool) -> None:
        again = f"labenv capture {self._machine.name} -s {self._environment.student.id}"
        gone = error_if_gone(
            self._engine,
            self._environment,
            self._machine,
            self._before,
            ended="the capture ended",
            again=again,
            wait=wait,
        )
        if gone:
            raise gone


@contextmanager
def capturing(
    engine: Engine, environment: Environment, machine: Machine, choice: Choice, listen: Listener, *, whole: bool = False
) -> Iterator[Capture]:
    """A capture on a running machine, which has begun, for the block: of `whole` packets, or at once. Raises EngineError."""
    before = life(engine, machine.container)
    with tapped(engine, environment.student.id, machine, choice.filter, listen, whole=whole) as tap:
        yield Capture(engine, environment, machine, tap, before)
