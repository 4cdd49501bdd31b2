"""Off the lab's roads nothing moves: what root in a machine tries, with any address, route or frame, reaches nobody else.

Each test has a control: a packet that must arrive, so that a deaf listener cannot pass for a wall.
"""

import os
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from labenv.checks.machine import Site
from labenv.engine import Engine
from labenv.engine.labels import environment_labels
from labenv.environments.plan import Request, new_plan
from labenv.events import silent
from labenv.lab.topology import port_at
from tests.e2e.conftest import Cli

BROADCAST, GROUP, LOOPBACK, REST = "255.255.255.255", "224.0.0.251", "127.0.0.1", "203.0.113.9"
# Sends frames, given in hexadecimal, as they are (packet(7)): that is all that root in a machine can do.
SEND = """
    socket my $out, 17, 3, 0 or die "$!";
    open my $in, "<", "/sys/class/net/eth0/ifindex" or die "$!";
    my $to = pack "SnlSCCa8", 17, 0x0800, <$in>, 0, 0, 6, "";
    for (@ARGV) { send $out, pack("H*", $_), 0, $to or die "$!" }
"""


class Ears:
    """Listens on one port of all addresses of this computer, UDP and TCP, IPv4 and IPv6; what was `heard` first is b""."""

    def __init__(self, interface: str) -> None:
        self.heard: set[bytes] = set()
        self._udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._udp.bind(("::", 0))
        self.port = self._udp.getsockname()[1]
        here = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex(interface))
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, here)
        self._tcp = socket.create_server(("::", self.port), family=socket.AF_INET6, dualstack_ipv6=True)
        for listen in (self._take_datagrams, self._take_connections):
            threading.Thread(target=listen, daemon=True).start()

    def _take_datagrams(self) -> None:
        while data := self._udp.recv(2000):
            self.heard.add(data)

    def _take_connections(self) -> None:
        while True:
            connection, (peer, *_) = self._tcp.accept()
            connection.close()
            self.heard.add(f"a connection from {peer}".encode())

    def after(self, send: Callable[[], Any]) -> set[bytes]:
        """What is heard of `send`, up to a datagram that this computer sends itself afterwards."""
        self.heard.clear()
        send()
        control = secrets.token_bytes(8)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(control, (LOOPBACK, self.port))
        deadline = time.monotonic() + 10
        while control not in self.heard:
            assert time.monotonic() < deadline, "the listener is deaf"
            time.sleep(0.01)
        return self.heard - {control}


@dataclass
class Lab:
    """An environment whose root is up to something, and this computer as it sees it."""

    cli: Cli
    site: Site
    x: int
    interface: str
    ears: Ears

    @property
    def gateway(self) -> str:
        """This computer's address in the lab."""
        return f"192.168.{self.x}.254"

    @property
    def mac(self) -> str:
        """The hardware address of this computer in the lab."""
        return Path(f"/sys/class/net/{self.interface}/address").read_text().strip().replace(":", "")

    def run(self, machine: str, script: str) -> str:
        """Run a script as root in a machine."""
        return str(self.site[machine].run(script).stdout)

    def emit(self, machine: str, *frames: bytes) -> None:
        """Have a machine send frames as they are."""
        done = self.site[machine].run(f"perl -e '{SEND}' {' '.join(frame.hex() for frame in frames)}")
        assert done.rc == 0, done.stderr

    def datagram(
        self,
        source: str,
        target: str,
        data: bytes,
        *,
        mac: str = "",
        ports: tuple[int, int] | None = None,
        options: bytes = b"",
    ) -> bytes:
        """A frame with a UDP datagram, for this computer unless another hardware address is given."""
        if target in (BROADCAST, GROUP):
            mac = "ff" * 6 if target == BROADCAST else "01005e0000fb"
        here = bytes.fromhex(mac or self.mac) + bytes.fromhex("02deadbeef01")
        from_, to = ports or (4444, self.ears.port)
        udp = struct.pack(">HHHH", from_, to, 8 + len(data), 0) + data
        if ":" in target:
            ends = IPv6Address(source).packed + IPv6Address(target).packed
            total = ends + struct.pack(">IxxxB", len(udp), 17) + udp
            udp = udp[:6] + struct.pack(">H", _sum(total)) + data
            return here + struct.pack(">HIHBB", 0x86DD, 6 << 28, len(udp), 17, 64) + ends + udp
        size = 20 + len(options)
        head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, size + len(udp), 1, 0, 64, 17, 0)
        head += IPv4Address(source).packed + IPv4Address(target).packed + options
        return here + b"\x08\x00" + head[:10] + struct.pack(">H", _sum(head)) + head[12:] + udp


def _sum(data: bytes) -> int:
    """The checksum of the Internet's protocols (RFC 1071)."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def own_address() -> str:
    """This computer's address towards the world."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.connect(("198.51.100.1", 9))  # sends nothing
        return str(trial.getsockname()[0])


def device_of(network: str) -> str:
    """The device of this computer's route to a network; the default route's is that of 0.0.0.0/0."""
    rows = (line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:])
    found = {
        str(
            IPv4Network(
                (int(row[1], 16).to_bytes(4, "little"), str(IPv4Address(int(row[7], 16).to_bytes(4, "little"))))
            )
        ): row[0]
        for row in rows
    }
    return found[network]


@pytest.fixture(scope="module")
def lab(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[Lab]:
    """An environment of the module's own: its tests change addresses and routes, and put nothing back."""
    if not engine.is_local or engine.facts.rootless or engine.facts.desktop:
        pytest.skip("the engine's computer is not this one")
    made = cli.json("up", new_student(), "--at", "lab4a", "--no-check")
    device = device_of(made["network"])
    site = Site(engine, engine.environments(made["student"])[0])
    yield Lab(cli, site, int(made["network"].split(".")[2]), device, Ears(device))
    site.close()


def test_nothing_reaches_the_computer_by_its_addresses(lab: Lab, engine: Engine) -> None:
    bridge = engine.api.inspect_network("bridge")["IPAM"]["Config"][0].get("Gateway", lab.gateway)
    targets = {lab.gateway, bridge, own_address()}

    sources = (f"192.168.{lab.x}.3", REST)

    def connect() -> None:
        lab.run("vm2", f"ip address add {REST}/32 dev eth0; ip route replace default via {lab.gateway}")
        tries = [f"-w 1 -s {source} {target} {lab.ears.port}" for source in sources for target in targets]
        lab.run("vm2", "".join(f"nc -z {words} & echo there | nc -u {words} & " for words in tries) + "wait")

    assert lab.ears.after(connect) == set()


def test_nothing_reaches_the_computer_by_a_forged_frame(lab: Lab) -> None:
    link = next(
        str(IPv6Address(bytes.fromhex(words[0])))
        for words in map(str.split, Path("/proc/net/if_inet6").read_text().splitlines())
        if words[5] == lab.interface
    )
    local, mine = f"192.168.{lab.x}.3", own_address()
    frames = [
        lab.datagram(source, target, f"{source} to {target}".encode())
        for target in (lab.gateway, mine, BROADCAST, f"192.168.{lab.x}.255", GROUP, LOOPBACK)
        for source in (local, REST, "0.0.0.0", LOOPBACK, mine)
    ]
    frames += [lab.datagram("fe80::9", to, f"fe80::9 to {to}".encode()) for to in (link, "ff02::1")]
    assert lab.ears.after(lambda: lab.emit("vm2", *frames)) == set()


def test_a_conversation_of_two_machines_is_not_taken_for_the_computers(lab: Lab) -> None:
    """vm3 has the computer's address, and vm2 answers it: so the kernel, if it filters bridges, knows a conversation."""
    mine, vm2 = own_address(), f"192.168.{lab.x}.3"
    macs = {m: lab.run(m, "cat /sys/class/net/eth0/address").strip().replace(":", "") for m in ("vm2", "vm3")}
    ports = (lab.ears.port, 9999)
    asks = lab.datagram(mine, vm2, b"question", mac=macs["vm2"], ports=ports)
    answers = [lab.datagram(vm2, mine, b"answer", mac=mac, ports=ports[::-1]) for mac in (macs["vm3"], lab.mac)]

    def talk() -> None:
        lab.emit("vm3", asks)
        lab.emit("vm2", *answers)

    assert lab.ears.after(talk) == set()


def test_an_error_that_the_computer_reports_is_not_taken_for_its_own_question(lab: Lab) -> None:
    """vm2 speaks to vm3 as the computer; the computer reports vm3's broken answer before any rule sees it (RFC 792)."""
    mine, vm3 = own_address(), f"192.168.{lab.x}.4"
    mac = lab.run("vm3", "cat /sys/class/net/eth0/address").strip().replace(":", "")
    ports = (lab.ears.port, 9998)
    asks = lab.datagram(mine, vm3, b"question", mac=mac, ports=ports)
    broken = lab.datagram(vm3, mine, b"broken", ports=ports[::-1], options=b"\x83\x02\0\0")
    answers = lab.datagram(vm3, mine, b"answer", ports=ports[::-1])

    def talk() -> None:
        lab.emit("vm2", asks)
        lab.emit("vm3", broken, answers)

    assert lab.ears.after(talk) == set()


def test_the_computer_does_not_say_which_addresses_it_has(lab: Lab) -> None:
    mine = own_address()
    if mine.startswith(("192.168.", "198.18.", "198.19.")):
        pytest.skip("this computer's address is one of those that a lab may have")
    asked = f"ip route replace {mine} dev eth0; nc -z -w 2 {mine} 9; ip neighbour show {mine}"
    assert "lladdr" not in lab.run("vm3", asked)
    assert "lladdr" in lab.run("vm3", asked.replace(mine, lab.gateway)), "published ports need that one"


def test_nothing_reaches_another_lab(lab: Lab, cli: Cli, engine: Engine, finished: dict[str, Any]) -> None:
    other, student = int(finished["network"].split(".")[2]), finished["student"]
    gateway, vm3 = f"192.168.{other}.254", f"192.168.{other}.4"
    count = f"iptables -t raw -I PREROUTING -s {{}} -j ACCEPT -m comment --comment {lab.interface}"
    sources = [f"192.168.{lab.x}.3", REST, f"192.168.{other}.3"]
    for source in sources[:2]:
        cli.inside(student, "vm3", count.format(source))
    published = port_at(other, 2)  # vm3's port 25, or 143
    frames = [
        lab.datagram(source, to, b"there", ports=(4444, port))
        for source in sources[:2]
        for to, port in ((vm3, 25), (gateway, published), (LOOPBACK, published), (LOOPBACK, port_at(other, 0)))
    ]
    lab.emit("vm2", *frames)
    lab.run("vm2", f"ip route replace 192.168.{other}.0/24 via {lab.gateway}; nc -z -w 1 {vm3} 25")
    seen = cli.inside(student, "vm3", "iptables -t raw -nvL PREROUTING").splitlines()[2:]
    assert [line.split()[0] for line in seen] == ["0", "0"], "\n".join(seen)
    cli.inside(student, "vm3", count.format(f"192.168.{other}.3"))
    cli.inside(student, "vm2", f"nc -z -w 5 {vm3} 25", rc=0)
    seen = cli.inside(student, "vm3", "iptables -t raw -nvL PREROUTING").splitlines()[2:]
    assert seen[0].split()[0] != "0", "the counters count"
    cli.inside(student, "vm3", "iptables -t raw -F PREROUTING")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees what leaves this computer")
def test_nothing_leaves_the_computer(lab: Lab) -> None:
    word = secrets.token_hex(8)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as wire:
        wire.bind((device_of("0.0.0.0/0"), 3))
        wire.settimeout(5)
        lab.run("vm2", f"ip route replace default via {lab.gateway}")
        lab.run("vm2", f"echo {word} | nc -u -w 1 {REST} 9; dig +time=1 +tries=1 @127.0.0.11 {word}.example.org")
        lab.emit(
            "vm2", *(lab.datagram(s, REST, word.encode()) for s in (f"192.168.{lab.x}.3", own_address(), "10.1.2.3"))
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"the computer's own", (REST, 9))
        while b"the computer's own" not in (packet := wire.recv(2000)):
            assert word.encode() not in packet


def test_the_engines_own_name_server_answers_in_no_machine(cli: Cli, finished: dict[str, Any]) -> None:
    asked = (
        f"dig +short +time=2 +tries=1 @127.0.0.11 SOA {finished['domain']}; dig +short SOA {finished['domain']} | wc -l"
    )
    for machine in ("host", "vm3"):
        said = cli.inside(finished["student"], machine, asked)
        assert finished["domain"] not in said, machine
        assert "refused" in said, machine
        assert said.split()[-1] == "1", "its own resolver is another"


def test_from_the_computer_every_machine_is_reached(finished: dict[str, Any]) -> None:
    prefix = finished["network"].removesuffix("0/24")
    for last, port in ((1, 53), (3, 25), (4, 25)):
        socket.create_connection((f"{prefix}{last}", port), timeout=10).close()


def test_an_environment_of_an_earlier_version_goes_on_and_is_told_how_to_be_closed(
    cli: Cli, engine: Engine, student: str
) -> None:
    made = new_plan(engine, Request(student, stage="lab4a"), silent)
    [network] = made.topology.with_profiles([]).networks
    engine.create_network(made.student, network, environment_labels(made.environment()), network.options)
    told = cli("up", student, "--no-check").stderr
    assert "an earlier version of labenv made this network" in told
    assert re.search(rf"An earlier version of labenv made the networks of .*{student}", cli("doctor", rc=None).stdout)
    assert device_of(str(made.student.network)).startswith("br-")
    for command in told[told.index("labenv save") :].splitlines()[0].split("; "):
        cli(*command.split()[1:])
    assert device_of(str(made.student.network)).startswith("labenv")
    assert "earlier version" not in cli("up", student, "--no-check").stderr
    cli("saves", "-s", student, "--remove", "closed", "--remove", "before-restore-1")
