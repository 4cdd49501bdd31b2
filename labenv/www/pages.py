"""What a web server answers: status, headers, and the beginning of the page."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from labenv.checks.evidence import CheckFailed
from labenv.text import decoded, one_line, shown
from labenv.www.calls import HTTP, HTTPS, Caller, connected

_LARGEST = 200_000  # bytes of a page that are read


@dataclass(frozen=True)
class Answer:
    """An answer to one request: `headers` by their names in lower case, of the page at most 200 kB, and the `cookies` that it sets."""

    status: int
    reason: str
    headers: dict[str, str]
    text: str
    cookies: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Its first line, and where it leads."""
        line = f"{self.status} {self.reason}".rstrip()
        return f"{line}, Location: {self.location}" if self.location else line

    @property
    def location(self) -> str:
        """The address that it leads to, if it does."""
        return self.headers.get("location", "")


class _Connection(http.client.HTTPConnection):
    """The library's client, on a connection that is there already."""

    def connect(self) -> None:
        """Nothing is left to do."""


def fetch(
    start: Caller,
    host: str,
    path: str = "/",
    *,
    name: str,
    tls: bool = False,
    port: int = 0,
    form: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
) -> Answer:
    """What the server at the address `host` answers about `path` of the site `name`, asked from inside a machine.

    With a `form`, that is sent (POST). It follows no redirection, and takes any certificate. Raises CheckFailed if there is no answer that
    is HTTP.
    """
    port = port or (HTTPS if tls else HTTP)
    method = "GET" if form is None else "POST"
    client = _Connection(name, HTTPS if tls else HTTP)
    client.sock = connected(start, host, port, name if tls else "")
    try:
        headers = {"User-Agent": "labenv", "Connection": "close"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{key}={value}" for key, value in cookies.items())
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        start.requested.append((host, f"{method} {path} HTTP/1.1"))
        client.request(method, path, None if form is None else urlencode(form), headers)
        answer = client.getresponse()
        body = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        said = shown(str(error)) or type(error).__name__
        raise CheckFailed(f"{host} port {port} gives {start.name} no answer in HTTP: {said}", "an answer") from error
    finally:
        client.close()
    lines = [(key.lower(), one_line(value)) for key, value in answer.getheaders()]
    pairs = [value.partition(";")[0].partition("=") for key, value in lines if key == "set-cookie"]
    given = {key.strip(): value.strip() for key, _, value in pairs}
    return Answer(answer.status, shown(answer.reason), dict(lines), decoded(body), given)
