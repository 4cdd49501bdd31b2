"""Where a class's page is, for browsers and for its teacher."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labenv.classroom.folder import records
from labenv.classroom.folder.model import Class
from labenv.errors import UsageError
from labenv.web.access import ENTER

_LINK = "teacher_link"


@dataclass(frozen=True)
class Where:
    """Where the page is: `listener` has its port, `origins` are the addresses under which browsers ask for it, the first to be told."""

    listener: socket.socket
    origins: tuple[str, ...]
    is_proxied: bool

    @property
    def is_secure(self) -> bool:
        """Whether browsers ask for it over TLS."""
        return self.origins[0].startswith("https://")


@contextmanager
def opened(address: str, port: int, origin: str) -> Iterator[Where]:
    """A port for the page, during the block. `origin` is the address outside, "" for the same one.

    Raises UsageError if the port cannot be had, or nobody can know under which address the page is asked for.
    """
    if not origin and address in ("0.0.0.0", "::"):
        raise UsageError(
            f"On {address} the page has many addresses. Say by which one browsers ask for it: --origin http://lab.example.org:{port}"
        )
    try:
        listener = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as error:
        raise UsageError(
            f"The page cannot listen on port {port} of {address}: {error.strerror}. Choose another one: --page-port; or serve "
            "without it: --no-page"
        ) from error
    with listener:
        port = listener.getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        own = [f"http://{host}:{port}", *([f"http://localhost:{port}"] if is_local(address) else [])]
        yield Where(listener, (origin,) if origin else tuple(own), bool(origin))


def is_local(address: str) -> bool:
    """Whether only this computer reaches what listens there."""
    return address.startswith("127.") or address in ("::1", "localhost")


def token(of: Class, origin: str) -> str:
    """The token of the teacher's link, which the records keep for the next server: it is in the file `teacher_link`, for the teacher alone.

    Raises UsageError if it cannot be kept.
    """
    file = link_file(of)
    try:
        _, _, known = file.read_text(encoding="utf-8").strip().partition("?token=")
    except (OSError, ValueError):
        known = ""
    known = known or secrets.token_urlsafe(24)
    records.write(file, f"{origin}{ENTER}?token={known}\n")
    return known


def link_file(of: Class) -> Path:
    """Where the teacher's link is."""
    return records.place(of, _LINK)
