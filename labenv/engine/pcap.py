"""The format in which tcpdump(8) writes packets (pcap-savefile(5)), read as it comes.

Own code and no library: dpkt and scapy know hundreds of protocols, and what is needed here is a header, and a length before each
packet.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = 24  # bytes before the first packet
_MAGIC = 0xA1B2C3D4  # with microseconds, as tcpdump writes it unless it is told otherwise
_COOKED = 276  # LINUX_SLL2, what is read from all interfaces at once
LARGEST = 262_144  # bytes of a packet that tcpdump keeps


@dataclass(frozen=True)
class Record:
    """A packet as it was read: when (seconds since 1970), its bytes from the link's header on, and the bytes of the file that it is."""

    time: float
    data: bytes
    raw: bytes


class Reader:
    """Takes the bytes of a pcap file in pieces. `header` is what a file of these packets begins with, empty until it has come."""

    def __init__(self) -> None:
        self.header = b""
        self._order = "<"
        self._rest = bytearray()

    def read(self, data: bytes) -> Iterator[Record]:
        """The packets that are whole with these bytes. Raises ValueError for bytes that are no such file."""
        self._rest += data
        if not self.header:
            if len(self._rest) < _HEADER:
                return
            self._begin()
        while len(self._rest) >= 16:
            seconds, micros, kept, _ = struct.unpack_from(f"{self._order}4I", self._rest)
            if kept > LARGEST:
                raise ValueError(f"a packet of {kept} bytes")
            if len(self._rest) < 16 + kept:
                return
            raw = bytes(self._rest[: 16 + kept])
            del self._rest[: 16 + kept]
            yield Record(seconds + micros / 1e6, raw[16:], raw)

    def _begin(self) -> None:
        header = bytes(self._rest[:_HEADER])
        orders = [order for order in "<>" if struct.unpack_from(f"{order}I", header)[0] == _MAGIC]
        if not orders:
            raise ValueError("not a file of packets")
        self._order = orders[0]
        if (link := struct.unpack_from(f"{self._order}I", header, 20)[0]) != _COOKED:
            raise ValueError(f"packets of a link of kind {link}")
        self.header = header
        del self._rest[:_HEADER]
