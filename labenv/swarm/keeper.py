"""The keeper of a swarm: on the manager, it knows who has which environment, and keeps the copies that are pushed to it.

It answers supervisors and wardens over HTTPS, with the certificate that `labenv swarm init` has made and who has the token of the
swarm. What it keeps lies in labenv's folder of state on the manager: a pushed copy is a save there, which `labenv restore` finds.
"""

import json
import os
import re
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labenv.engine import kept
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.swarm import setup, words
from labenv.swarm.leases import Gone, Leases, everything, left_on, read
from labenv.swarm.mirror import Mirror
from labenv.swarm.place import Place, settings
from labenv.text import one_line

_COPY = re.compile(r"/copies/([a-z0-9-]{1,40})/([0-9A-Fa-fT-]{1,60})")
_LARGEST_WORD = 1_000_000
_PATIENCE = 60  # seconds that a connection may say nothing
_LINGER = 2  # seconds for what a client still sends that is refused


class Keeper:
    """What the keeper does, without the way it is asked. Safe to share between threads."""

    def __init__(self) -> None:
        """Keep what there is."""
        self.leases = Leases()
        self._locks: dict[str, threading.Lock] = {}

    def _one(self, student: str) -> threading.Lock:
        """What is held while a student's copies change."""
        return self._locks.setdefault(student, threading.Lock())

    def begin(self, told: dict[str, Any]) -> dict[str, Any]:
        """A supervisor is about to bring an environment up. Returns what it must know, or whom it must wait for. Raises UsageError.

        Swarm waits for a minute until a node that is drained has ended a task; a node that ends many needs longer, and what it has not pushed
        yet would be lost.
        """
        student, node = str(told["student"]), str(told["node"])
        if other := self.leases.left_by(student, node):
            return {"wait": f"{other} has not given up the environment of {student} yet."}
        lease, is_stale = self.leases.begin(
            student,
            str(told["class"]),
            node,
            str(told["name"]),
            lambda stamp: kept.has(student, stamp),
            lambda stamp: _stands(student, stamp),
        )
        return {"generation": lease.generation, "stale": is_stale, "stamp": lease.stamp}

    def came_up(self, told: dict[str, Any]) -> dict[str, Any]:
        """An environment is up. Raises UsageError."""
        parts = {str(name): float(seconds) for name, seconds in told["parts"].items()}
        self.leases.came_up(str(told["student"]), int(told["generation"]), parts)
        return {}

    def failed(self, told: dict[str, Any]) -> dict[str, Any]:
        """An environment cannot come up. Raises UsageError."""
        self.leases.failed(str(told["student"]), int(told["generation"]), str(told["sentence"]))
        return {}

    def leaving(self, told: dict[str, Any]) -> dict[str, Any]:
        """A supervisor is about to end an environment. Raises Gone."""
        self.leases.leaving(str(told["student"]), int(told["generation"]))
        return {}

    def end(self, told: dict[str, Any]) -> dict[str, Any]:
        """An environment was removed from its node, after its last push. Raises UsageError."""
        self.leases.end(str(told["student"]), int(told["generation"]))
        return {}

    def forget(self, told: dict[str, Any]) -> dict[str, Any]:
        """The environment was removed for good: what was pushed of it goes, too. Raises UsageError."""
        who = str(told["student"])
        with self._one(who):
            if stamp := self.leases.forget(who):
                kept.drop(who, stamp, needed=False)
            _drop_pushed(who, "", ())
        return {}

    def seen(self, told: dict[str, Any]) -> dict[str, Any]:
        """A warden tells which environments of which student its node has, each with its class.

        Returns which are stale, and the generation of the others: of the current ones, and of those whose supervisor has still to bring up what it
        was given. What is of no class of the swarm is neither.
        """
        node, name = str(told["node"]), str(told["name"])
        holds: Mapping[str, str] = dict(told["holds"])
        self.leases.heard(node)
        stale, current, coming = list[str](), dict[str, int](), dict[str, int]()
        for student, class_id in holds.items():
            lease = read(student)
            if not lease or lease.class_id != class_id:
                continue
            if lease.node == node:
                (coming if lease.stale else current)[student] = lease.generation
            elif lease.node or lease.name != name:
                stale.append(student)
        return {"stale": stale, "current": current, "coming": coming}

    def keep(self, student: str, stamp: str, data: bytes, generation: int) -> None:
        """Keep a copy as the newest of an environment, in place of the one before. Raises Gone, UsageError, LabenvError.

        Then nothing has changed.
        """
        with self._one(student):
            self.leases.check(student, generation)
            is_new = not kept.has(student, stamp)
            manifest = kept.unpack(student, stamp, data)
            try:
                lease = self.leases.pushed(student, generation, stamp)
            except LabenvError:  # another node may have begun just now
                if is_new:
                    kept.drop(student, stamp, needed=False)
                raise
            if lease.stamp == stamp:
                _drop_pushed(student, stamp, kept.stands_on(manifest))
            elif is_new:  # a later one came first
                kept.drop(student, stamp, needed=False)

    def keep_aside(self, student: str, stamp: str, data: bytes, node: str) -> None:
        """Keep a copy of what was found on a node that had lost the environment, as a save. Raises UsageError, LabenvError."""
        with self._one(student):
            manifest = kept.unpack(student, stamp, data)
            self.leases.kept_aside(student, node, str(manifest["name"]))


def _drop_pushed(student: str, but: str, needed: Collection[str]) -> None:
    """Remove what was pushed of a student but the copy with that stamp, and what only machines stood on.

    What machines stand on, as `needed` says, stays, also what those on lost nodes stand on. Also what a keeper has left that was killed while it kept a copy goes.
    """
    needed = {*needed, *left_on(student)}
    for manifest in kept.manifests(student):
        stamp = str(manifest["stamp"])
        # A person may call a save so, too; it has no records.
        if stamp != but and manifest["name"] == words.PUSHED and "records" in manifest:
            kept.drop(student, stamp, needed=stamp in needed)
    kept.drop_unneeded(student, needed)


def _stands(student: str, stamp: str) -> tuple[str, ...]:
    """What machines stand on of which that is the last copy: what it says, or the copy itself if they came out of it since."""
    for manifest in kept.manifests(student):
        if manifest["stamp"] == stamp:
            return (*sorted(kept.stands_on(manifest)), stamp)
    return ()


class _Answer(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    keeper: Keeper
    token: str

    def do_GET(self) -> None:
        """A copy."""
        if not self._is_known():
            return
        if found := _COPY.fullmatch(self.path):
            try:
                content = kept.packed(found[1], found[2])
            except OSError as error:
                self._say(HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"The copy cannot be read: {error.strerror}."})
                return
            if content is None:
                self._say(HTTPStatus.NOT_FOUND, {"error": "There is no such copy."})
            else:
                self._send(HTTPStatus.OK, content, "application/x-tar")
        elif self.path == "/leases":
            self._say(HTTPStatus.OK, {who: lease.node for who, lease in everything().items()})
        else:
            self._say(HTTPStatus.NOT_FOUND, {"error": "There is nothing."})

    def do_PUT(self) -> None:
        """Keep a copy."""
        if not self._is_known():
            return
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        data = self._body(words.LARGEST)
        if data is None:
            return
        if not (found := _COPY.fullmatch(url.path)):
            self._say(HTTPStatus.NOT_FOUND, {"error": "There is nothing."})
            return

        def keep() -> dict[str, Any]:
            if "from" in asked:
                self.keeper.keep_aside(found[1], found[2], data, asked["from"])
            else:
                self.keeper.keep(found[1], found[2], data, int(asked["generation"]))
            return {}

        self._answer(keep)

    def do_POST(self) -> None:
        """What a supervisor or a warden tells."""
        if not self._is_known():
            return
        data = self._body(_LARGEST_WORD)
        if data is None:
            return
        known: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "/begin": self.keeper.begin,
            "/up": self.keeper.came_up,
            "/failed": self.keeper.failed,
            "/leaving": self.keeper.leaving,
            "/end": self.keeper.end,
            "/forget": self.keeper.forget,
            "/seen": self.keeper.seen,
        }
        if not (work := known.get(self.path)):
            self._say(HTTPStatus.NOT_FOUND, {"error": "There is nothing."})
            return
        self._answer(lambda: work(json.loads(data)))

    def log_message(self, *_: object) -> None:
        """Nothing: each push is one request."""

    def _is_known(self) -> bool:
        if compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {self.token}".encode()):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "That is not the token of this swarm.")
        return False

    def _body(self, most: int) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > most:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"More than {most} bytes are not taken.")
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        """Answer without the body, and end the connection."""
        self.close_connection = True
        self._say(status, {"error": sentence})
        # What is still on its way is read, within reason: to close on it would be a reset, which the answer may not outlive.
        length = self.headers.get("Content-Length", "")
        left, deadline = min(int(length), _LARGEST_WORD) if length.isdecimal() else 0, time.monotonic() + _LINGER
        self.connection.settimeout(_LINGER)
        with suppress(OSError):
            while left > 0 and time.monotonic() < deadline and (piece := self.rfile.read1(left)):
                left -= len(piece)

    def _answer(self, work: Callable[[], dict[str, Any]]) -> None:
        try:
            status, told = HTTPStatus.OK, work()
        except Gone as error:
            status, told = HTTPStatus.CONFLICT, {"error": str(error)}
        except UsageError as error:
            status, told = HTTPStatus.BAD_REQUEST, {"error": str(error)}
        except LabenvError as error:
            print(error, file=sys.stderr, flush=True)
            status, told = HTTPStatus.INSUFFICIENT_STORAGE, {"error": str(error)}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            said = f"{type(error).__name__}: {one_line(str(error))[:200]}"
            status, told = HTTPStatus.BAD_REQUEST, {"error": f"That makes no sense ({said})."}
        self._say(status, told)

    def _say(self, status: HTTPStatus, told: dict[str, Any]) -> None:
        self._send(status, json.dumps(told).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:  # or who asks next would do so on it
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """The keeper's server: a thread for each connection, in which the handshake is made, too."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], certificate: Path, key: Path, token: str, keeper: Keeper) -> None:
        """Listen. Raises OSError if the port is taken, or a file cannot be read."""
        handler = type("Answer", (_Answer,), {"keeper": keeper, "token": token})
        super().__init__(address, handler, bind_and_activate=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        try:
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Take the port, without asking the name servers for this server's name, which nobody needs here."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Whoever does not speak TLS, or goes away, is no news; anything else is a fault of labenv's."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


def main() -> None:
    """Serve until SIGTERM."""
    secrets = Path(words.SECRETS)
    port = int(os.environ.get(words.KEEPER_PORT, words.PORT))
    try:
        setup.made()
    except EngineError as error:  # it would keep everything in a folder that nobody sees
        sys.exit(f"The keeper does not see the state of the manager's user in {setup.folder()}: {error}")
    token = (secrets / words.TOKEN).read_text(encoding="utf-8").strip()
    server = Server(("0.0.0.0", port), secrets / words.CERTIFICATE, secrets / words.KEY, token, Keeper())
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    places = []
    for number, url in enumerate(json.loads(os.environ.get(words.PLACES, "[]"))):
        given = secrets / f"{words.PLACE}-{number}"
        try:
            places.append(Place(url, settings(given.read_text(encoding="utf-8")) if given.exists() else {}))
        except UsageError as error:
            print(error, file=sys.stderr, flush=True)
    mirrors = [Mirror(place) for place in places]
    print(f"The keeper listens on port {port}.", flush=True)
    while not over.wait(words.MIRROR_EVERY):
        for mirror in mirrors:
            mirror.go()
    server.shutdown()


if __name__ == "__main__":
    main()
