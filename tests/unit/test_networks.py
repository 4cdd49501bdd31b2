"""Which networks are taken, from tables as the kernel prints them."""

import socket
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from struct import unpack
from typing import Any

import pytest

from labenv.computer import Computer
from labenv.environments.networks import free_x, port_in_use, taken, uplink_mtu, wide_routes


def nobody(_: int) -> bool:
    return False


HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT"


def row(device: str, network: str, gateway: str = "0.0.0.0", metric: int = 0) -> str:
    def number(address: IPv4Address) -> str:
        return f"{unpack('=I', address.packed)[0]:08X}"

    where = IPv4Network(network)
    fields = [device, number(where.network_address), number(IPv4Address(gateway)), "0003", "0", "0", str(metric)]
    return "\t".join([*fields, number(where.netmask), "0", "0", "0"])


def computer(root: Path, *rows: str, addresses: str = "", servers: str = "") -> Computer:
    (root / "proc/net").mkdir(parents=True)
    (root / "proc/net/route").write_text("\n".join([HEAD, *rows]) + "\n")
    (root / "proc/net/fib_trie").write_text(addresses)
    (root / "etc").mkdir()
    (root / "etc/resolv.conf").write_text(servers)
    return Computer(root)


def network(name: str, *subnets: str, **labels: str) -> dict[str, Any]:
    return {"Name": name, "IPAM": {"Config": [{"Subnet": s} for s in subnets]}, "Labels": labels}


def test_a_computer_far_from_192_168_takes_nothing(tmp_path: Path) -> None:
    far = computer(tmp_path, row("eth0", "0.0.0.0/0", "10.0.0.1"), row("eth0", "10.0.0.0/24"))
    assert taken([network("bridge", "172.17.0.0/16", "fd00::/64"), network("none")], far).by_x == {}


def test_the_engines_networks_are_named() -> None:
    own = {"labenv.student": "jdoe"}
    listed = [network("labenv-jdoe", "192.168.90.0/24", **own), network("home", "192.168.16.0/22"), network("n", "")]
    found = taken(listed, None).by_x
    assert found[90] == "the environment of jdoe"
    assert {x: found[x] for x in (16, 17, 18, 19)} == dict.fromkeys(range(16, 20), "the engine's network 'home'")
    assert len(found) == 5


def test_an_environments_bridge_is_attributed_to_its_student(tmp_path: Path) -> None:
    here = computer(tmp_path, row("br-0123", "192.168.90.0/24"))
    own = {"labenv.student": "jdoe"}
    assert taken([network("labenv-jdoe", "192.168.90.0/24", **own)], here).by_x == {90: "the environment of jdoe"}


def test_routes_and_narrow_ones_take_their_x(tmp_path: Path) -> None:
    here = computer(
        tmp_path, row("wlan0", "192.168.1.0/24"), row("tun0", "192.168.7.8/32"), row("eth1", "192.168.8.0/23")
    )
    found = taken([], here).by_x
    assert sorted(found) == [1, 7, 8, 9]
    assert found[1] == "this computer's route to 192.168.1.0/24 through wlan0"


@pytest.mark.parametrize("wide", ["192.168.0.0/16", "192.0.0.0/8"])
def test_a_vpn_over_everything_leaves_all_but_the_needed_parts(tmp_path: Path, wide: str) -> None:
    here = computer(
        tmp_path,
        row("eth0", "0.0.0.0/0", "192.168.3.1"),
        row("tun0", wide),
        addresses="Local:\n     |-- 192.168.44.5\n        /32 host LOCAL\n",
        servers="search x\nnameserver 192.168.10.53\nnameserver ::1\nnameserver\n",
    )
    assert taken([], here).by_x == {
        3: "this computer's gateway 192.168.3.1",
        10: "this computer's name server 192.168.10.53",
        44: "this computer's own address 192.168.44.5",
    }
    assert [str(route.destination) for route in wide_routes(here)] == [wide]


def test_default_routes_and_a_vpns_two_halves_are_none(tmp_path: Path) -> None:
    here = computer(
        tmp_path, row("tun0", "0.0.0.0/1", "10.8.0.1"), row("tun0", "128.0.0.0/1", "10.8.0.1"), row("e", "0.0.0.0/0")
    )
    assert taken([], here).by_x == {}
    assert wide_routes(here) == []


def test_without_tables_nothing_is_known(tmp_path: Path) -> None:
    assert taken([], Computer(tmp_path)).by_x == {}
    assert uplink_mtu(Computer(tmp_path)) is None


def test_the_next_free_x_goes_round() -> None:
    assert free_x(nobody, 90) == 91
    assert free_x({91, 92}.__contains__, 90) == 93
    assert free_x(nobody, 251) == 2
    assert free_x(nobody, 0) in range(2, 252)
    assert free_x(nobody, 255) in range(2, 252)
    assert free_x(lambda x: x != 90, 90) == 90
    assert free_x(lambda _: True, 90) is None


def test_the_mtu_is_that_of_the_default_route_that_wins(tmp_path: Path) -> None:
    rows = row("wlan0", "0.0.0.0/0", "10.0.0.1", 600), row("eth0", "0.0.0.0/0", "10.0.1.1", 100)
    here = computer(tmp_path, *rows)
    assert uplink_mtu(here) is None
    for device, mtu in (("wlan0", "1500"), ("eth0", "1400")):
        (tmp_path / "sys/class/net" / device).mkdir(parents=True)
        (tmp_path / "sys/class/net" / device / "mtu").write_text(f"{mtu}\n")
    assert uplink_mtu(here) == 1400


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_is_in_use_while_a_program_has_it(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as program:
        program.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            program.listen()
        number = program.getsockname()[1]
        assert port_in_use(number)
    assert not port_in_use(number)


def test_an_x_is_one_environments_whatever_addresses_its_networks_have() -> None:
    own = {"labenv.student": "jdoe", "labenv.x": "90"}
    there = taken(
        [network("labenv-jdoe", "10.90.1.0/24", **own), network("labenv-jdoe.dmz", "10.90.2.0/24", **own)], None
    )
    assert there.of(90, [IPv4Network("192.168.90.0/24")]) == "the environment of jdoe"
    assert there.of(91, [IPv4Network("192.168.91.0/24"), IPv4Network("10.90.0.0/16")]) == "the environment of jdoe"
    assert there.of(91, [IPv4Network("10.91.1.0/24")]) == ""
    assert there.by_x == {90: "the environment of jdoe"}
