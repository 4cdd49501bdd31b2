"""Finding the container engine: the one the user chose, else the first that answers, else one that can be started.

What the user chose (DOCKER_HOST, a docker context) is used, or refused by name. Only if nothing was chosen does labenv
look for an engine, and its events say which one it took.
"""

import sys
from collections.abc import Callable, Iterator

from docker.context import ContextAPI
from docker.utils import kwargs_from_env

from labenv.computer import Computer
from labenv.engine import advice
from labenv.engine.endpoint import DEFAULT_SOCKET, Connection, Endpoint, Silence, probe
from labenv.engine.start import start_engine
from labenv.errors import EngineError
from labenv.events import Event, Listener

__all__ = ["Connection", "connect", "reconnect"]


def connect(
    listen: Listener,
    *,
    start: bool = True,
    interactive: bool | None = None,
    confirm: Callable[[str], bool] | None = None,
    computer: Computer | None = None,
) -> Connection:
    """Return a connection to the engine that labenv is to use.

    With `start`, labenv starts an installed engine if none answers; as root on Debian and Ubuntu it also installs docker.io.
    In a terminal (`interactive`, found out from stdin if None) it asks `confirm` first, elsewhere it only says so.
    Raises EngineError with the way out for this computer.
    """
    computer = computer or Computer()
    if chosen := choice(computer):
        found = probe(chosen)
        if isinstance(found, Silence):
            raise advice.for_chosen(found, computer)
        return found

    silences: list[Silence] = []
    for endpoint in usual_places(computer):
        found = probe(endpoint)
        if isinstance(found, Connection):
            for silence in silences:
                message = f"{silence.endpoint.source} {silence.detail}; using {found.source} instead"
                listen(Event("engine", message, "warn"))
            return found
        if found.kind != "absent":
            silences.append(found)
    if silences:
        raise advice.for_silent(silences[0], computer)
    if not start:
        raise advice.for_none(computer)
    asking = sys.stdin.isatty() if interactive is None else interactive
    return start_engine(listen, computer, confirm if asking else None, may_install=not asking or confirm is not None)


def reconnect(endpoint: Endpoint) -> Connection:
    """A connection of one's own to an engine that has answered before. Raises EngineError if it does not now."""
    found = probe(endpoint)
    if isinstance(found, Silence):
        raise advice.for_chosen(found, Computer())
    return found


def choice(computer: Computer) -> Endpoint | None:
    """The endpoint that the user chose, by the rules of docker's own command: DOCKER_HOST, then the current context.

    Raises EngineError if the chosen context or its TLS files cannot be read.
    """
    environ = dict(computer.environ)
    try:
        if url := environ.get("DOCKER_HOST"):
            return Endpoint(url, f"DOCKER_HOST={url}", chosen=True, tls=kwargs_from_env(environ).get("tls"))
        context = ContextAPI.get_context(environ.get("DOCKER_CONTEXT"))
    except Exception as error:
        raise EngineError(
            f"Docker's client settings cannot be read: {error}. Fix or unset DOCKER_HOST, DOCKER_CERT_PATH and "
            f"DOCKER_CONTEXT, or choose another context with `docker context use default`."
        ) from error
    if context is None or not context.Host:
        named = environ.get("DOCKER_CONTEXT") or "named in ~/.docker/config.json"
        raise EngineError(
            f"There is no docker context '{named}'. `docker context ls` lists the existing ones; "
            f"choose one with `docker context use NAME`, or unset DOCKER_CONTEXT."
        )
    if context.name == "default":
        return None
    return Endpoint(context.Host, f"docker context '{context.name}'", chosen=True, tls=context.TLSConfig)


def usual_places(computer: Computer) -> Iterator[Endpoint]:
    """The sockets where an engine may answer if the user chose none, the likeliest first."""
    home, runtime = computer.environ.get("HOME"), computer.environ.get("XDG_RUNTIME_DIR")
    places = [
        ("Docker's socket", str(computer.root / DEFAULT_SOCKET)),
        ("rootless Docker's socket", f"{runtime}/docker.sock" if runtime else ""),
        ("Docker Desktop's socket", f"{home}/.docker/run/docker.sock" if home else ""),
        ("Docker Desktop's socket", f"{home}/.docker/desktop/docker.sock" if home else ""),
        ("Podman's socket", f"{runtime}/podman/podman.sock" if runtime else ""),
        ("Podman's socket", str(computer.root / "run/podman/podman.sock")),
    ]
    for word, path in places:
        if path:
            yield Endpoint(f"unix://{path}", f"{word} {path}")
