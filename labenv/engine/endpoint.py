"""One address where a container engine may answer, and the result of asking there: a connection, or why there is none."""

import os
import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import docker
import requests
from docker.auth import AuthConfig
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig

from labenv.engine.errors import system_error
from labenv.engine.no_road import Kind, NoRoadError
from labenv.engine.road import SCHEME, Road
from labenv.engine.road_adapter import RoadAdapter
from labenv.errors import EngineError

# The docker SDK would use the newest API that a server offers, even one it does not know. 1.44 is the newest that both it
# and every engine from 25 on speak; 1.41 (Docker 20.10) brought the cgroup namespaces that the machines need.
_NEWEST = (1, 44)
_OLDEST = (1, 41)
_PROBE = 5  # seconds for the first answer: milliseconds are usual, a fully loaded engine needs more
_TIMEOUT = 120  # seconds for a request that does real work
_POOL = 256  # open connections, at least one for each thread that asks: of a class many come up at once
_LOOPBACK = re.compile(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?/*", re.IGNORECASE | re.ASCII)

DEFAULT_SOCKET = "var/run/docker.sock"


@dataclass(frozen=True)
class Endpoint:
    """Where an engine may answer. `source` describes it to a person; `chosen` means that no other engine may replace it.

    `ssh` are options of ssh_config(5) for one over ssh, besides the user's own settings.
    """

    url: str
    source: str
    chosen: bool = False
    tls: TLSConfig | None = None
    ssh: tuple[str, ...] = ()

    @property
    def socket(self) -> Path | None:
        """The path of a local socket, or None for an engine over the network."""
        scheme, _, rest = self.url.partition("://")
        return Path("/" + rest.lstrip("/")) if scheme == "unix" else None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the engine is on another computer for sure, so that its 127.0.0.1 is not this one's."""
        return self.road is not None or (not self.socket and not _LOOPBACK.fullmatch(self.url.partition("://")[2]))

    @property
    def road(self) -> Road | None:
        """The road to an engine over ssh, or None for another one."""
        return Road(self.url, self.ssh) if self.url.startswith(SCHEME) else None


@dataclass(frozen=True)
class Connection:
    """An engine that answers: the SDK's client, a description of where it was found, and its answer to /version."""

    client: docker.DockerClient
    source: str
    endpoint: Endpoint = field(repr=False)
    version: dict[str, Any] = field(repr=False)

    @property
    def is_local(self) -> bool:
        """Whether the engine runs on this kernel, not across a network or in a virtual machine."""
        return self.endpoint.socket is not None and self.version.get("KernelVersion") == platform.release()


@dataclass(frozen=True)
class Silence:
    """An endpoint where no usable engine answered, and why: `detail` ends a sentence about it. `mend` is the way out, if known."""

    endpoint: Endpoint
    kind: Kind
    detail: str
    mend: str = ""


def probe(endpoint: Endpoint) -> Connection | Silence:
    """Ask an endpoint for its version, within seconds.

    Raises EngineError if the engine that answers is too old or runs Windows containers.
    """
    if endpoint.socket and not os.path.exists(endpoint.socket):
        return Silence(endpoint, "absent", "does not exist")
    found = _asked(endpoint)
    if endpoint.road and isinstance(found, Silence) and not found.mend:  # it came to the other computer, or seemed to
        trouble = endpoint.road.trouble()
        if trouble is None:
            return _asked(endpoint)
        return found if (found.kind, trouble.kind) == ("mute", "odd") else _no_road(endpoint, trouble)
    return found


def _asked(endpoint: Endpoint) -> Connection | Silence:
    try:
        client = _client(endpoint, MINIMUM_DOCKER_API_VERSION, _PROBE)
    except (DockerException, ValueError) as error:
        return Silence(endpoint, "odd", f"cannot be used: {error}")
    try:
        version = client.api.version(api_version=False)
        pinned = _api(endpoint, version)
    except (APIError, requests.exceptions.RequestException, KeyError, TypeError, ValueError) as error:
        if isinstance(lost := system_error(error), NoRoadError):
            return _no_road(endpoint, lost)
        return _silence(endpoint, error)
    finally:
        client.close()
    return Connection(_client(endpoint, pinned, _TIMEOUT), endpoint.source, endpoint, version)


def _client(endpoint: Endpoint, version: str, timeout: int) -> docker.DockerClient:
    tls = endpoint.tls or False
    if road := endpoint.road:
        client = docker.DockerClient("unix:///over-ssh", version, timeout, max_pool_size=_POOL)
        client.api.mount("http+docker://", RoadAdapter(road, timeout, _POOL))
    else:
        client = docker.DockerClient(endpoint.url, version, timeout, tls=tls, max_pool_size=_POOL)
    # Nothing of labenv's needs a login. The SDK would ask the credential helpers of ~/.docker/config.json at each build, and
    # fail where one is missing (Docker Desktop's, under WSL); it has no switch for that, and reads the file again if this is empty.
    cast(Any, client.api)._auth_configs = AuthConfig({"auths": {"none.invalid": {}}})
    client.api.trust_env = not (endpoint.socket or road)  # otherwise each request looks for a proxy for a local socket
    return client


def _api(endpoint: Endpoint, version: dict[str, Any]) -> str:
    """The API version to use with an engine that gave this answer to /version."""
    server = _numbers(version["ApiVersion"])
    name = f"The engine at {endpoint.source} ({version.get('Version', 'of unknown version')})"
    if server < _OLDEST:
        raise EngineError(f"{name} speaks API {version['ApiVersion']}. labenv needs Docker 20.10 or newer (API 1.41).")
    if version.get("Os", "linux") != "linux":
        raise EngineError(f"{name} runs {version['Os']} containers. Switch Docker Desktop to Linux containers.")
    return "{}.{}".format(*max(min(server, _NEWEST), _numbers(version.get("MinAPIVersion") or "1.24")))


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _no_road(endpoint: Endpoint, error: NoRoadError) -> Silence:
    return Silence(endpoint, error.kind, error.detail, error.mend)


def _silence(endpoint: Endpoint, error: Exception) -> Silence:
    match error if isinstance(error, requests.exceptions.Timeout) else system_error(error):
        case PermissionError():
            return Silence(endpoint, "denied", "exists, but this user may not use it")
        case FileNotFoundError() | ConnectionRefusedError() if endpoint.socket:
            return Silence(endpoint, "absent", "exists, but no engine listens on it")
        case requests.exceptions.Timeout() | TimeoutError():
            return Silence(endpoint, "mute", f"does not answer within {_PROBE} seconds")
        case BlockingIOError():  # connect(2) fails with this at once when a local socket's queue is full
            return Silence(endpoint, "mute", "accepts no more connections")
        case OSError(strerror=str(reason)):
            return Silence(endpoint, "odd", f"cannot be reached: {reason}")
    return Silence(endpoint, "odd", "answers, but is not a container engine")
