"""The fixtures of this lab's checks: its machines, and its probes."""

from labenv.checks.plugin import machine_fixture
from labenv.labs.lab7.checks.probes import *  # noqa: F403  # pytest finds fixtures by their names here

host = machine_fixture("host")
vm1 = machine_fixture("vm1")
vm2 = machine_fixture("vm2")
vm3 = machine_fixture("vm3")
