"""The machines, as the checks ask for them by name."""

from labenv.checks.plugin import machine_fixture

desk, router, web = (machine_fixture(name) for name in ("desk", "router", "web"))
