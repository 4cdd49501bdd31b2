"""Waiting until an environment's services answer.

They are asked where a person will use them: on the published ports. The wait ends when each has answered as the lab says, or
early, with the reason, when a machine died. What is not published, and everything where the published ports are not on this
computer (a remote engine), is asked the same from inside the machine.
"""

import re
import shlex
import socket
import time
from collections.abc import Sequence

from labenv.engine import Engine
from labenv.engine.channel import Channel
from labenv.engine.moves import command as taking
from labenv.engine.questions import Question, question
from labenv.environment import Environment, Machine
from labenv.errors import EngineError
from labenv.lab.model import Answer
from labenv.parallel import Together

_DEADLINE = 60.0  # seconds; a slow laptop needs about five
# Seconds between two tries, increasing: each try costs the engine's proxy a connection, and the booting machines
# processor time.
_POLL, _SLOWER, _SLOWEST = 0.05, 1.1, 0.25
_LONGEST = 10.0  # seconds of one try from inside a machine
_LONGEST_REPLY = 5  # seconds of one try
_ENOUGH = 512  # bytes of a reply
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
        _await(engine, environment.machine(answer.machine), answer, patience)

    # Name servers first: a service looks up its client's name, and waits for a second if it finds no name server.
    for round_ in ([a for a in answers if a.dns], [a for a in answers if not a.dns]):
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
            b"maintenance",  # the default target is rescue.target: that is all that this boot starts
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


def move(engine: Engine, machine: Machine, moves: Sequence[tuple[str, str]]) -> None:
    """Have a running machine that was attached to a network take its own addresses there, as it does at boot. Raises EngineError."""
    with engine.shell(machine) as channel:
        channel.run(shlex.join(taking(moves, ["true"])))


# The file is mounted, so it cannot be replaced by another one.
_UNNAME = (
    "grep -q '^{address}[[:space:]]' /etc/hosts && kept=$(grep -v '^{address}[[:space:]]' /etc/hosts) && "
    "printf '%s\\n' \"$kept\" >/etc/hosts"
)


def lead_out(engine: Engine, machine: Machine, addresses: Sequence[str]) -> None:
    """Have a running machine that was attached to further networks, with these addresses, route to them, as it does at boot.

    Raises EngineError, with the way out, if the machine cannot do that.
    """
    await_boot(engine, machine)
    with engine.shell(machine) as channel:
        # The engine has written a line into the machine's file for each, and the student would be blamed for it.
        channel.run("; ".join(_UNNAME.format(address=re.escape(address)) for address in addresses))
        if channel.run("systemctl cat labenv-uplink").rc:
            return  # it leads nobody out
        done = channel.run("systemctl restart labenv-uplink 2>&1")
    if done.rc:
        raise EngineError(
            f"{machine.name} does not route to the new network: {done.text.strip()}. If an earlier "
            f"version of labenv made this environment, save what you need, then make it again from scratch: labenv down"
        )


def _await(engine: Engine, machine: Machine, answer: Answer, patience: float) -> None:
    wanted = question(machine, answer) if answer.port else None
    here = machine.published.get(str(answer.port)) if wanted and not engine.endpoint.is_elsewhere else None
    deadline = time.monotonic() + patience
    look = time.monotonic() + _LOOK
    channel: Channel | None = None
    pause = _POLL
    try:
        while True:
            if here is None:
                channel = channel or engine.shell(machine)
                done = _inside(channel, machine, answer, wanted)
            else:
                done = wanted is not None and _outside(here, wanted)
            if done:
                return
            now = time.monotonic()
            if now > look:
                refuse_dead(engine, machine)
                look = now + _LOOK
                if here and not _is_published_here(here):
                    here = None
            if now > deadline:
                raise NoAnswer(
                    f"{machine.name} is running, but {_lacking(answer)} within {patience:.0f} seconds. "
                    f"Its log may say why: labenv logs {machine.name}"
                )
            time.sleep(pause)
            pause = min(pause * _SLOWER, _SLOWEST)
    except EngineError:
        refuse_dead(engine, machine)  # its error says more
        raise
    finally:
        if channel:
            channel.close()


def _lacking(answer: Answer) -> str:
    if answer.port:
        return f"nothing answers on its port {answer.port}"
    return f"`{answer.command}` does not succeed there"


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


def _is_published_here(port: int) -> bool:
    """Whether anything (the engine's proxy) listens on the published port at all."""
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _outside(port: int, wanted: Question) -> bool:
    """Whether a published port answers."""
    try:
        # The proxy accepts the connection before the service does, so only the service's own output counts.
        with socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_REPLY) as connection:
            connection.sendall(wanted.first)
            said = connection.recv(_ENOUGH)
            if wanted.last:
                connection.sendall(wanted.last)
            return wanted.is_answered(said)
    except OSError:
        return False


# One read of what comes first: dd(1) does not wait for more.
_ASK = (
    'exec 3<>"/dev/tcp/$0/$1" && printf %b "$2" >&3 && dd bs="$4" count=1 status=none <&3 && printf %b "$3" >&3; exit 0'
)


def _inside(channel: Channel, machine: Machine, answer: Answer, wanted: Question | None) -> bool:
    """Whether a command succeeds in a machine, or its port answers there."""
    if wanted is None:
        return (
            channel.run(f"timeout {_LONGEST_REPLY} sh -c {shlex.quote(answer.command)} >/dev/null 2>&1", _LONGEST).rc
            == 0
        )
    words = [machine.address, str(answer.port), _escaped(wanted.first), _escaped(wanted.last), str(_ENOUGH)]
    asked = f"timeout {_LONGEST_REPLY} {shlex.join(['bash', '-c', _ASK, *words])} 2>/dev/null"
    return wanted.is_answered(channel.run(asked, _LONGEST).stdout)


def _escaped(data: bytes) -> str:
    """Bytes as printf(1) takes them for %b."""
    return "".join(f"\\0{byte:03o}" for byte in data)
