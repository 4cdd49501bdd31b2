"""Where an environment's services answer, seen from where labenv runs.

The engine publishes ports on 127.0.0.1 of its own computer. labenv may run elsewhere, with the engine's socket at hand: in a
container of that engine (a devcontainer, Codespaces, a job of a CI), or at the other end of a tunnel. That is found out without
a connection, which the student's logs would show.
"""

import ipaddress
import socket
from typing import Literal

from labenv.computer import Computer
from labenv.environment import Environment, Machine
from labenv.environments.networks import port_in_use

HERE = "127.0.0.1"
_DISCARD = 9  # no datagram is sent there


class Reach:
    """How this process reaches the services of one environment."""

    def __init__(self, environment: Environment) -> None:
        """Find it out."""
        self._environment = environment
        self.way = _way(environment)

    def service(self, machine: Machine, port: str) -> tuple[str, int] | None:
        """The address and port where a published port of a machine ("25") answers; None if it does not run."""
        published = machine.published.get(port)
        if published is None:
            return None
        return (machine.address, int(port)) if self.way == "lan" else (HERE, published)

    @property
    def note(self) -> str:
        """What a person has to know if the services are not on this computer's 127.0.0.1, and the way out; empty if they are."""
        if self._environment.pools:
            return (
                "Another environment has the same X, so this one publishes no ports. To reach them from here: "
                f"labenv tunnel -s {self._environment.student.id}"
            )
        if self.way == "published":
            return ""
        if self.way == "lan":
            return "The engine's 127.0.0.1 is not this one. From here, the machines answer on their own addresses and ports."
        there = (
            "127.0.0.1 here means the engine's computer, whose own programs reach these ports. labenv's commands work"
        )
        if self._environment.elsewhere:
            return f"{there}. To reach them from here: labenv tunnel -s {self._environment.student.id}"
        if Computer().is_container:
            own = f"docker network connect {self._environment.network_name} {socket.gethostname()}"
            return f"{there}; for other programs in this container: {own}"
        return f"{there}; for other programs on this computer, forward each port: ssh -L PORT:127.0.0.1:PORT THERE"


def _way(environment: Environment) -> Literal["published", "lan", "none"]:
    published = {port for machine in environment.machines for key, port in machine.published.items() if "/" not in key}
    if published and environment.elsewhere:
        return "none"
    # An engine holds each port that it publishes, even where the kernel alone passes packets on.
    if not published or any(map(port_in_use, published)):
        return "published"
    return "lan" if _is_in(environment) else "none"


def _is_in(environment: Environment) -> bool:
    """Whether this computer, or container, has an address in the environment's network."""
    with socket.socket(type=socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((environment.machines[0].address, _DISCARD))
        except OSError:  # there is no route
            return False
        return ipaddress.ip_address(trial.getsockname()[0]) in environment.subnet
