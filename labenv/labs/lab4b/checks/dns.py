"""What the DNS says, and what the zone's file says."""

import re
from dataclasses import dataclass, field

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe
from labenv.checks.services import listening
from labenv.dns import files

PORT = 53


@dataclass(frozen=True)
class Exchangers:
    """The MX records of the domain as "10 vm3.asmith15.ops.", best first, the addresses of the names in them, and aliases."""

    records: tuple[str, ...] = ()
    addresses: dict[str, str] = field(default_factory=dict, compare=False)
    aliases: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def best(self) -> list[str]:
        """The names of the lowest preference: senders choose among them at random (RFC 5321 section 5.1)."""
        return [record.split()[1] for record in self.records if record.split()[0] == self.records[0].split()[0]]

    def judge(self, where: str, domain: str, address: str, evidence: Evidence) -> None:
        """The best exchanger is vm3 at this address, under any name. Raises CheckFailed, with what is wrong, otherwise."""
        wanted = f"vm3.{domain}."
        others = [name for name in self.best if self.addresses.get(name.lower()) != address]
        evidence(self.records and not others, f"{where} {self}{self._oddity(others, domain)}", f"MX {wanted}")
        if stranger := [name for name in self.best if name.lower() != wanted]:
            evidence.doubt(f"the MX record names {stranger[0]}, which has the address of vm3", wanted)

    def _oddity(self, names: list[str], domain: str) -> str:
        return next((f" ({oddity})" for name in names if (oddity := self._oddity_of(name, name.lower(), domain))), "")

    def _oddity_of(self, name: str, folded: str, domain: str) -> str:
        known = {
            "a null MX: the domain says that it takes no mail, RFC 7505": name == ".",
            f"{name} has the domain twice: in the file the name lacks its final dot": folded.endswith(
                f".{domain}.{domain}."
            ),
            "an MX record needs a name, not an address": re.match(r"\d+\.\d+\.\d+\.\d+\.", name),
            f"{name} is an alias (CNAME), which an MX record may not name, RFC 2181": folded in self.aliases,
            f"{name} has no address": folded not in self.addresses,
            f"{name} has the address {self.addresses.get(folded)}": folded == f"vm3.{domain}.",
        }
        return next((words for words, is_so in known.items() if is_so), "")

    def __str__(self) -> str:
        """The MX records in words."""
        return "MX " + ", MX ".join(self.records) if self.records else "no MX record"


@dataclass(frozen=True)
class Zone:
    """The forward zone as its file has it, and as named serves it. `elsewhere` are MX records of other names."""

    path: str
    serial: str
    in_file: Exchangers
    elsewhere: tuple[str, ...]
    served_serial: str
    served: Exchangers


@dataclass(frozen=True)
class Answer:
    """What the DNS answers a machine about the domain: status, flags and MX records, and the address of vm3."""

    status: str
    flags: tuple[str, ...]
    exchangers: Exchangers
    address: str


@probe
def zone(site: Site) -> Zone:
    """The zone on host, as its file has it and as it is served."""
    return read_zone(site)


@probe
def answer_to_vm2(site: Site) -> Answer:
    """What vm2 gets from the name server in its /etc/resolv.conf, as in the sheet."""
    domain = site.student.domain
    vm2, vm3 = site["vm2"], f"vm3.{domain}."
    ask = "dig +time=2 +tries=1"
    text = vm2.run(f"{ask} %s MX %s A", domain, vm3).stdout
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r"flags: ([a-z ]+);", text)
    records = _records(text, domain)
    addresses = _addresses(text)
    if others := sorted({record.split()[1].lower() for record in records} - {vm3}):
        addresses |= _addresses(vm2.run(ask + " %s A" * len(others), *others).stdout)
    return Answer(
        status[1] if status else "no answer",
        tuple(flags[1].split()) if flags else (),
        Exchangers(records, addresses),
        addresses.get(vm3, ""),
    )


def read_zone(site: Site) -> Zone:
    """The zone on host, its file found through named.conf and read as named reads it.

    Raises CheckFailed, with the line, where named.conf or the file has an error.
    """
    host, domain = site["host"], site.student.domain
    there = files.read_zone(host, domain)
    owners = [record.owner for record in there.records if record.kind == "MX"]
    addresses = {record.owner: record.data for record in there.records if record.kind == "A"}
    aliases = frozenset(record.owner for record in there.records if record.kind == "CNAME")
    asked = host.once(f"dig @{host.address} +noall +answer +time=2 +tries=1 {domain} SOA {domain} MX").stdout
    soa = re.search(r"\sSOA\s+\S+\s+\S+\s+(\d+)", asked)
    return Zone(
        there.path,
        there.serial,
        Exchangers(_by_preference(there.of(f"{domain}.", "MX")), addresses, aliases),
        tuple(owner for owner in owners if owner != f"{domain}."),
        soa[1] if soa else "",
        Exchangers(_records(asked, domain)),
    )


def is_newer(serial: str, other: str) -> bool:
    """Whether a serial comes after another, in the arithmetic of RFC 1982."""
    return bool(serial and other) and 0 < (int(serial) - int(other)) % 2**32 < 2**31


def is_reachable(host: Machine) -> bool:
    """Whether port 53 listens for the network; named has a socket for each address."""
    return not listening(host, PORT).isdisjoint({host.address, "0.0.0.0"})


def _records(text: str, domain: str) -> tuple[str, ...]:
    found = re.findall(rf"^{re.escape(domain)}\.\s+\d+\s+IN\s+MX\s+(.+)", text, re.MULTILINE | re.IGNORECASE)
    return _by_preference([" ".join(record.split()).lower() for record in found])


def _by_preference(records: list[str]) -> tuple[str, ...]:
    """The records, best first; those of one preference in the order of their names, because a server gives them in any order."""
    return tuple(sorted(records, key=lambda record: (int(record.split()[0]), record)))


def _addresses(text: str) -> dict[str, str]:
    found = re.findall(r"^(\S+)\s+\d+\s+IN\s+A\s+(\S+)", text, re.MULTILINE)
    return {name.lower(): address for name, address in found}
