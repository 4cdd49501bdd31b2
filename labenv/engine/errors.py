"""What an engine refuses, in words: what labenv was doing, and the way out where one is known."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import docker.errors
import requests

from labenv.engine.no_road import NoRoadError
from labenv.errors import EngineError

# The kernel says the same of a full disk and of limits of its own.
_FULL = re.compile(r"^(?!.*(namespace|unshare|clone|inotify|cgroup)).*no space left", re.IGNORECASE)


class NetworkTaken(EngineError):
    """Another network of the engine or a route of this computer has the addresses of one of the lab's networks."""


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """Turn what the docker SDK raises during the block into an EngineError that says what labenv was doing."""
    try:
        yield
    except docker.errors.APIError as error:
        raise EngineError(_refusal(doing, error)) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        if isinstance(lost := system_error(error), NoRoadError):
            raise EngineError(f"The engine stopped answering while {doing}: its computer {lost}") from error
        raise EngineError(
            f"The engine stopped answering while {doing}. Start it again and repeat the command: nothing is lost. "
            f"`labenv doctor` says what is wrong. ({type(error).__name__})"
        ) from error


def _refusal(doing: str, error: docker.errors.APIError) -> str:
    text = " ".join(str(error.explanation or error).split())
    if _FULL.search(text):  # in the middle of what, and in which of its files, is of no use, and differs each time
        return "The disk is full where the engine keeps its data: free some space (`labenv images remove --old`) and repeat the command."
    return f"The engine refused while {doing}: {_plain(text)}"


def _plain(text: str) -> str:
    if re.search(r"no space left.*(namespace|unshare|clone)|(namespace|unshare|clone).*no space left", text):
        return f"{text}. The kernel allows no more namespaces (namespaces(7), user.max_net_namespaces): sysctl -a | grep '^user.max'"
    if "quota exceeded" in text and "keyring" in text:
        return f"{text}. The kernel allows this user no more keys (keyrings(7)): sysctl -w kernel.keys.maxkeys=2000"
    if "port is already allocated" in text or "address already in use" in text:
        return f"{text}. Another program listens on that port of 127.0.0.1: stop that program, or choose another --net."
    return text if text.endswith(".") else text + "."


def system_error(error: BaseException) -> OSError | None:
    """The operating system's own error inside those that urllib3 and requests have wrapped around it."""
    inner = [error.__cause__, error.__context__, getattr(error, "reason", None), *error.args]
    for candidate in inner:
        if isinstance(candidate, OSError) and not isinstance(candidate, requests.exceptions.RequestException):
            return candidate
        if isinstance(candidate, BaseException) and (found := system_error(candidate)):
            return found
    return None
