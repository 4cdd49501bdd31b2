"""Packets of a machine: what comes as a file of them is read in any pieces, and what they say is told in lines, whatever they have."""

import base64
import ipaddress
import struct
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labenv.cli import common
from labenv.engine import Engine
from labenv.engine.pcap import LARGEST, Reader, Record
from labenv.engine.questions import _hello
from labenv.engine.tap import Tap
from labenv.environment import Environment, Machine
from labenv.environments import capture
from labenv.environments.capture import Choice
from labenv.environments.wire import dns, tls
from labenv.environments.wire.dialogue import Dialogue
from labenv.environments.wire.packets import ACK, RST, SYN, TCP, End, Packet, packet
from labenv.errors import UsageError
from labenv.text import one_line

VM2, VM3 = End("192.168.90.3", 40000), End("192.168.90.4", 143)
NAMES = {VM2.address: "vm2", VM3.address: "vm3"}
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LARGEST, 276)


def said(payload: bytes, *, back: bool = False, time: float = 0.0, flags: int = ACK, sequence: int = 1) -> Packet:
    """A packet of TCP between vm2 and vm3's port 143."""
    source, target = (VM3, VM2) if back else (VM2, VM3)
    return Packet(time, source, target, TCP, payload, flags, sequence)


def lines(*packets: Packet) -> list[str]:
    """What a dialogue tells of packets, each line with who says it."""
    dialogue = Dialogue(NAMES)
    turns = filter(None, map(dialogue.turn, packets))
    return [f"{turn.source.partition(':')[0]}: {line}" for turn in turns for line in turn.lines]


def ip(payload: bytes, *, protocol: int = TCP, length: int | None = None, fragment: int = 0) -> bytes:
    """An IPv4 packet from vm2 to vm3."""
    ends = [int(ipaddress.IPv4Address(end.address)) for end in (VM2, VM3)]
    size = 20 + len(payload) if length is None else length
    return struct.pack(">BBHHHBBHII", 0x45, 0, size, 7, fragment, 64, protocol, 0, *ends) + payload


def tcp(payload: bytes) -> bytes:
    """A segment to port 143."""
    return struct.pack(">HHIIBBHHH", 40000, 143, 9, 0, 0x50, ACK, 0, 0, 0) + payload


def record(data: bytes, kind: int = 0x0800) -> Record:
    """What tcpdump would keep of a packet from all interfaces."""
    return Record(5.0, struct.pack(">HHIHBB8s", kind, 0, 2, 1, 0, 6, b"") + data, b"")


def saved(*packets: bytes) -> bytes:
    """A file of packets."""
    return HEADER + b"".join(struct.pack("<IIII", 1, 500000, len(each), len(each)) + each for each in packets)


@given(st.lists(st.binary(max_size=60), max_size=5), st.integers(1, 40))
def test_a_file_of_packets_is_the_same_in_whatever_pieces_it_comes(packets: list[bytes], size: int) -> None:
    file = saved(*packets)
    reader = Reader()
    read = [each for at in range(0, len(file), size) for each in reader.read(file[at : at + size])]
    assert [each.data for each in read] == packets
    assert reader.header + b"".join(each.raw for each in read) == file
    assert all(each.time == 1.5 for each in read)


def test_a_file_of_the_other_order_of_bytes_is_read_as_well() -> None:
    file = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LARGEST, 276) + struct.pack(">IIII", 1, 0, 2, 2) + b"ab"
    assert [each.data for each in Reader().read(file)] == [b"ab"]


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"\x7fELF" + bytes(40), "not a file of packets"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, LARGEST, 1), "a link of kind 1"),
        (HEADER + struct.pack("<IIII", 1, 0, LARGEST + 1, 5), "a packet of 262145 bytes"),
    ],
)
def test_what_is_no_file_of_packets_is_refused(file: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        list(Reader().read(file))


def test_a_packet_is_taken_apart() -> None:
    assert packet(record(ip(tcp(b"a1 NOOP\r\n")))) == Packet(5.0, VM2, VM3, TCP, b"a1 NOOP\r\n", ACK, 9, 7)


def test_what_the_kernel_will_cut_later_has_no_length_and_is_read_whole() -> None:
    found = packet(record(ip(tcp(b"long"), length=0)))
    assert found is not None
    assert found.payload == b"long"


@given(st.binary(max_size=200), st.sampled_from([0x0800, 0x86DD, 0x0806, 0x88B5]))
def test_no_bytes_break_what_reads_them(data: bytes, kind: int) -> None:
    dialogue = Dialogue(NAMES)
    for data_ in (data, ip(data), ip(tcp(data)), ip(data, protocol=17), ip(data, protocol=1), ip(tcp(data))[:30]):
        found = packet(record(data_, kind))
        turn = dialogue.turn(found) if found else None
        for line in turn.lines if turn else ():
            assert one_line(line) == line
            assert len(line) < 700


@given(st.binary(max_size=300))
def test_no_message_and_no_record_breaks_what_reads_it(data: bytes) -> None:
    dns.told(struct.pack(">HHHHHH", 1, 0x8000, 1, 3, 0, 0) + data)
    tls.records(b"\x16\x03\x01" + struct.pack(">H", len(data)) + data)
    tls.server_name(data)


def test_later_parts_of_a_packet_are_left_out() -> None:
    assert packet(record(ip(b"rest of it", fragment=100))) is None


def test_a_name_that_points_to_itself_ends() -> None:
    assert dns.told(struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c" + struct.pack(">HH", 1, 1)) == ""


def test_a_login_is_told_as_it_was_typed() -> None:
    assert lines(said(b"a1 LOGIN amy s3cret99\r\na2 LOGOUT\r\n")) == ["vm2: a1 LOGIN amy s3cret99", "vm2: a2 LOGOUT"]


@pytest.mark.parametrize("command", ["AUTH PLAIN", "a1 AUTHENTICATE PLAIN", "auth  plain"])
def test_a_password_in_base64_is_told_beside_it(command: str) -> None:
    packed = base64.b64encode(b"\0amy\0s3cret99").decode()
    [line] = lines(said(f"{command} {packed}\r\n".encode()))
    assert line == f"vm2: {command} {packed}  (that is user amy, password s3cret99)"


def test_a_password_that_was_asked_for_is_told_and_no_other_word_is_taken_for_base64() -> None:
    name, password = (base64.b64encode(word).decode() for word in (b"amy", b"s3cret99"))
    shown = lines(
        said(b"AUTH LOGIN\r\n"),
        said(b"334 VXNlcm5hbWU6\r\n", back=True),
        said(f"{name}\r\n".encode(), sequence=2),
        said(b"334 UGFzc3dvcmQ6\r\n", back=True, sequence=2),
        said(f"{password}\r\n".encode(), sequence=3),
        said(f"{name}\r\n".encode(), sequence=4),
    )
    assert shown == [
        "vm2: AUTH LOGIN",
        "vm3: 334 VXNlcm5hbWU6  (that is Username:)",
        f"vm2: {name}  (that is amy)",
        "vm3: 334 UGFzc3dvcmQ6  (that is Password:)",
        f"vm2: {password}  (that is s3cret99)",
        f"vm2: {name}",
    ]


def test_a_page_asked_for_with_a_password_shows_it() -> None:
    packed = base64.b64encode(b"amy:s3cret99").decode()
    shown = lines(said(f"GET / HTTP/1.1\r\nAuthorization: Basic {packed}\r\n\r\n".encode()))
    assert shown[1].endswith("(that is user amy, password s3cret99)")


def test_no_control_character_comes_through_and_what_is_long_is_cut() -> None:
    shown = lines(said(b"\x1b]0;title\x07" + b"x" * 5000 + b"\r\n" + b"line\r\n" * 100))
    assert shown[0].startswith(r"vm2: \x1b]0;title\x07xxx")
    assert shown[0].endswith("x…")
    assert shown[-1] == "vm2: … 81 lines more"


def test_tls_is_named_and_what_follows_belongs_to_it() -> None:
    hello = _hello("vm3.amy.ops")
    sealed = b"\x17\x03\x03\x02\x05" + bytes(100)
    shown = lines(said(hello), said(b"\x14\x03\x03\x00\x01\x01" + sealed, sequence=2), said(bytes(80), sequence=3))
    assert shown == [
        "vm2: TLS ClientHello, SNI vm3.amy.ops",
        "vm2: TLS ChangeCipherSpec, 1 bytes",
        "vm2: TLS application data, 517 bytes",
        "vm2: TLS, 80 bytes more of it",
    ]


def test_a_hello_that_was_cut_has_no_name() -> None:
    hello = _hello("vm3.amy.ops")
    for size in range(5, len(hello)):
        assert tls.records(hello[:size])[0].startswith("TLS ")


def test_why_a_handshake_ended_is_told() -> None:
    assert lines(said(b"\x15\x03\x03\x00\x02\x02\x30")) == ["vm2: TLS alert: unknown CA"]


def test_a_question_of_dns_and_its_answer() -> None:
    asked = b"\x03vm3\x03amy\x03ops\0\x00\x01\x00\x01"
    given_ = b"\xc0\x0c\x00\x01\x00\x01\0\0\0\x3c\x00\x04\xc0\xa8\x5a\x04"
    assert dns.told(struct.pack(">HHHHHH", 1, 0x100, 1, 0, 0, 0) + asked) == "asks A vm3.amy.ops"
    assert (
        dns.told(struct.pack(">HHHHHH", 1, 0x8180, 1, 1, 0, 0) + asked + given_)
        == "answers A vm3.amy.ops: 192.168.90.4"
    )
    assert dns.told(struct.pack(">HHHHHH", 1, 0x8183, 1, 0, 0, 0) + asked) == "answers A vm3.amy.ops: NXDOMAIN"


def test_a_connection_that_is_asked_for_or_refused_is_told_and_an_empty_packet_is_not() -> None:
    shown = lines(said(b"", flags=SYN), said(b"", back=True, flags=RST | ACK), said(b""))
    assert shown == ["vm2: asks for a connection (SYN)", "vm3: refuses, or breaks the connection (RST)"]


def test_what_a_firewall_answers_names_the_connection() -> None:
    quoted = ip(struct.pack(">HHI", 40000, 143, 9) + bytes(12))
    shown = lines(Packet(0.0, End(VM3.address), End(VM2.address), 1, b"\x03\x0a" + bytes(6) + quoted))
    assert shown == ["vm3: ICMP prohibited, about vm2:40000 → vm3:imap"]


def test_a_packet_on_several_interfaces_is_told_once_and_one_sent_again_is_told_again() -> None:
    assert len(lines(said(b"once\r\n"), said(b"once\r\n", time=0.001))) == 1
    assert len(lines(said(b"again\r\n"), said(b"again\r\n", time=0.3))) == 2


def test_what_is_chosen_becomes_a_filter() -> None:
    assert Choice((25, 143)).filter == (
        "(port 25 or port 143 or icmp[icmptype] == icmp-unreach) and not tcp portrange 61000-65535"
    )
    assert Choice().filter == "not tcp portrange 61000-65535"
    assert Choice((), own=True).filter == "ip or ip6"


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("30", 30), ("5m", 300), ("1h", 3600)])
def test_a_time_is_read(text: str, seconds: int) -> None:
    assert common.duration("--for", text) == seconds


@pytest.mark.parametrize("text", ["0", "0s", "-3", "soon", "", "1.5s", "5 m", "30s\n", "9999999"])
def test_another_text_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="--for needs a time such as 30s"):
        common.duration("--for", text)


def test_labenvs_own_ports_are_those_of_its_program() -> None:
    source = Path("images/tools/source/connect.c").read_text(encoding="utf-8")
    assert "FIRST_PORT = 61000, LAST_PORT = 65535" in source


class Passing:
    """A tap that packets of some size come from, without an end."""

    header = HEADER
    lost = 0

    def __init__(self, size: int) -> None:
        self._record = Record(0.0, bytes(size), bytes(16 + size))

    def next(self, deadline: float) -> Record:
        return self._record

    def end(self) -> None:
        pass


def test_a_capture_ends_when_it_is_too_much_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MOST", 1_000_000)
    environment = cast(Environment, None)
    going = capture.Capture(cast(Engine, None), environment, cast(Machine, None), cast(Tap, Passing(60_000)), "")
    packets = list(going.packets())
    assert len(packets) == going.count == 16
    assert going.size == len(HEADER) + sum(len(each.raw) for each in packets) <= 1_000_000
    assert going.cut == "That is 1 MB, the most of one capture. Choose fewer packets, with --port."


class Ended:
    """A tap whose packets have all been read."""

    header = HEADER
    lost = 2

    def next(self, deadline: float) -> None:
        return None

    def end(self) -> None:
        pass


def test_packets_that_could_not_be_read_are_counted() -> None:
    environment = cast(Environment, None)
    going = capture.Capture(cast(Engine, None), environment, cast(Machine, None), cast(Tap, Ended()), "")
    going.end()
    assert list(going.packets()) == []
    assert going.cut == "The computer was too busy to read 2 packets more."
