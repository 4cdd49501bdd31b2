"""Opening a page in the user's browser, whose address nobody else may know.

A browser's arguments are listed by `ps` for every user of the computer. So the browser is given another address, which
leads on to the real one: once, and only if it is asked for by this user.
"""

import http.server
import os
import secrets
import socket
import struct
import sys
import threading
from pathlib import Path

_PATIENCE = 30.0  # seconds in which a browser that was just started must have come


def opened(url: str) -> bool:
    """Whether a browser opened the page. On a computer without a screen, only the one named in BROWSER is tried."""
    import webbrowser

    has_screen = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if not has_screen:
        return False
    with _Once(url) as door:
        try:
            return webbrowser.open(door.address) and door.gone.wait(_PATIENCE)
        except webbrowser.Error:
            return False


class _Once(http.server.ThreadingHTTPServer):
    """Leads the first of this user's programs that asks for a secret path on to `url`; everybody else to nothing."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Door)
        self.url = url
        self.path = f"/{secrets.token_urlsafe(16)}"
        self.gone = threading.Event()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """The address for the browser."""
        return f"http://127.0.0.1:{self.server_port}{self.path}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Door(http.server.BaseHTTPRequestHandler):
    server: _Once

    def do_GET(self) -> None:
        with self.server.lock:
            mine = _owner(self.client_address, self.connection.getsockname()) in _users()
            leads = mine and self.path == self.server.path and not self.server.gone.is_set()
            if leads:
                self.send_response(303)
                self.send_header("Location", self.server.url)
                self.send_header("Cache-Control", "no-store")
            else:
                self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            if leads:
                self.server.gone.set()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _users() -> set[int | None]:
    """The users to whom the address is given: this one, and root, who sees everything anyway; with sudo, who called it.

    Under WSL, root's program passes on what Windows' browser asks for.
    """
    users: set[int | None] = {os.getuid(), 0}
    if os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        users.add(int(os.environ["SUDO_UID"]))
    return users


def _owner(peer: tuple[str, int], here: tuple[str, int]) -> int | None:
    """The user whose program has the other end of a connection (proc_net_tcp(5)); where no such list is, this user."""
    tables = [table for name in ("tcp", "tcp6") if (table := Path("/proc/net", name)).exists()]
    if not tables:
        return os.getuid()
    # An IPv4 address in an IPv6 socket stands at the end.
    own, other = (f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}" for host, port in (peer, here))
    for table in tables:
        for line in table.read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(own) and fields[2].endswith(other):
                # A connection whose other end is closed already belongs to nobody, and says root.
                return int(fields[7]) if fields[3] == "01" and fields[9] != "0" else None
    return None
