"""Whom a list of addresses in named.conf admits (BIND's address_match_list)."""

import ipaddress
import re

from labenv.dns.files import Conf


def admits(conf: Conf, allowed: str | None, address: str) -> bool:
    """Whether a list admits an address that belongs to nobody of the network, were it not one of the server's own.

    `localnets` and `localhost` mean the server's own addresses. A list that is not set admits everybody (allow-query).
    """
    if allowed is None:
        return True
    return _first(allowed, conf.text, ipaddress.ip_address(address)) is True


def _first(elements: str, text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool | None:
    """What the first element that matches says: True, or False with a "!"; None if none matches."""
    for element in (part.strip() for part in elements.split(";")):
        name = element.lstrip("! ").strip('"')
        if _matches(name, text, address):
            return not element.startswith("!")
    return None


def _matches(name: str, text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if name == "any":
        return True
    if name in ("", "none", "localhost", "localnets"):
        return False
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        list_ = re.search(rf'^acl "?{re.escape(name)}"? \{{\n(.*?)^\}};', text, re.DOTALL | re.MULTILINE)
        return list_ is not None and _first(" ".join(list_[1].split()), text, address) is True
