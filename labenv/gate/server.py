"""The long-running process: the gate, and beside it whatever else a class is served with."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import asyncssh

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.classroom.serving import keys, passwords
from labenv.engine import Engine
from labenv.errors import UsageError
from labenv.events import Listener
from labenv.gate import moves
from labenv.gate.door import Door
from labenv.gate.state import Gate
from labenv.swarm import leases

_KEY = "gate_host_key"
_THREADS = 64  # that wait for the engine
_LOGIN = 60  # seconds for a login, in which a person types a password
_ALIVE = 30  # seconds between two looks whether a client is there; after three that it missed its line has dropped
_PATIENCE = 10.0  # seconds for commands that still run when the gate ends
_TIDYING = 60.0  # seconds between two looks for what nobody has come back to

Beside = Callable[[Gate], Coroutine[Any, Any, None]]


def host_key(of: Class) -> asyncssh.SSHKey:
    """The key by which students' clients know the gate; made at the first call. Raises UsageError if it cannot be kept or read."""
    path = records.place(of, _KEY)
    if not path.exists():
        made = asyncssh.generate_private_key("ssh-ed25519", comment=f"labenv {of.id}")
        records.write(path, made.export_private_key().decode())
    try:
        return asyncssh.read_private_key(path)
    except (OSError, asyncssh.KeyImportError) as error:
        raise UsageError(f"{path} is not a private key: {error}. Restore it; a new one alarms all clients.") from error


def serve(engine: Engine, of: Class, address: str, port: int, listen: Listener, beside: Sequence[Beside] = ()) -> None:
    """Keep the gate open until a signal ends it (SIGTERM, SIGINT, SIGHUP), and what runs `beside` it.

    Raises UsageError if the port cannot be had.
    """
    gc.enable()  # unlike other commands this one runs for months
    asyncio.run(_serve(Gate(engine, of, listen), address, port, beside))


async def _serve(gate: Gate, address: str, port: int, beside: Sequence[Beside]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    over = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(sign, over.set)
    async with _open(gate, address, port) as where:
        key = host_key(gate.of)
        gate.say(
            f"{gate.of.name}: the gate is open on {where}. Its host key is {key.get_algorithm()} {key.get_fingerprint()}"
        )
        can = sum(bool(passwords.left(gate.of).get(one.id) or keys.known(gate.of, one)) for one in gate.of.members)
        gate.say(
            f"{can} of {len(gate.of.members)} students have a password or a key; labenv class passwords makes them"
        )
        tasks = [
            asyncio.create_task(work(gate)) for work in (_tidy, *([moves.keep] if leases.is_kept() else []), *beside)
        ]
        ended: asyncio.Task[Any] = asyncio.create_task(over.wait())
        # A task of these ends only by an error, and a gate that does half its work is worse than one that is started again.
        done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        gate.say("closing the gate")
        await asyncio.gather(*(visit.tell("The gate is closing.", in_shells=True) for visit in list(gate.visits)))
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done - {ended}:
        task.result()


@asynccontextmanager
async def _open(gate: Gate, address: str, port: int) -> AsyncIterator[str]:
    """The gate, open during the block; yields where."""
    asyncssh.set_log_level("CRITICAL")  # what goes on is in the audit log; what goes wrong here is said there
    try:
        listener = await asyncssh.listen(
            address,
            port,
            server_factory=lambda: Door(gate),
            server_host_keys=[host_key(gate.of)],
            server_version="labenv",
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            gss_host=None,
            host_based_auth=False,
            compression_algs=["none"],  # a bomb of zeros costs its sender nothing
            login_timeout=_LOGIN,
            keepalive_interval=_ALIVE,
            keepalive_count_max=3,
            reuse_address=True,
        )
    except OSError as error:
        where = f"port {port}{f' of {address}' if address else ''}"
        raise UsageError(
            f"The gate cannot listen on {where}: {os.strerror(error.errno or 0)}. Choose another one: --port"
        ) from error
    try:
        yield ", ".join(sorted({f"{sock.getsockname()[0]} port {sock.getsockname()[1]}" for sock in listener.sockets}))
    finally:
        listener.close()
        await gate.holder.close(_PATIENCE)
        there = list(gate.connections)
        for connection in there:
            connection.disconnect(asyncssh.DISC_BY_APPLICATION, "The gate is closed.")
        await asyncio.wait(
            [asyncio.ensure_future(one.wait_closed()) for one in there] or [asyncio.ensure_future(asyncio.sleep(0))],
            timeout=2,
        )


async def _tidy(gate: Gate) -> None:
    while True:
        await asyncio.sleep(_TIDYING)
        for held in await gate.holder.tidy():
            gate.note(held.student, "ended", line=held.title)
