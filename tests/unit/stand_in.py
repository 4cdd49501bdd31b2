"""A stand-in for a container engine: a real socket that answers /version, so that finding an engine is tested for real.

As a program (`stand_in.py SOCKET`) it plays the part of dockerd.
"""

import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

VERSION = {"Version": "27.1.0", "ApiVersion": "1.46", "MinAPIVersion": "1.24", "Os": "linux", "KernelVersion": "6.1.0"}


def server(path: Path, answer: dict[str, Any] | bytes = VERSION) -> socketserver.UnixStreamServer:
    """A server on the socket `path` that gives `answer` to /version and refuses everything else; `serve_forever` runs it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.asked.append(self.path)  # type: ignore[attr-defined]
            known = self.path.endswith("/version")
            reply = answer if known else {"message": "shutting down"}
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(200 if known else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "socket"

    listening = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    listening.daemon_threads = True
    listening.asked = []  # type: ignore[attr-defined]
    return listening


@contextmanager
def engine(path: Path, answer: dict[str, Any] | bytes = VERSION) -> Iterator[list[str]]:
    """An engine on the socket `path` during the block; yields the list of its requests."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listening = server(path, answer)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield listening.asked  # type: ignore[attr-defined]
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
        path.unlink()


if __name__ == "__main__":
    server(Path(sys.argv[1])).serve_forever()
