"""Slows whoever guesses passwords: by student and by address, in bounded memory."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 600.0  # seconds after which a try counts no more
LONGEST = 8.0  # seconds that one try waits at most
FREE = 3  # tries of a student that wait for nothing
FROM_ADDRESS = 100  # tries from one address; behind it may be a whole room of students
_MOST = 5000  # students and addresses that are remembered


@dataclass
class _Count:
    tries: int = 0
    since: float = 0.0


class Throttle:
    """Counts tries. A student's name costs more and more time, whether there is such a student or not; an address is turned away."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def tried(self, student: str, address: str) -> float | None:
        """Count a try; how long it has to wait (seconds) before it is looked at, None if it is not looked at at all.

        It is counted when it comes, so tries side by side slow each other.
        """
        if self._add(f"address {network(address)}") > FROM_ADDRESS:
            return None
        over = self._add(f"student {student}") - FREE
        return min(2.0 ** (over - 1) / 2, LONGEST) if over > 0 else 0.0

    def passed(self, student: str, address: str) -> None:
        """A try was right: the student's count begins again, and the address has one less."""
        self._counts.pop(f"student {student}", None)
        if count := self._counts.get(f"address {network(address)}"):
            count.tries -= 1

    def _add(self, name: str) -> int:
        now = self._clock()
        count = self._counts.setdefault(name, _Count(since=now))
        if now - count.since > WINDOW:
            count.tries, count.since = 0, now
        count.tries += 1
        self._counts.move_to_end(name)
        if len(self._counts) > _MOST:
            self._counts.popitem(last=False)
        return count.tries


def network(address: str) -> str:
    """What counts as one address: an IPv6 site has a /64 of them (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((found, 64), strict=False))
    return str(found)
