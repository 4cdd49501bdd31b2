"""The host name that a machine begins with, and which names a machine may ask for."""

import pytest

from labenv.engine.hostname import VALID
from labenv.lab import overlay


@pytest.mark.parametrize("name", ["vm2", "vm2.asmith15.ops", "localhost.localdomain", "VM-2.a.b", "x" * 63])
def test_a_name_that_an_engine_takes_is_valid(name: str) -> None:
    assert VALID.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", "vm2.", ".ops", "-vm2", "vm2-", "vm 2", "vm2\n", "vm_2", "a..b", "x" * 64, "vm2;id", "é"]
)
def test_others_are_not(name: str) -> None:
    assert not VALID.fullmatch(name)


def test_a_lab_gives_a_machine_another_name_to_begin_with_by_a_file() -> None:
    items = [overlay.Item("/etc/labenv/hosts", b"127.0.0.1 localhost\n", 0o644)]
    assert overlay.hostname(items) is None
    assert overlay.hostname([*items, overlay.Item(overlay.HOSTNAME, b"vm2\n", 0o644)]) == "vm2"
