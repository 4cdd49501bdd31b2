"""The machines, as the checks ask for them by name."""

from labenv.checks.plugin import machine_fixture

extra = machine_fixture("extra")
