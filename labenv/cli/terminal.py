"""Runs a command in a machine, connected to this terminal (or to pipes) through the engine's attach stream."""

import os
import select
import signal
import socket
import struct
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labenv.cli import common, screen
from labenv.engine import Engine
from labenv.engine.errors import refusals
from labenv.engine.session import Session, life
from labenv.environment import Machine
from labenv.environments import history
from labenv.environments.gone import error_if_gone
from labenv.errors import EngineError

_HEADER = struct.Struct(">BxxxL")  # the engine's framing without a terminal: stream, length
_BLOCK = 65536
_KILLED = (137, 143, 129)  # exit codes of what was killed (bash(1), EXIT STATUS), maybe with its machine


# What a program that died with its machine has left a terminal in (xterm's ctlseqs): other colours, a hidden cursor, pasting
# in brackets, keypad modes, the mouse, the alternate screen.
_AS_BEFORE = "\x1b[0m\x1b[?25h\x1b[?2004l\x1b[?1l\x1b>\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?47l\n"


def _has_terminal() -> bool:
    return os.isatty(0) and os.isatty(1)


def run(engine: Engine, container: str, command: list[str]) -> int:
    """Run `command`; return its exit code (127 if there is no such command).

    If stdin and stdout are a terminal, the command gets one too, which keeps the same size; otherwise stdin, stdout and
    stderr are passed on separately. Raises EngineError.
    """
    terminal = os.environ.get("TERM", "xterm") if _has_terminal() else None
    session = Session(engine, container, command, terminal=terminal)
    with refusals(f"running {command[0]} in {container}"):
        if terminal:
            with _raw(session):
                _pump(session, framed=False)
        else:
            _pump(session, framed=True)
    return session.status()


def run_in(
    machine: str,
    student: str | None,
    command: list[str],
    *,
    begun: bool = False,
    written: bool = False,
    called: str,
    again: str,
) -> int:
    """Run a command in a machine of the chosen environment, and return its exit code. Raises LabenvError.

    With `begun`, the history keeps the state before the command; with `written`, what the command has changed. Should the
    machine go meanwhile, the error says so, of what is `called` so, and with which labenv command to begin `again`.
    """
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        if written:
            common.tell_of_loss(environment, listen)
        target = environment.machine(machine)
    if target.state != "running":
        raise EngineError(f"{machine} is {target.state}. Bring it back with: labenv up {environment.student.id}")
    if begun:
        with screen.progress(quiet=True) as listen:
            history.begin(engine, environment, listen)
    before = life(engine, target.container)
    failed = gone = None
    try:
        status = run(engine, target.container, command)
    except EngineError as error:  # an engine forgets the commands of a machine that is gone
        failed, status = error, _KILLED[0]
    try:
        gone = error_if_gone(
            engine,
            environment,
            target,
            before,
            ended=f"{called} ended",
            again=again.format(machine=machine, student=environment.student.id),
            wait=status in _KILLED,
        )
    except EngineError as error:  # the engine is gone, too
        failed = error
    if gone and _has_terminal():
        print(_AS_BEFORE, end="", flush=True)
    if reason := gone or failed:
        raise _moving(environment.student.id, target, called) or reason
    if written and not target.optional:
        with screen.progress(quiet=True) as listen:
            history.collect_now(engine, environment, listen, machine=machine)
    return status


def _moving(student: str, machine: Machine, called: str) -> EngineError | None:
    """That the machine went because the environment goes to another server of a swarm, if it does."""
    from labenv.swarm import leases, where

    if not leases.is_placed(student):
        return None
    with screen.progress(quiet=True) as listen:
        away = where.moving(where.Fleet(common.open_local_engine(listen)), student, machine)
    return EngineError(f"{called.capitalize()} ended. {away}") if away else None


@contextmanager
def _raw(session: Session) -> Iterator[None]:
    before = termios.tcgetattr(sys.stdin)

    def resize(*_: Any) -> None:
        size = os.get_terminal_size(sys.stdout.fileno())  # LINES and COLUMNS do not follow a window
        session.resize(size.lines, size.columns)

    old = signal.signal(signal.SIGWINCH, resize)
    try:
        tty.setraw(sys.stdin, termios.TCSADRAIN)  # what was typed ahead is for the shell
        resize()
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, old)


def _pump(session: Session, *, framed: bool) -> None:
    """Copy both ways until the command's side ends."""
    channel = session.socket
    source = sys.stdin.fileno()
    waiting: list[Any] = [channel, source]
    buffer = _passed_on(session.early, framed=framed)
    while True:
        readable, _, _ = select.select(waiting, [], [])
        if source in readable:
            data = os.read(source, _BLOCK)
            try:
                if data:
                    channel.sendall(data)
                else:
                    waiting.remove(source)
                    channel.shutdown(socket.SHUT_WR)
            except OSError:  # nobody listens any more; what was said before can still be read
                waiting = [channel]
        if channel in readable:
            try:
                data = channel.recv(_BLOCK)
            except OSError:
                return
            if not data:
                return
            buffer = _passed_on(buffer + data, framed=framed)


def _passed_on(data: bytes, *, framed: bool) -> bytes:
    """Write what the command said; returns the beginning of a frame whose rest has not come yet."""
    if framed:
        return _unframe(data)
    _write(1, data)
    return b""


def _unframe(buffer: bytes) -> bytes:
    while len(buffer) >= _HEADER.size:
        stream, length = _HEADER.unpack_from(buffer)
        end = _HEADER.size + length
        if len(buffer) < end:
            break
        _write(2 if stream == 2 else 1, buffer[_HEADER.size : end])
        buffer = buffer[end:]
    return buffer


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
