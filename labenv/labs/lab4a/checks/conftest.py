"""The fixtures of this lab's checks: its machines, and its probes."""

from labenv.checks.plugin import machine_fixture
from labenv.labs.lab4a.checks.probes import *  # noqa: F403  # pytest finds fixtures by their names here

host = machine_fixture("host")
vm2 = machine_fixture("vm2")
vm3 = machine_fixture("vm3")
