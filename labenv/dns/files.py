"""named.conf and the zones' files, as named itself reads them (named-checkconf(8), named-checkzone(8))."""

import re
from dataclasses import dataclass, field

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine

CONF = "/etc/named.conf"
# It is read as named reads it: as its user, to whom a file may be closed that root can read.
_AS_NAMED = "setpriv --reuid=named --regid=named --init-groups"
_ZONE = re.compile(r'^([ \t]*)zone "([^"]*)"[^{\n]*\{\n(.*?)^\1\};', re.DOTALL | re.MULTILINE)
_RECORD = re.compile(r"^(\S+)\s+\d+\s+IN\s+(\S+)\s+(.+)$", re.MULTILINE)
# What named-checkzone says beside the reason.
_BESIDE = re.compile(r"not loaded due to errors|loaded serial|using SOA MINTTL|using RFC1035|^OK$")


@dataclass(frozen=True)
class Statement:
    """A zone of named.conf: its type, its file, and the file's format."""

    kind: str
    file: str
    form: str = "text"


@dataclass(frozen=True)
class Conf:
    """named.conf as named reads it. The zones are by name, in small letters and without a final dot; of several views, the first counts."""

    text: str
    directory: str
    zones: dict[str, Statement]

    def option(self, name: str) -> str | None:
        """The value of one of the options, the elements of a list on one line: "127.0.0.1/32; 10.0.0.0/8;". None if it is not set."""
        block = re.search(r"^options \{\n(.*?)^\};", self.text, re.DOTALL | re.MULTILINE)
        found = re.search(
            rf"^[ \t]*{re.escape(name)}(?: [^{{;\n]*)?(?: \{{\n(.*?)^\t?[ ]*\}})?;",
            block[1] if block else "",
            re.DOTALL | re.MULTILINE,
        )
        if not found:
            return None
        if found[1] is None:
            return found[0].strip().removeprefix(name).rstrip(";").strip()
        return " ".join(found[1].split())

    def path(self, zone: str) -> str:
        """The path of a zone's file."""
        file = self.zones[zone].file
        return file if file.startswith("/") or not self.directory else f"{self.directory}/{file}"


@dataclass(frozen=True)
class Record:
    """A resource record; its names are complete and in small letters."""

    owner: str
    kind: str
    data: str


@dataclass(frozen=True)
class ZoneFile:
    """A zone as its file has it: the path, the serial, and all records."""

    path: str
    serial: str
    records: tuple[Record, ...] = field(repr=False)

    def of(self, owner: str, kind: str) -> list[str]:
        """The data of all records of a name and a type, sorted."""
        return sorted(r.data for r in self.records if (r.owner, r.kind) == (owner.lower(), kind))


def read_conf(machine: Machine) -> Conf:
    """named.conf on a machine. Raises CheckFailed, with the first complaint and its line, if named would refuse it."""
    said = machine.once(f"{_AS_NAMED} named-checkconf -p {CONF}")
    if said.rc:
        lines = [line for line in (said.stderr + said.stdout).splitlines() if line.strip()]
        complaint = next((line for line in lines if CONF in line), (lines or ["it says nothing"])[0])
        raise CheckFailed(f"named-checkconf refuses {CONF} on {machine.name}: {complaint}", "no complaint")
    text = str(said.stdout)
    directory = re.search(r'^\s*directory "([^"]+)"', text, re.MULTILINE)
    zones: dict[str, Statement] = {}
    for _, name, body in _ZONE.findall(text):
        file, kind, form = (
            found[1] if (found := re.search(rf"^\s*{key} \"?([^\";]+)", body, re.MULTILINE)) else ""
            for key in ("file", "type", "masterfile-format")
        )
        known = zones.get(plain(name))
        if known is None or not known.file:
            zones[plain(name)] = Statement(kind, file, form or "text")
    return Conf(text, directory[1].rstrip("/") if directory else "", zones)


def read_zone(machine: Machine, zone: str) -> ZoneFile:
    """A zone's file, found through named.conf.

    Raises CheckFailed, with what named says and in which line, if named.conf or the file has an error, or has no such zone.
    """
    conf, zone = read_conf(machine), plain(zone)
    there = conf.zones.get(zone)
    if there is None or not there.file:
        others = ", ".join(name or "." for name in conf.zones) or "none"
        raise CheckFailed(f"{CONF} on {machine.name} has no zone {zone} with a file; its zones: {others}", zone)
    path = conf.path(zone)
    # Named refuses odd names in its own zones (check-names); named-checkzone only warns unless told otherwise.
    dumped = machine.once(
        machine.backend.quote(
            f"{_AS_NAMED} named-checkzone -D -k fail -f %s -w %s %s %s", there.form, conf.directory or "/", zone, path
        )
    )
    if dumped.rc:
        said = _complaint((dumped.stderr + dumped.stdout).splitlines(), path)
        if "permission denied" in said:
            raise CheckFailed(f"named cannot read {path}: {said}", "a file that the user named may read")
        raise CheckFailed(f"named-checkzone refuses {path}: {said}", "OK")
    records = tuple(
        Record(owner.lower(), kind, _data(kind, data)) for owner, kind, data in _RECORD.findall(dumped.stdout)
    )
    serial = next((record.data.split()[2] for record in records if record.kind == "SOA"), "")
    return ZoneFile(path, serial, records)


def plain(zone: str) -> str:
    """The name of a zone in small letters and without its final dot."""
    return zone.lower().rstrip(".")


def _complaint(lines: list[str], path: str) -> str:
    told = [line for line in lines if line.strip() and not _BESIDE.search(line)]
    return next((line for line in told if f"{path}:" in line), (told or ["it says nothing"])[0])


def _data(kind: str, data: str) -> str:
    words = " ".join(data.split())
    return words if kind == "TXT" else words.lower()
