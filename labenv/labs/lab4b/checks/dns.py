"""What the DNS says, and what the zone's file says."""

import re
from dataclasses import dataclass

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import probe
from labenv.checks.post import Post


@dataclass(frozen=True)
class Zone:
    """The forward zone as its file has it, and as named serves it; MX records as "10 vm3.asmith15.ops.", best first."""

    domain: str
    path: str
    serial: str
    in_file: tuple[str, ...]
    served_serial: str
    served: tuple[str, ...]

    def names_vm3(self, exchangers: tuple[str, ...]) -> bool:
        """Whether the best of the MX records is vm3, whatever its preference."""
        return bool(exchangers) and exchangers[0].split()[-1] == f"vm3.{self.domain}."


@dataclass(frozen=True)
class Answer:
    """What a machine is told about the domain: status, flags and MX records, and the address of vm3."""

    status: str
    flags: tuple[str, ...]
    exchangers: tuple[str, ...]
    address: str


@probe
def zone(site: Site, post: Post) -> Zone:
    """The zone on host, its file found by what named.conf says and read as named reads it (named-checkzone(8))."""
    host, domain = site["host"], site.student.domain
    path = _file_of(host, domain)
    dumped = host.run("named-checkzone -D %s %s", domain, path)
    if dumped.rc:
        complaints = [line for line in (dumped.stderr + dumped.stdout).splitlines() if path in line or "error" in line]
        raise CheckFailed(f"named-checkzone refuses {path}: {(complaints or ['it says nothing'])[0]} (expected: OK)")
    serial = re.search(r"\sSOA\s+\S+\s+\S+\s+(\d+)", dumped.stdout)
    records = re.findall(rf"^{re.escape(domain)}\.\s+\d+\s+IN\s+MX\s+(.+)", dumped.stdout, re.MULTILINE)
    asked = host.run("dig @%s +short +time=2 +tries=1 %s SOA %s MX", host.address, domain, domain).stdout
    soa = re.search(r"^\S+ \S+ (\d+) \d+ \d+ \d+ \d+$", asked, re.MULTILINE)
    return Zone(domain, path, serial[1] if serial else "", _sorted(records), soa[1] if soa else "", _exchangers(asked))


@probe
def answer_to_vm2(site: Site, post: Post) -> Answer:
    """What vm2 is told by whomever its /etc/resolv.conf names, as the sheet has it."""
    domain = site.student.domain
    text = site["vm2"].run("dig +time=2 +tries=1 %s MX %s A", domain, f"vm3.{domain}").stdout
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r"flags: ([a-z ]+);", text)
    address = re.search(rf"^vm3\.{re.escape(domain)}\.\s+\d+\s+IN\s+A\s+(\S+)", text, re.MULTILINE)
    return Answer(
        status[1] if status else "no answer",
        tuple(flags[1].split()) if flags else (),
        _sorted(re.findall(rf"^{re.escape(domain)}\.\s+\d+\s+IN\s+MX\s+(.+)", text, re.MULTILINE)),
        address[1] if address else "",
    )


def shown(exchangers: tuple[str, ...]) -> str:
    """The MX records in words."""
    return "MX " + ", MX ".join(exchangers) if exchangers else "no MX record"


def _file_of(host: Machine, domain: str) -> str:
    config = host.output("named-checkconf -p /etc/named.conf")
    stanza = re.search(rf'zone "{re.escape(domain)}\.?"[^{{]*\{{(.*?)\n\}};', config, re.DOTALL)
    file = re.search(r'file "([^"]+)"', stanza[1]) if stanza else None
    if file is None:
        raise CheckFailed(f"/etc/named.conf on host has no zone {domain} with a file (expected: the forward zone)")
    directory = re.search(r'directory "([^"]+)"', config)
    return file[1] if file[1].startswith("/") else f"{directory[1].rstrip('/') if directory else ''}/{file[1]}"


def _exchangers(text: str) -> tuple[str, ...]:
    return _sorted(re.findall(r"^(\d+ \S+)$", text, re.MULTILINE))


def _sorted(records: list[str]) -> tuple[str, ...]:
    return tuple(sorted((" ".join(record.split()) for record in records), key=lambda record: int(record.split()[0])))
