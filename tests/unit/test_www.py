"""The kit for web servers, against real ones: Python's own, and TLS with certificates that openssl(1) makes."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from labenv.checks.evidence import CheckFailed
from labenv.www import certificates, pages

SITE = "www.bob.ops"


class Here:
    """This computer as a machine that connects."""

    name = "client"

    def __init__(self) -> None:
        self.requested: list[tuple[str, str]] = []

    def dial(self, host: str, port: int) -> socket.socket:
        return socket.create_connection((host, port), 5)


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        moved = self.path == "/old"
        self.send_response(301 if moved else 200)
        if moved:
            self.send_header("Location", f"https://{SITE}/new")
        self.end_headers()
        self.wfile.write(f"{self.headers['Host']} {self.path}\n\x1b[2J".encode())

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Set-Cookie", "session=1; path=/")
        self.send_header("Set-Cookie", "auth=2; HttpOnly")
        self.end_headers()
        self.wfile.write(sent + b" with " + self.headers["Cookie"].encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Site)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """A server that says these bytes to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            there, _ = door.accept()
            with there:
                there.recv(65_536)
                there.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        yield door.getsockname()[1]
        thread.join()


def made(folder: Path, *options: str) -> ssl.SSLContext:
    pair = ["-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    command = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        *pair,
        *options,
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


def test_a_page_is_that_of_the_site_that_was_asked_for() -> None:
    with serving() as port:
        answer = pages.fetch(Here(), "127.0.0.1", "/a", name=SITE, port=port)
    assert (answer.status, answer.reason, answer.location) == (200, "OK", "")
    assert answer.text.startswith(f"{SITE} /a\n")
    assert "\x1b" not in answer.text


def test_a_redirection_is_not_followed() -> None:
    with serving() as port:
        answer = pages.fetch(Here(), "127.0.0.1", "/old", name=SITE, port=port)
    assert str(answer) == f"301 Moved Permanently, Location: https://{SITE}/new"


def test_over_tls_any_certificate_is_taken_and_can_be_read(tmp_path: Path) -> None:
    context = made(
        tmp_path, "-subj", f"/O=Bob/CN={SITE}", "-addext", f"subjectAltName=DNS:{SITE},DNS:*.b.ops", "-days", "3"
    )
    now = datetime.now(UTC)
    with serving(context) as port:
        assert pages.fetch(Here(), "127.0.0.1", name=SITE, tls=True, port=port).status == 200
        found = certificates.served(Here(), "127.0.0.1", name=SITE, port=port)
    assert (found.name, found.issuer, found.names) == (SITE, SITE, (SITE, "*.b.ops"))
    assert found.is_self_signed
    assert found.is_valid(now + timedelta(days=2))
    assert not found.is_valid(now + timedelta(days=4))
    assert not found.is_valid(now - timedelta(days=1))
    assert [name for name in (SITE, "WWW.BOB.ops", "a.b.ops", "b.ops", "c.a.b.ops", "bob.ops") if found.is_for(name)] == [
        SITE, "WWW.BOB.ops", "a.b.ops",
    ]  # fmt: skip
    shown = ["openssl", "x509", "-in", str(tmp_path / "cert"), "-noout", "-fingerprint", "-sha256"]
    said = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
    assert said.strip().partition("=")[2].replace(":", "").lower() == found.fingerprint


def test_a_certificate_without_names_is_for_no_site(tmp_path: Path) -> None:
    with serving(made(tmp_path, "-subj", f"/CN={SITE}", "-days", "20000")) as port:
        found = certificates.served(Here(), "127.0.0.1", name=SITE, port=port)
    assert (found.names, found.is_for(SITE)) == ((), False)
    assert found.ends.year > 2050  # a GeneralizedTime


def test_who_is_not_there_or_speaks_something_else_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    with pytest.raises(CheckFailed, match=rf"client gets no connection to 127.0.0.1 port {port}: .*refused"):
        pages.fetch(Here(), "127.0.0.1", name=SITE, port=port)
    with (
        saying(b"220 mail.bob.ops ESMTP\r\n") as port,
        pytest.raises(CheckFailed, match="gives client no answer in HTTP: 220"),
    ):
        pages.fetch(Here(), "127.0.0.1", name=SITE, port=port)
    with serving() as port, pytest.raises(CheckFailed, match="does not speak TLS with client"):
        certificates.served(Here(), "127.0.0.1", name=SITE, port=port)


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x82\xff\xff", b"\x30\x00", b"\x30\x04\x30\x02\x05\x00", b"\x30\x84"]
)
def test_what_is_no_certificate_is_no_crash(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        certificates.read(data)


def test_a_form_is_sent_with_cookies_and_those_of_the_answer_are_read() -> None:
    with serving() as port:
        answer = pages.fetch(
            Here(), "127.0.0.1", "/", name=SITE, port=port, form={"who": "bob & amy"}, cookies={"a": "1", "b": "2"}
        )
    assert answer.text == "who=bob+%26+amy with a=1; b=2"
    assert answer.cookies == {"session": "1", "auth": "2"}
