"""The command line, killed at its n-th change of something on the engine; or the engine killed there.

    python -m tests.e2e.killed before|after N PID up asmith15

PID 0 is the command itself. Whoever is killed gets no chance to clean up. Nothing of labenv is another than it is: the
HTTP requests, with which it asks and changes all, are counted as they leave.
"""

import os
import signal
import sys
import threading
from typing import Any

import requests

_when, _number, _victim = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) or os.getpid()
_send = requests.Session.send
_one_by_one = threading.Lock()
_changes: list[str] = []


def _counted(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
    """Send a request; those that change something one after the other, so that a number is a place in the work."""
    if request.method == "GET" or "/exec" in str(request.url):
        return _send(self, request, **options)
    with _one_by_one:
        _changes.append(str(request.url))
        here = len(_changes) == _number
        if here and _when == "before":
            os.kill(_victim, signal.SIGKILL)
        answer = _send(self, request, **options)
        if here and _when == "after":
            os.kill(_victim, signal.SIGKILL)
        return answer


if __name__ == "__main__":
    requests.Session.send = _counted  # type: ignore[method-assign]
    sys.argv[1:] = sys.argv[4:]
    from labenv.cli import main

    try:
        main()
    finally:
        print(f"{len(_changes)} changes", file=sys.stderr)
