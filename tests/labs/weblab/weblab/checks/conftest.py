"""The fixtures of this lab's checks: its machine, and the name of the site."""

import pytest

from labenv.checks.plugin import machine_fixture

web = machine_fixture("web")


@pytest.fixture(scope="session")
def site_name(domain: str) -> str:
    """The name under which the site is asked for."""
    return f"www.{domain}"
