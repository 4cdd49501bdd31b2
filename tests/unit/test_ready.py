"""What shows that a service answers, asked at real sockets and through the shell that machines have."""

import http.server
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labenv.engine import ready
from labenv.engine.channel import Channel
from labenv.engine.questions import question
from labenv.environment import Machine
from labenv.lab.model import Answer

MACHINE = cast("Machine", SimpleNamespace(name="vm3", fqdn="vm3.asmith15.ops", address="127.0.0.1"))
# A DNS answer over TCP: its length, id, flags, one question, and so many answers.
HEADER = bytes.fromhex("000c 0001 8580 0001")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "_LONGEST_REPLY", 1)


class Here:
    """The channel into a machine, but to this computer."""

    def run(self, command: str, timeout: float) -> Any:
        done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=timeout, check=False)
        return SimpleNamespace(stdout=done.stdout, rc=done.returncode)


def answer(**kind: Any) -> Answer:
    return Answer("vm3", kind.pop("port", 1), kind.pop("banner", ""), "done", **kind)


def answers(port: int, asked: Answer) -> bool:
    """Whether the port answers; both ways of asking must agree."""
    wanted = question(MACHINE, asked)
    asked = Answer("vm3", port, asked.banner, "done", asked.dns, asked.http, asked.tls)
    outside = ready._outside(port, wanted)
    assert ready._inside(cast("Channel", Here()), MACHINE, asked, wanted) == outside
    return outside


@contextmanager
def served(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def says(first: bytes, *, waits: bool = False) -> type[socketserver.BaseRequestHandler]:
    class Says(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if waits:
                self.request.recv(512)
            self.request.sendall(first)
            self.request.recv(512)

    return Says


@pytest.mark.parametrize(
    ("kind", "said", "waits"),
    [
        ({"banner": "220 "}, b"220 vm3.asmith15.ops ESMTP\r\n", False),
        ({"dns": "asmith15.ops"}, HEADER + bytes.fromhex("0001 00000000"), True),
        ({"http": "/"}, b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", True),
    ],
)
def test_a_service_that_answers(kind: dict[str, str], said: bytes, waits: bool) -> None:
    with served(says(said, waits=waits)) as port:
        assert answers(port, answer(**kind))


@pytest.mark.parametrize(
    ("kind", "said", "waits"),
    [
        ({"banner": "220 "}, b"421 too busy\r\n", False),
        ({"dns": "asmith15.ops"}, HEADER + bytes(6), True),  # no such record
        ({"dns": "asmith15.ops"}, b"220 ", True),
        ({"http": "/"}, b"HTTP/1.1 503 Service Unavailable\r\n\r\n", True),
        ({"tls": True}, bytes.fromhex("15 0301 0002 0228"), True),  # an alert
        ({"tls": True}, b"HTTP/1.1 400 Bad Request\r\n\r\n", True),
    ],
)
def test_a_reply_that_is_no_answer(kind: dict[str, Any], said: bytes, waits: bool) -> None:
    with served(says(said, waits=waits)) as port:
        assert not answers(port, answer(**kind))


def test_nobody_answers_on_a_port_that_is_closed() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not answers(closed.getsockname()[1], answer(http="/"))


def test_a_page_of_a_real_server(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("hello")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with served(Quiet) as port:
        assert answers(port, answer(http="/there"))
        assert not answers(port, answer(http="/elsewhere"))


def test_a_site_is_asked_for_by_its_name() -> None:
    class Named(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            first = b""
            while not first.endswith(b"\r\n\r\n"):
                first += self.request.recv(512)
            right = first.startswith(b"GET /a HTTP") and b"Host: www.bob.ops\r\n" in first
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n" if right else b"HTTP/1.1 404 Not Found\r\n\r\n")

    with served(Named) as port:
        assert answers(port, answer(http="//www.bob.ops/a"))
        assert not answers(port, answer(http="/a"))


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl(1) for a server")
def test_the_handshake_of_a_real_server(tmp_path: Path) -> None:
    made = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=vm3 -days 2 -keyout key -out cert"
    subprocess.run(made.split(), cwd=tmp_path, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", "cert", "-key", "key", "-quiet"]
    with subprocess.Popen(serve, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            while not ready._is_published_here(port):
                pass
            assert answers(port, answer(tls=True))
            assert not answers(port, answer(banner="220 ")), "it waits for a hello, and says nothing"
        finally:
            server.kill()


@pytest.mark.parametrize(("command", "is_ready"), [("test -d /", True), ("false; exit 3", False), ("sleep 60", False)])
def test_a_command_that_succeeds(command: str, is_ready: bool) -> None:
    assert ready._inside(cast("Channel", Here()), MACHINE, answer(port=0, command=command), None) == is_ready
