"""Asking the keeper, from a supervisor or a warden."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests

from labenv.errors import EngineError, LabenvError, UsageError
from labenv.swarm import setup, words
from labenv.swarm.leases import Gone
from labenv.text import one_line

T = TypeVar("T")
_TIMEOUT = (5, 60)  # seconds to connect, and for an answer
_PAUSE = 1.0


class Keeper:
    """The keeper of this swarm."""

    def __init__(self, url: str, certificate: Path, token: str) -> None:
        """Ask nothing yet."""
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy
        self._session.verify = str(certificate)
        self._session.headers["Authorization"] = f"Bearer {token}"

    def say(self, what: str, **told: Any) -> dict[str, Any]:
        """Tell the keeper something, and return its answer.

        Raises Gone if another node has the environment, UsageError for what it refuses, EngineError if it does not answer, LabenvError.
        """
        answer: dict[str, Any] = self._ask("POST", f"/{what}", json=told).json()
        return answer

    def copy(self, student_id: str, stamp: str) -> bytes:
        """A copy, packed. Raises as `say` does."""
        return self._ask("GET", f"/copies/{student_id}/{stamp}").content

    def push(self, student_id: str, stamp: str, data: bytes, generation: int) -> None:
        """Send the newest copy of an environment. Raises as `say` does."""
        self._send(student_id, stamp, data, generation=generation)

    def push_aside(self, student_id: str, stamp: str, data: bytes, node: str) -> None:
        """Send a copy of what was found on a node that had lost the environment, to be kept as a save. Raises as `say` does."""
        self._send(student_id, stamp, data, **{"from": node})

    def _send(self, student_id: str, stamp: str, data: bytes, **told: str | int) -> None:
        if len(data) > words.LARGEST:  # the keeper would hang up while it is sent
            raise UsageError(
                f"{student_id}'s machines have changed so much that a copy has {len(data) / 1e6:.0f} MB; the keeper takes "
                f"{words.LARGEST / 1e6:.0f}."
            )
        self._ask("PUT", f"/copies/{student_id}/{stamp}", params=told, data=data)

    def _ask(self, how: str, path: str, **more: Any) -> requests.Response:
        try:
            answer = self._session.request(how, self._url + path, timeout=_TIMEOUT, **more)
        except OSError as error:  # of requests', and of a certificate that is no file
            raise EngineError(f"The keeper at {self._url} does not answer ({type(error).__name__}).") from error
        if answer.ok:
            return answer
        try:
            sentence = one_line(str(answer.json()["error"]))
        except (ValueError, LookupError, TypeError):
            sentence = f"The keeper at {self._url} answered {answer.status_code}."
        if answer.status_code == requests.codes.conflict:
            raise Gone(sentence)
        raise (UsageError if answer.status_code < requests.codes.server_error else LabenvError)(sentence)


def of_service() -> Keeper:
    """The keeper, as a service of the swarm knows it. Raises EngineError if this is none."""
    secrets = Path(words.SECRETS)
    try:
        token = (secrets / words.TOKEN).read_text(encoding="utf-8").strip()
        return Keeper(os.environ[words.KEEPER], secrets / words.CERTIFICATE, token)
    except (OSError, LookupError) as error:
        raise EngineError("This runs as a service of a swarm: see labenv swarm init.") from error


def of_manager() -> Keeper:
    """The keeper, as the manager's user knows it. Raises EngineError if this computer manages no swarm of labenv's."""
    token = setup.content(words.TOKEN).decode().strip()
    return Keeper(setup.keeper_url(), setup.folder() / words.CERTIFICATE, token)


def patiently(work: Callable[[], T], seconds: float) -> T:
    """Do something that asks the keeper, again while the keeper does not answer, for so long. Raises as `work` does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except EngineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
