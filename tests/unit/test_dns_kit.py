"""The kit dns: named.conf and zones as named reads them, what dig(1) prints, what named logs, and what an ifcfg file says of the next boot."""

from types import SimpleNamespace

import pytest

from labenv.checks.evidence import CheckFailed
from labenv.dns.access import admits
from labenv.dns.asking import Reply, ask, lookups
from labenv.dns.files import Conf, read_conf, read_zone
from labenv.dns.journal import refused_zones
from labenv.labs.lab3.checks import state

CONF = """\
acl "ours" {
	127.0.0.1/32;
	192.168.5.0/24;
};
options {
	directory "/var/named/";
	listen-on port 53 {
		127.0.0.1/32;
	};
	recursion no;
	allow-query {
		"ours";
	};
	forwarders {
		208.67.222.222;
		1.1.1.1;
	};
};
zone "bob.ops" {
	type master;
	file "mydb-for-bob-ops";
};
zone "5.168.192.in-addr.arpa." {
	type master;
	file "/srv/reverse";
};
"""
DUMP = """\
bob.ops.	259200 IN SOA	host.bob.ops. Hostmaster.bob.ops. 2018042901 28800 7200 604800 86400
bob.ops.	259200 IN NS	host.bob.ops.
HOST.bob.ops.	259200 IN A	192.168.5.1
host.bob.ops.	259200 IN A	192.168.5.2
"""


class Machine:
    """A machine that gives a prepared answer to each command that has a word; it keeps what it was asked."""

    name = "host"

    def __init__(self, **answers: str | tuple[int, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.backend = SimpleNamespace(quote=lambda line, *words: line % words)

    def once(self, line: str) -> SimpleNamespace:
        self.asked.append(line)
        word = next(word for word in self.answers if word.replace("_", "-") in line)
        answer = self.answers[word]
        rc, said = answer if isinstance(answer, tuple) else (0, answer)
        return SimpleNamespace(rc=rc, stdout=said, stderr="")

    def run(self, line: str, *words: str) -> SimpleNamespace:
        return self.once(line % words)


def conf(text: str = CONF) -> Conf:
    return read_conf(Machine(named_checkconf=text))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("allow-query", '"ours";'),
        ("forwarders", "208.67.222.222; 1.1.1.1;"),
        ("recursion", "no"),
        ("listen-on", "127.0.0.1/32;"),
        ("allow-transfer", None),
    ],
)
def test_options_are_read_on_one_line(option: str, value: str | None) -> None:
    assert conf().option(option) == value


def test_zones_are_found_with_the_paths_of_their_files() -> None:
    found = conf()
    assert list(found.zones) == ["bob.ops", "5.168.192.in-addr.arpa"]
    assert [found.path(zone) for zone in found.zones] == ["/var/named/mydb-for-bob-ops", "/srv/reverse"]


def test_what_named_refuses_is_said_in_its_own_words() -> None:
    said = "/etc/named.conf:8: missing ';' before 'file'\n"
    with pytest.raises(CheckFailed, match=r"named\.conf:8: missing ';' before 'file'"):
        conf((1, said))  # type: ignore[arg-type]


def test_a_zone_is_read_with_all_its_records() -> None:
    machine = Machine(named_checkconf=CONF, named_checkzone=DUMP)
    zone = read_zone(machine, "BOB.ops.")  # type: ignore[arg-type]
    assert (zone.path, zone.serial) == ("/var/named/mydb-for-bob-ops", "2018042901")
    assert zone.of("host.bob.ops.", "A") == ["192.168.5.1", "192.168.5.2"]
    assert zone.of("bob.ops.", "SOA")[0].startswith("host.bob.ops. hostmaster.bob.ops. ")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "zone bob.ops/IN: NS 'host.bob.ops.bob.ops' has no address records (A or AAAA)\nzone bob.ops/IN: not loaded due to errors.\n",
            "NS 'host.bob.ops.bob.ops' has no address records (A or AAAA)",
        ),
        (
            "dns_rdata_fromtext: /var/named/mydb-for-bob-ops:9: near '192.168.XX.2': bad dotted quad\n"
            "zone bob.ops/IN: loading from master file /var/named/mydb-for-bob-ops failed: bad dotted quad\n",
            "mydb-for-bob-ops:9: near '192.168.XX.2': bad dotted quad",
        ),
        ("zone bob.ops/IN: loading from master file x failed: permission denied\n", "named cannot read"),
        ("", "it says nothing"),
    ],
)
def test_the_line_that_says_why_a_zone_is_refused_is_quoted(said: str, told: str) -> None:
    machine = Machine(named_checkconf=CONF, named_checkzone=(1, said))
    with pytest.raises(CheckFailed) as failure:
        read_zone(machine, "bob.ops")  # type: ignore[arg-type]
    assert told in str(failure.value)


def test_a_zone_that_is_not_there_is_answered_with_those_there_are() -> None:
    with pytest.raises(CheckFailed, match=r"has no zone eve\.ops with a file; its zones: bob\.ops, "):
        read_zone(Machine(named_checkconf=CONF), "eve.ops")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("allowed", "let_in"),
    [
        (None, True),
        ("any;", True),
        ("localhost; localnets;", False),
        ('"ours";', False),
        ("127.0.0.1/32; 192.168.5.0/24;", False),
        ("203.0.113.0/24;", True),
        ("!203.0.113.1; any;", False),
        ("none;", False),
    ],
)
def test_whom_a_list_of_addresses_admits(allowed: str | None, let_in: bool) -> None:
    assert admits(conf(), allowed, "203.0.113.1") is let_in


ANSWERS = """\
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags:; udp: 1232
;; QUESTION SECTION:
;VM1.bob.ops.			IN	A

;; ANSWER SECTION:
VM1.bob.ops.		259200	IN	A	192.168.5.2

;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 2
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 1

;; QUESTION SECTION:
;vm2.bob.ops.			IN	A
"""


def test_many_questions_are_asked_at_a_time() -> None:
    machine = Machine(dig=ANSWERS)
    questions = [(f"vm{number}.bob.ops", "A") for number in (1, 2, 3)]
    found = ask(machine, questions, "192.168.5.1")  # type: ignore[arg-type]
    assert [str(reply) for reply in found.values()] == [
        "NOERROR (A 192.168.5.2)",
        "NXDOMAIN",
        "no server could be reached",
    ]
    assert found["vm1.bob.ops", "A"].flags == {"qr", "aa", "rd", "ra"}
    assert len(machine.asked) == 1


def test_silence_is_told_in_the_words_of_dig() -> None:
    machine = Machine(dig=";; communications error to 192.168.5.1#53: timed out\n;; no servers could be reached\n")
    [reply] = ask(machine, [("bob.ops", "SOA")], "192.168.5.1").values()  # type: ignore[arg-type]
    assert reply == Reply(words="communications error to 192.168.5.1#53: timed out")


def test_what_is_not_found_at_once_is_asked_as_a_student_does() -> None:
    machine = Machine(
        dig="vm1.bob.ops.\t5\tIN\tA\t192.168.5.2\n4.5.168.192.in-addr.arpa. 5 IN PTR vm3.bob.ops.\n4.5.168.192.in-addr.arpa. 5 IN PTR vm4.bob.ops.\n",
        host="4.5.168.192.in-addr.arpa domain name pointer vm3.bob.ops.\n4.5.168.192.in-addr.arpa domain name pointer vm4.bob.ops.\n",
    )
    wanted = {"vm1": "192.168.5.2", "192.168.5.4": "vm3.bob.ops.", "vm2": "192.168.5.3"}
    found = lookups(machine, wanted)  # type: ignore[arg-type]
    assert [(lookup.name, lookup.found) for lookup in found] == [("vm1", True), ("192.168.5.4", False)]
    assert "vm4.bob.ops." in found[1].words


def test_a_zone_that_was_loaded_later_is_not_refused() -> None:
    log = """\
zone bob.ops/IN: loaded serial 1
/var/named/x:9: near 'a': syntax error
zone bob.ops/IN: loading from master file x failed: syntax error
zone bob.ops/IN: not loaded due to errors.
zone eve.ops/IN: NS 'a.eve.ops' has no address records (A or AAAA)
zone eve.ops/IN: not loaded due to errors.
zone eve.ops/IN: loaded serial 2
"""
    found = refused_zones(Machine(journalctl=log))  # type: ignore[arg-type]
    assert found == {"bob.ops": "/var/named/x:9: near 'a': syntax error"}


STATE = """\
=== hosts
127.0.0.1 localhost
=== resolver
search old.ops
search bob.ops example.com
nameserver 127.0.0.1
# nameserver 9.9.9.9
nameserver 192.168.5.1
=== name
host.bob.ops
=== full
host.bob.ops
=== wish
host.bob.ops
=== programs
/usr/bin/host
/usr/bin/dig
=== /etc/sysconfig/network-scripts/ifcfg-eth0
DEVICE=eth0
DNS1=9.9.9.9
  DNS1="127.0.0.1"  # mine
DOMAIN='bob.ops example.com'
=== /etc/sysconfig/network-scripts/ifcfg-eth0.bak
DNS1=8.8.8.8
=== /etc/sysconfig/network-scripts/ifcfg-lo:outside
DEVICE=lo
"""


def test_what_is_in_force_is_told_from_what_the_next_boot_makes() -> None:
    there = state.read(STATE)
    assert (there.servers, there.search) == (("127.0.0.1", "192.168.5.1"), ("bob.ops", "example.com"))
    assert (there.later_servers, there.later_search) == (["127.0.0.1"], ["bob.ops", "example.com"])
    assert [file.path for file in there.ifcfg] == ["/etc/sysconfig/network-scripts/ifcfg-eth0"]
    assert there.programs == {"host", "dig"}


def test_a_machine_that_says_nothing_has_nothing() -> None:
    there = state.read("")
    assert (there.servers, there.name, there.ifcfg) == ((), "", ())
