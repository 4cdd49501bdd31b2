"""The kernel's tables of sockets and processes, as the checks read them."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from labenv.checks import kernel
from labenv.checks.kernel import End, Process, Socket
from labenv.checks.machine import Machine

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def row(near: str, far: str, state: str, inode: str) -> str:
    return (
        f"   0: {near} {far} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
    )


def machine(*tables: str, address: str = "192.168.5.4", census: str = "") -> Machine:
    """A machine whose kernel says these tables, one after the other."""
    said = iter(tables)
    run = lambda _: SimpleNamespace(stdout=next(said).encode())  # noqa: E731
    once = lambda what: SimpleNamespace(stdout=census if "census" in what else tables[0])  # noqa: E731
    told: Any = SimpleNamespace(address=address, channel=SimpleNamespace(run=run), once=once, has_tools=bool(census))
    return cast(Machine, told)


def test_listeners_are_told_with_their_addresses() -> None:
    table = (
        HEAD
        + row("00000000:008F", "00000000:0000", "0A", "11")
        + row("0100007F:0019", "00000000:0000", "0A", "12")
        + row("0405A8C0:008F", "0105A8C0:C350", "01", "13")
        + HEAD
        + row("00000000000000000000000000000000:008F", "00000000000000000000000000000000:0000", "0A", "14")
        + row("00000000000000000000000001000000:0019", "00000000000000000000000000000000:0000", "0A", "15")
    )
    assert kernel.listeners(machine(table)) == [
        Socket(End("0.0.0.0", 143), None, "11"),
        Socket(End("127.0.0.1", 25), None, "12"),
        Socket(End("[::]", 143), None, "14"),
        Socket(End("[::1]", 25), None, "15"),
    ]


def test_the_tool_for_sockets_is_read_as_the_kernels_own_tables_are() -> None:
    said = "0: 00000000:008F 00000000:0000 0A - - - 0 - 11\n0: 0405A8C0:008F 0105A8C0:C350 01 - - - 0 - 13\n"
    assert kernel.listeners(machine(said)) == [Socket(End("0.0.0.0", 143), None, "11")]


START = row("0105A8C0:C350", "0405A8C0:008F", "01", "1")
END = row("0405A8C0:008F", "0105A8C0:C350", "01", "2")
MAPPED = row("0000000000000000FFFF00000405A8C0:008F", "0000000000000000FFFF00000105A8C0:C350", "01", "2")
REDIRECTED = row("0405A8C0:0477", "0105A8C0:C350", "01", "2")


@pytest.mark.parametrize(
    ("start", "end", "astray"),
    [
        ([START], [END], False),
        ([START], [MAPPED], False),
        ([START, START], [REDIRECTED, REDIRECTED], True),
        ([START, START], ["", ""], True),
        ([START, START], ["", END], False),  # it has only just come in
        ([START, ""], ["", ""], False),  # it has just ended
        ([""], [""], False),
    ],
)
def test_a_connection_that_ends_elsewhere_is_astray(start: list[str], end: list[str], astray: bool) -> None:
    assert kernel.astray(machine(*start, address="192.168.5.1"), machine(*end), 143) is astray


def test_processes_are_told_with_their_units_programs_and_sockets() -> None:
    census = (
        "1\t\t/usr/lib/systemd/systemd\t7 8 \n17\tdovecot.service\t/usr/sbin/dovecot\t11 14 \n24\tpostfix.service\t\t\n"
    )
    assert kernel.processes(machine("", census=census)) == [
        Process(1, "", "/usr/lib/systemd/systemd", frozenset({"7", "8"})),
        Process(17, "dovecot.service", "/usr/sbin/dovecot", frozenset({"11", "14"})),
        Process(24, "postfix.service", "", frozenset()),
    ]


def test_a_machine_without_tools_tells_no_processes() -> None:
    assert kernel.processes(machine("")) == []
