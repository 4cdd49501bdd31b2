"""What a command in a machine says reaches labenv, however quick the command is."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from labenv.engine.session import Session
from labenv.engine.stream import STDOUT, Stream

_UPGRADE = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
_HELLO = struct.pack(">BxxxI", 1, 6) + b"hello\n"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[docker.APIClient]:
    """An engine whose commands have ended before its answer arrives: their output comes with it, in one packet."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        def answer(connection: socket.socket) -> None:
            with connection:
                while request := connection.recv(65536):
                    if b"/start" in request.partition(b"\r\n")[0]:
                        connection.sendall(_UPGRADE + _HELLO)
                        return
                    body = b'{"Id": "x"}'
                    head = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    connection.sendall(head % len(body) + body)

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield docker.APIClient(f"unix://{tmp_path}/s", version="1.41")
        listener.shutdown(socket.SHUT_RDWR)


def test_a_stream_has_what_came_with_the_engines_answer(api: docker.APIClient) -> None:
    stream = Stream(api, "machine", ["echo", "hello"])
    assert stream.frame(None) == (STDOUT, b"hello\n")
    assert stream.frame(None) is None


def test_a_session_has_what_came_with_the_engines_answer(api: docker.APIClient) -> None:
    engine: Any = type("Door", (), {"api": api})
    session = Session(engine, "machine", ["echo", "hello"], terminal=None)
    assert session.early + session.socket.recv(99) == _HELLO
