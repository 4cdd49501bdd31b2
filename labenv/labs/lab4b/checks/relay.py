"""Where vm2 sends mail for elsewhere: the next hops in its settings, and whether they lead to vm3."""

import ipaddress
import re
from dataclasses import dataclass

from labenv.checks.machine import Machine, Site
from labenv.labs.lab4b.checks.common import ELSEWHERE
from labenv.mail.settings import postconf, words
from labenv.mail.tables import look_up

# What decides, with mynetworks or before it, who may relay (postconf(5), smtpd_relay_restrictions).
DECIDING = ("smtpd_relay_restrictions", "smtpd_recipient_restrictions", "smtpd_client_restrictions", "relay_domains")
_SMTP = re.compile(r"0*25|smtp|mail|")  # port 25 and its names in services(5)
_HOP = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<domain>[^\[\]:]+))(?::(?P<port>\w+))?")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


@dataclass(frozen=True)
class Relay:
    """The relay host of vm2: its hops, and for each that does not lead to port 25 of vm3, why not."""

    value: str
    hops: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def leads_to_vm3(self) -> bool:
        """Whether there is one, and every hop leads to vm3: Postfix tries them in turn (postconf(5), relayhost)."""
        return bool(self.hops) and not self.faults


def relay_of(site: Site) -> Relay:
    """What relayhost on vm2 means. Raises CheckFailed if Postfix cannot read its configuration."""
    return _judged(site, postconf(site["vm2"], "relayhost").value)


def way_without_relayhost(site: Site) -> str:
    """The setting that sends mail for elsewhere to vm3 although relayhost is not set, or nothing.

    transport(5) says what is looked up. Raises CheckFailed if the configuration or a table cannot be read.
    """
    vm2 = site["vm2"]
    for table in words(postconf(vm2, "transport_maps").value):
        keys = [ELSEWHERE, ELSEWHERE.partition("@")[2], "*"]
        found = look_up(vm2, table, keys)
        if (way := next((found[key] for key in keys if key in found), "")) and _judged(
            site, _next_hop(way)
        ).leads_to_vm3:
            return f"transport_maps has {way}"
    way = postconf(vm2, "default_transport").value
    return f"default_transport is {way}" if _judged(site, _next_hop(way)).leads_to_vm3 else ""


def _next_hop(transport: str) -> str:
    """The next hop in "transport:nexthop", if that transport speaks SMTP."""
    name, _, hop = transport.partition(":")
    return hop if name in ("", "smtp", "relay") else ""


def _judged(site: Site, value: str) -> Relay:
    hops = words(value.partition("#")[0])
    return Relay(value, tuple(hops), tuple(why for hop in hops if (why := _fault(hop, site))))


def _fault(hop: str, site: Site) -> str:
    """Why a hop does not lead to port 25 of vm3, or nothing.

    In brackets it is an address or a name with an address; without, a domain with MX records or a name (postconf(5), relayhost).
    The names that the sheet's other steps are about are right here, whatever the DNS says of them.
    """
    vm2, vm3, domain = site["vm2"], site["vm3"], site.student.domain
    parsed = _HOP.fullmatch(hop)
    if parsed is None:
        return f"{hop} is neither name:port nor [name]:port"
    port, name = (parsed["port"] or "").lower(), (parsed["address"] or parsed["domain"]).lower()
    if not _SMTP.fullmatch(port):
        return f"{hop} means port {port}, but vm3 takes mail on port 25"
    if _is_address(name):
        return "" if name == vm3.address else f"{name} is not the address of vm3, {vm3.address}"
    if name.endswith("."):
        return f"{name} ends with a dot, and Postfix refuses such a name"
    if name == f"vm3.{domain}" or (parsed["domain"] and name == domain):
        return ""
    return _astray(name, _addresses(vm2, name, exchangers=not parsed["address"]), vm3.address, domain)


def _astray(name: str, addresses: set[str], wanted: str, domain: str) -> str:
    """Where a name leads instead, or nothing."""
    if not _NAME.fullmatch(name):
        return f"{name} is no host name"
    if addresses == {wanted}:
        return ""
    where = f"{name} leads to {', '.join(sorted(addresses))}" if addresses else f"the DNS does not know {name}"
    return where if name.endswith(domain) else f"{where}; your domain is {domain}"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _addresses(machine: Machine, name: str, *, exchangers: bool) -> set[str]:
    """The addresses to which the machine delivers for a name: of its MX records if it has any, else its own (RFC 5321 section 5.1)."""
    if not _NAME.fullmatch(name):
        return set()
    dig = "dig +noall +answer +time=2 +tries=1"
    answer = str(machine.once(f"{dig} {name} MX {name} A").stdout)
    best = re.findall(r"\sIN\s+MX\s+(\d+)\s+([\w.-]+)\.\s", answer) if exchangers else []
    if best:
        least = min(int(preference) for preference, _ in best)
        names = [exchanger for preference, exchanger in best if int(preference) == least]
        answer = "\n".join(str(machine.once(f"{dig} {exchanger} A").stdout) for exchanger in names)
    return set(re.findall(r"\sIN\s+A\s+(\S+)", answer))
