"""Whom vm3 trusts: mynetworks asked about every address of the lab's network, and about strangers."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from labenv.checks.machine import Machine, Site
from labenv.mail.match_list import BadNetworkError, Client, MatchList, Network, Pattern, network

# Other private networks (RFC 1918, RFC 6598), and addresses for documentation, which are anybody's (RFC 5737, RFC 3849).
_STRANGERS = (
    *("10.0.0.1", "10.255.255.254", "100.64.0.1", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.254"),
    *("169.254.1.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "8.8.8.8", "1.1.1.1", "223.255.255.1"),
    *("2001:db8::1", "2600::1", "fd00::1"),
)


@dataclass(frozen=True)
class Trust:
    """The verdict of a list: words that Postfix refuses, with the reason; who of the lab is left out; which strangers get in.

    `ignored` are words that Postfix passes over, as they are neither networks nor names.
    """

    refused: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[Client, Pattern | None], ...]
    strangers: tuple[tuple[Client, Pattern], ...]
    ignored: tuple[str, ...]

    def narrow(self, lab: ipaddress.IPv4Network) -> str:
        """Who of the lab is left out, and why, as a remark; or nothing."""
        if not self.left_out:
            return ""
        # A machine says more than an address that nobody has.
        client, pattern = min(self.left_out, key=lambda left: not left[0].name)
        who = f"{client.name} ({client.address})" if client.name else client.address
        if pattern:
            return f"it excludes {who}, by {pattern}"
        passed = f"; Postfix passes over {', '.join(self.ignored)}" if self.ignored else ""
        return f"it does not have {who}{passed}; your network is {lab}"

    @property
    def has_machines(self) -> bool:
        """Whether every machine of the lab is in, if not every address of its network."""
        return not any(client.name for client, _ in self.left_out)


def trust_of(machine: Machine, value: str, site: Site) -> Trust:
    """What the list says about the lab and about strangers. Raises CheckFailed if a file or table of it cannot be read."""
    student = site.student
    named = {f"{student.prefix}.2": f"vm1.{student.domain}"}  # of other labs of the course
    named |= {member.address: member.fqdn for member in site.machines.values()}
    ours = [Client(str(address), named.get(str(address), "")) for address in student.network.hosts()]
    fixed = [Client(address) for address in (*_STRANGERS, *_neighbours(student.network))]
    listed = MatchList(machine, value, chain.from_iterable(client.keys for client in (*ours, *fixed)))
    refused, nets = [], []
    for pattern in listed.patterns:
        try:
            nets.append(network(pattern.text))
        except BadNetworkError as error:
            refused.append((str(pattern), str(error)))
    ignored = tuple(str(p) for p, net in zip(listed.patterns, nets, strict=False) if net is None and _is_nothing(p))
    if refused:
        return Trust(tuple(refused), (), (), ())
    strangers = [*fixed, *(Client(str(end)) for net in nets if net for end in _ends(net, student.network))]
    left_out = [(client, p) for client in ours if (p := listed.decides(client)) is None or p.excludes]
    let_in = [(client, p) for client in strangers if (p := listed.decides(client)) and not p.excludes]
    return Trust((), tuple(left_out), tuple(let_in), ignored)


def _neighbours(lab: ipaddress.IPv4Network) -> Iterator[str]:
    """The same address in each of the networks that other students may have."""
    for third in range(256):
        address = ipaddress.ip_address(f"192.168.{third}.77")
        if address not in lab:
            yield str(address)


def _ends(net: Network, lab: ipaddress.IPv4Network) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The first and the last address of a network, unless they are the lab's or the machine's own."""
    for end in (net[0], net[-1]):
        there = (end.ipv4_mapped if isinstance(end, ipaddress.IPv6Address) else None) or end
        if not (there in lab or there.is_loopback or (there.version == 6 and there.is_link_local)):
            yield end


def _is_nothing(pattern: Pattern) -> bool:
    """Whether a word can be no name either: Postfix compares it, and it never fits."""
    return not all(part.isalnum() or part in "-._" for part in pattern.text) and ":" not in pattern.text
