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
from labenv.engine import Engine, refusals
from labenv.engine.session import Session
from labenv.environments import history
from labenv.errors import EngineError

_HEADER = struct.Struct(">BxxxL")  # the engine's framing without a terminal: stream, length
_BLOCK = 65536


def run(engine: Engine, container: str, command: list[str]) -> int:
    """Run `command`; return its exit code (127 if there is no such command).

    If stdin and stdout are a terminal, the command gets one too, which keeps the same size; otherwise stdin, stdout and
    stderr are passed on separately. Raises EngineError.
    """
    terminal = os.environ.get("TERM", "xterm") if os.isatty(0) and os.isatty(1) else None
    session = Session(engine, container, command, terminal=terminal)
    with refusals(f"running {command[0]} in {container}"):
        if terminal:
            with _raw(session):
                _pump(session, framed=False)
        else:
            _pump(session, framed=True)
    return session.status()


def run_in(machine: str, student: str | None, command: list[str], *, begun: bool = False, written: bool = False) -> int:
    """Run a command in a machine of the chosen environment, and return its exit code. Raises LabenvError.

    With `begun`, the history keeps the state before the command; with `written`, what the command has changed.
    """
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        target = environment.machine(machine)
    if target.state != "running":
        raise EngineError(f"{machine} is {target.state}. Bring it back with: labenv up {environment.student.id}")
    if begun:
        with screen.progress(quiet=True) as listen:
            history.begin(engine, environment, listen)
    status = run(engine, target.container, command)
    if written and not target.optional:
        with screen.progress(quiet=True) as listen:
            history.collect_now(engine, environment, listen, machine=machine)
    return status


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
            if data:
                channel.sendall(data)
            else:
                waiting.remove(source)
                channel.shutdown(socket.SHUT_WR)
        if channel in readable:
            data = channel.recv(_BLOCK)
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
