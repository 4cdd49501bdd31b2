"""The command line, killed at its n-th change on the engine; or the engine killed at that point.

    python -m tests.e2e.killed before|after N PID up asmith15
    python -m tests.e2e.killed before|after commit:2 PID save -s asmith15

`commit:2` is the second change whose request has `commit` in its method and path, however many others came before. PID 0
is the command itself. The killed process gets no chance to clean up. labenv itself is not changed: its HTTP requests, by
which it reads and changes everything, are counted as they are sent.
"""

import os
import re
import signal
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

import requests

_when, _victim = sys.argv[1], int(sys.argv[3]) or os.getpid()
_kind, _, _number = sys.argv[2].rpartition(":")
_send = requests.Session.send
_one_by_one = threading.Lock()
_changes: list[str] = []


def _counted(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
    """Send a request; requests that change something are sent one after the other, so that a number identifies a point."""
    if request.method == "GET" or "/exec" in str(request.url):
        return _send(self, request, **options)
    with _one_by_one:
        change = f"{request.method} {re.sub('^/v[0-9.]+', '', urlsplit(str(request.url)).path)}"
        _changes.append(change)
        here = _kind in change and len([one for one in _changes if _kind in one]) == int(_number)
        if here and _when == "before":
            os.kill(_victim, signal.SIGKILL)
        answer = _send(self, request, **options)
        if here and _when == "after":
            os.kill(_victim, signal.SIGKILL)
        return answer


if __name__ == "__main__":
    requests.Session.send = _counted  # type: ignore[method-assign]
    sys.argv[1:] = sys.argv[4:]
    from labenv.cli import run

    try:
        sys.exit(run())
    finally:
        print(f"{len(_changes)} changes", file=sys.stderr)
