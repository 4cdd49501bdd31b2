"""Waiting until an environment's services answer.

They are asked where a person will use them: on the published ports. The wait ends when each has sent its banner (or answered
a query), or early, with the reason, when a machine died. Where the published ports are not on this computer (a remote
engine), the same questions are asked from inside a machine.
"""

import shlex
import socket
import struct
import time
from collections.abc import Callable, Sequence

from labenv.engine import Engine
from labenv.engine.channel import Channel
from labenv.environment import Environment, Machine
from labenv.errors import EngineError
from labenv.lab.model import Answer
from labenv.parallel import Together

_DEADLINE = 60.0  # seconds; a slow laptop needs about five
# Seconds between two tries, increasing: each try costs the engine's proxy a connection, and the booting machines
# processor time.
_POLL, _SLOWER, _SLOWEST = 0.05, 1.1, 0.25
_LONGEST = 10.0  # seconds of one try from inside a machine
_LOOK = 1.0  # seconds between two looks at whether the machine still runs


class NoAnswer(EngineError):
    """A machine runs, but a service on it does not answer."""


def await_answers(
    engine: Engine, environment: Environment, answers: Sequence[Answer], patience: float = _DEADLINE
) -> None:
    """Return as soon as all `answers` have come.

    Raises EngineError with the dead machine's last output, NoAnswer with what did not answer within `patience` seconds.
    """

    def wait(answer: Answer) -> None:
        _await(engine, environment.machine(answer.machine), environment.student.domain, answer, patience)

    # Name servers first: a service looks up its client's name, and waits for a second if it finds no name server.
    for round_ in ([a for a in answers if not a.banner], [a for a in answers if a.banner]):
        with Together(max(1, len(round_))) as pool:
            list(pool.map(wait, round_))


def await_boot(engine: Engine, machine: Machine) -> None:
    """Return once systemd has started everything that is enabled on a machine, successfully or not.

    Raises EngineError with the dead machine's last output, or if it is still booting after a minute.
    """
    channel = engine.shell(machine)
    deadline = time.monotonic() + _DEADLINE
    try:
        # Early in the boot systemctl has nobody to ask.
        while channel.run("systemctl is-system-running --wait", _DEADLINE).stdout.strip() not in (
            b"running",
            b"degraded",
        ):
            refuse_dead(engine, machine)
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{machine.name} is still booting after {_DEADLINE:.0f} seconds. `labenv doctor` may say why."
                )
            time.sleep(_POLL)
    except EngineError:
        refuse_dead(engine, machine)  # its error says more
        raise
    finally:
        channel.close()


def lead_out(engine: Engine, machine: Machine) -> None:
    """Have a running machine that was attached to a further network route to it, as it does at boot.

    Raises EngineError, with the way out, if the machine cannot do that.
    """
    await_boot(engine, machine)
    with engine.shell(machine) as channel:
        if channel.run("systemctl cat labenv-uplink").rc:
            return  # it leads nobody out
        done = channel.run("systemctl restart labenv-uplink 2>&1")
    if done.rc:
        raise EngineError(
            f"{machine.name} does not route to the new network: {done.text.strip()}. If an earlier "
            f"version of labenv made this environment, save what you need, then make it again from scratch: labenv down"
        )


def _await(engine: Engine, machine: Machine, domain: str, answer: Answer, patience: float) -> None:
    ask = _asking(machine, domain, answer)
    deadline = time.monotonic() + patience
    look = time.monotonic() + _LOOK
    channel: Channel | None = None
    pause = _POLL
    try:
        while not (_inside(channel, machine, domain, answer) if channel else ask()):
            now = time.monotonic()
            if now > look:
                refuse_dead(engine, machine)
                look = now + _LOOK
                if channel is None and not _is_published_here(machine, answer):
                    channel = engine.shell(machine)
            if now > deadline:
                raise NoAnswer(
                    f"{machine.name} is running, but nothing answers on its port {answer.port} within {patience:.0f} seconds. "
                    f"Its log may say why: labenv logs {machine.name}"
                )
            time.sleep(pause)
            pause = min(pause * _SLOWER, _SLOWEST)
    finally:
        if channel:
            channel.close()


def refuse_dead(engine: Engine, machine: Machine) -> None:
    """Raise EngineError with its last output if a machine does not run."""
    state, code, words = engine.last_words(machine.container)
    if state == "running":
        return
    if code == 255 and not words:  # how systemd ends when it gets no inotify instance
        raise EngineError(
            f"{machine.name} died at boot with exit code 255 and an empty log. The usual cause: this computer has no free "
            f"inotify instances (fs.inotify.max_user_instances, 128 by default, is enough for some 18 to 40 machines). "
            f"Raise the limit, then run `labenv up` again: sysctl -w fs.inotify.max_user_instances=1024"
        )
    raise EngineError(
        f"{machine.name} is {state} (exit code {code}) instead of running. Last output: {words or 'none'}"
    )


def _here(machine: Machine, answer: Answer) -> int | None:
    return machine.published.get(str(answer.port))


def _is_published_here(machine: Machine, answer: Answer) -> bool:
    """Whether anything (the engine's proxy) listens on the published port at all."""
    port = _here(machine, answer)
    if port is None:
        return False
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _asking(machine: Machine, domain: str, answer: Answer) -> Callable[[], bool]:
    port = _here(machine, answer)
    question = b"" if answer.banner else _soa_query(answer.zone or domain)

    def ask() -> bool:
        if port is None:
            return False
        try:
            # The proxy accepts the connection before the service does, so only the service's own output counts.
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if question:
                    connection.sendall(question)
                    return _is_answer(connection.recv(512))
                said = connection.recv(512)
                connection.sendall(b"QUIT\r\n")
                return said.startswith(answer.banner.encode())
        except OSError:
            return False

    return ask


def _soa_query(zone: str) -> bytes:
    """A DNS query for a zone's SOA in its TCP form (RFC 1035 sections 4.1 and 4.2.2)."""
    name = b"".join(bytes([len(label)]) + label.encode() for label in zone.split(".")) + b"\0"
    message = struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + name + struct.pack(">HH", 6, 1)
    return struct.pack(">H", len(message)) + message


def _is_answer(reply: bytes) -> bool:
    """Whether a reply over TCP has no error and at least one answer record."""
    if len(reply) < 14:
        return False
    flags, _, answers = struct.unpack_from(">HHH", reply, 4)
    return not flags & 0xF and answers > 0


_SAYS = 'exec 3<>/dev/tcp/$0/$1 && IFS= read -r -t 5 line <&3 && printf "QUIT\\r\\n" >&3 && [[ $line == "$2"* ]]'


def _inside(channel: Channel, machine: Machine, domain: str, answer: Answer) -> bool:
    if answer.banner:
        command = shlex.join(["bash", "-c", _SAYS, machine.address, str(answer.port), answer.banner])
    else:
        command = f"dig +short +time=1 +tries=1 @{machine.address} SOA {answer.zone or domain} | grep -q ."
    return channel.run(f"timeout 5 {command} 2>/dev/null" if answer.banner else command, _LONGEST).rc == 0
