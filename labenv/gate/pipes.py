"""Programs without a terminal: what a client sends goes to their input, and their output and errors stay apart.

They go on to their end, also when nobody reads any more: a dropped line ends nothing.
"""

import asyncio
import struct
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path
from socket import SHUT_WR

from labenv.engine.session import Session
from labenv.gate.client import Client, GoneError
from labenv.gate.programs import BLOCK, spawned
from labenv.gate.state import Gate

_FRAME = struct.Struct(">BxxxL")  # the engine's framing without a terminal: stream, length


async def command(gate: Gate, client: Client, arguments: list[str], environ: dict[str, str], folder: Path) -> int:
    """Run a command on the server; its exit code."""

    async def run() -> int:
        process = await spawned(arguments, PIPE, environ, folder)
        feeding = gate.spawn(_type_into(process.stdin, client))
        await asyncio.gather(_copy(process.stdout, client), _copy(process.stderr, client, errors=True))
        code = await process.wait()
        feeding.cancel()
        return code if code >= 0 else 128 - code

    return int(await asyncio.shield(gate.spawn(run())))


async def _type_into(pipe: asyncio.StreamWriter | None, client: Client) -> None:
    assert pipe
    with suppress(OSError, GoneError):
        while data := await client.input():
            pipe.write(data)
            await pipe.drain()
    pipe.close()


async def _copy(pipe: asyncio.StreamReader | None, client: Client, *, errors: bool = False) -> None:
    assert pipe
    while data := await pipe.read(BLOCK):
        await client.view(data, errors=errors)


async def in_machine(gate: Gate, client: Client, session: Session) -> int:
    """Run what was started in a machine; its exit code."""
    feeding = gate.spawn(_feed(session, client))
    status = int(await asyncio.shield(gate.spawn(_unframe(session, client))))
    feeding.cancel()
    return status


async def _feed(session: Session, client: Client) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        with suppress(GoneError):
            while data := await client.input():
                await loop.sock_sendall(session.socket, data)
        session.socket.shutdown(SHUT_WR)


async def _unframe(session: Session, client: Client) -> int:
    loop = asyncio.get_running_loop()
    rest = session.early
    data = b" "
    while data:
        while len(rest) >= _FRAME.size and len(rest) >= (end := _FRAME.size + _FRAME.unpack_from(rest)[1]):
            await client.view(rest[_FRAME.size : end], errors=rest[0] == 2)
            rest = rest[end:]
        data = b""
        with suppress(OSError):
            data = await loop.sock_recv(session.socket, BLOCK)
        rest += data
    return await asyncio.to_thread(session.status)
