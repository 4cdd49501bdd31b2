"""The keeper of a swarm: on the manager, it knows who has which environment, and keeps the copies that are pushed to it.

It answers supervisors and wardens over HTTPS, with the certificate that `labenv swarm init` has made and who has the token of the
swarm. What it keeps lies in labenv's folder of state on the manager: a pushed copy is a save there, which `labenv restore` finds.
"""

import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labenv.engine import kept
from labenv.errors import LabenvError, UsageError
from labenv.swarm import words
from labenv.swarm.leases import Leases, everything, read
from labenv.swarm.mirror import Mirror
from labenv.swarm.place import Place, settings
from labenv.text import one_line

_COPY = re.compile(r"/copies/([a-z0-9-]{1,40})/([0-9A-Fa-fT-]{1,60})")
_LARGEST = 200_000_000  # bytes of a copy: four machines that have changed a lot
_LARGEST_WORD = 1_000_000
_PATIENCE = 60  # seconds that a connection may say nothing


class Keeper:
    """What the keeper does, without the way it is asked. Safe to share between threads."""

    def __init__(self) -> None:
        """Keep what there is."""
        self.leases = Leases()

    def begin(self, told: dict[str, Any]) -> dict[str, Any]:
        """A supervisor is about to bring an environment up. Returns what it must know. Raises UsageError."""
        student = str(told["student"])
        lease, is_stale = self.leases.begin(student, str(told["class"]), str(told["node"]), str(told["name"]))
        stamp = lease.stamp if lease.stamp in kept.stamps(student) else ""
        return {"generation": lease.generation, "stale": is_stale, "stamp": stamp}

    def came_up(self, told: dict[str, Any]) -> dict[str, Any]:
        """An environment is up. Raises UsageError."""
        parts = {str(name): float(seconds) for name, seconds in told["parts"].items()}
        self.leases.came_up(str(told["student"]), int(told["generation"]), parts)
        return {}

    def failed(self, told: dict[str, Any]) -> dict[str, Any]:
        """An environment cannot come up. Raises UsageError."""
        self.leases.failed(str(told["student"]), int(told["generation"]), str(told["sentence"]))
        return {}

    def end(self, told: dict[str, Any]) -> dict[str, Any]:
        """An environment was removed from its node, after its last push. Raises UsageError."""
        self.leases.end(str(told["student"]), int(told["generation"]))
        return {}

    def forget(self, told: dict[str, Any]) -> dict[str, Any]:
        """The environment was removed for good: what was pushed of it goes, too. Raises UsageError."""
        who = str(told["student"])
        if stamp := self.leases.forget(who):
            kept.drop(who, stamp, needed=False)
        kept.drop_unneeded(who, ())
        return {}

    def seen(self, told: dict[str, Any]) -> dict[str, Any]:
        """A warden tells which environments of which student its node has; returns which are stale, and the generation of the others."""
        node, name = str(told["node"]), str(told["name"])
        self.leases.heard(node)
        stale, current = [], {}
        for student in map(str, told["holds"]):
            lease = read(student)
            if lease and lease.node == node:
                current[student] = lease.generation
            elif lease and (lease.node or lease.name != name):
                stale.append(student)
        return {"stale": stale, "current": current}

    def keep(
        self, student: str, stamp: str, data: bytes, generation: int | None, aside: tuple[str, str] | None
    ) -> None:
        """Keep a copy: the newest of an environment, or what was found where it no longer was. Raises UsageError, LabenvError."""
        if generation is not None:
            before = read(student)
            if not before or before.generation != generation:
                raise UsageError(f"{student}'s environment is on another node now.")
            manifest = kept.unpack(student, stamp, data)
            self.leases.pushed(student, generation, stamp)
            needed = kept.stands_on(manifest)
            if before.stamp and before.stamp != stamp:
                kept.drop(student, before.stamp, needed=before.stamp in needed)
            kept.drop_unneeded(student, needed)
        else:
            kept.unpack(student, stamp, data)
            if aside:
                self.leases.kept_aside(student, *aside)


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
            content = kept.packed(found[1], found[2])
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
        data = self._body(_LARGEST)
        if data is None:
            return
        if not (found := _COPY.fullmatch(url.path)):
            self._say(HTTPStatus.NOT_FOUND, {"error": "There is nothing."})
            return
        generation = int(asked["generation"]) if "generation" in asked else None
        aside = (asked["from"], asked["save"]) if {"from", "save"} <= asked.keys() else None

        def keep() -> dict[str, Any]:
            self.keeper.keep(found[1], found[2], data, generation, aside)
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
        self.close_connection = True
        self._say(HTTPStatus.FORBIDDEN, {"error": "That is not the token of this swarm."})
        return False

    def _body(self, most: int) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > most:
            self.close_connection = True
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"More than {most} bytes are not taken."})
            return None
        return self.rfile.read(int(length))

    def _answer(self, work: Callable[[], dict[str, Any]]) -> None:
        try:
            self._say(HTTPStatus.OK, work())
        except UsageError as error:
            self._say(HTTPStatus.CONFLICT, {"error": str(error)})
        except LabenvError as error:
            print(error, file=sys.stderr, flush=True)
            self._say(HTTPStatus.INSUFFICIENT_STORAGE, {"error": str(error)})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": f"That makes no sense: {one_line(str(error))[:200]}"})

    def _say(self, status: HTTPStatus, told: dict[str, Any]) -> None:
        self._send(status, json.dumps(told).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
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
        self.server_bind()
        self.server_activate()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Whoever does not speak TLS, or goes away, is no news."""


def main() -> None:
    """Serve until SIGTERM."""
    secrets = Path(words.SECRETS)
    port = int(os.environ.get(words.KEEPER_PORT, words.PORT))
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
