"""A student at work."""

from dataclasses import dataclass, field
from typing import Any

from tests.e2e.conftest import Cli
from tests.e2e.terminal import Open, Terminal


@dataclass
class Sitting:
    """A student, with a terminal for each machine, which is opened when it is used."""

    cli: Cli
    opens: Open
    student: str
    there: dict[str, Any] = field(init=False)
    terminals: dict[str, Terminal] = field(init=False)

    def __post_init__(self) -> None:
        self.sit_down()

    def sit_down(self) -> None:
        """Begin with new terminals, as machines were rebooted, or there are more of them now."""
        [self.there] = self.cli.json("status", "-s", self.student)["environments"]
        self.terminals = {}

    @property
    def domain(self) -> str:
        """The student's own domain."""
        return str(self.there["domain"])

    @property
    def password(self) -> str:
        """The password of all accounts."""
        return str(self.there["password"])

    @property
    def network(self) -> str:
        """The first three numbers of all addresses."""
        return str(self.there["network"]).removesuffix(".0/24")

    def port(self, machine: str, of: int) -> int:
        """Where a port of a machine is on 127.0.0.1."""
        [found] = [one for one in self.there["machines"] if one["name"] == machine]
        return int(found["published"][str(of)])

    def _terminal(self, machine: str) -> Terminal:
        if machine not in self.terminals:
            self.terminals[machine] = self.opens(self.student, machine)
        return self.terminals[machine]

    @property
    def host(self) -> Terminal:
        """A root shell on it."""
        return self._terminal("host")

    @property
    def vm1(self) -> Terminal:
        """A root shell on it."""
        return self._terminal("vm1")

    @property
    def vm2(self) -> Terminal:
        """A root shell on it."""
        return self._terminal("vm2")

    @property
    def vm3(self) -> Terminal:
        """A root shell on it."""
        return self._terminal("vm3")
