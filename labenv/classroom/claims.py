"""Whether the parts of a submission agree: its check results with its own files and evidence.

A person who repacks an archive can make its manifest match. A result that a step passes has to match the files too.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator

from labenv.classroom.archive import Archive

_MAIN = "etc/postfix/main.cf"
_LARGEST = 200_000  # bytes of a file that are read: far more than a person writes
_MARKED = r"my(?:hostname|domain|origin|destination|networks)|relay_domains|relayhost|inet_interfaces|mailbox_command"


def contradictions(archive: Archive, student: str, network: str, holding: set[str]) -> list[str]:
    """A sentence for each claim of an archive that its own files contradict. `holding` are the steps it says pass."""
    files = _Files(archive, f"{student}.ops", network)
    notes = []
    for machine in ("vm2", "vm3"):
        given = files.postfix(machine).get("mydomain", "")
        if given and given.casefold() != files.domain.casefold():
            notes.append(f"the domain in main.cf of {machine} is {given}, not the student's")
    for step, (test, wanted) in _CLAIMS.items():
        if step in holding and not test(files):
            notes.append(f"check.json says that step {step} passes, but {wanted}")
    return notes + list(_evidence(files))


class _Files:
    """What the configuration files of an archive set."""

    def __init__(self, archive: Archive, domain: str, network: str) -> None:
        self.archive, self.domain = archive, domain
        self.network = ipaddress.IPv4Network(network)

    def text(self, machine: str, path: str) -> str:
        return self.archive.text(f"config/{machine}/{path}")[:_LARGEST]

    def postfix(self, machine: str) -> dict[str, str]:
        """main.cf as Postfix reads it (postconf(5)): an indented line continues the one before, and the last value counts."""
        lines = [line for line in self.text(machine, _MAIN).splitlines() if line.strip() and line.lstrip()[0] != "#"]
        logical = re.sub(r"\n\s+", " ", "\n".join(lines)).splitlines()
        return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in logical)}

    def expanded(self, machine: str, name: str) -> str:
        """A parameter of main.cf, with the two names that the sheet uses expanded."""
        value = self.postfix(machine).get(name, "")
        for used, meant in (("mydomain", self.domain), ("myhostname", f"{machine}.{self.domain}")):
            value = re.sub(rf"\$(?:{used}\b|\{{{used}\}}|\({used}\))", meant, value)
        return value.casefold()

    def dovecot(self, name: str) -> set[str]:
        """The values that Dovecot's files on vm3 set a parameter to."""
        texts = [self.archive.text(n) for n in self.archive.members if n.startswith("config/vm3/etc/dovecot/")]
        pattern = re.compile(rf"^[^\S\n]*{name}[^\S\n]*=[^\S\n]*(.*)$", re.MULTILINE)
        return {value.partition("#")[0].strip() for text in texts for value in pattern.findall(text)}

    def zone(self) -> str:
        return "\n".join(self.archive.text(n) for n in self.archive.members if n.startswith("config/host/var/named/"))

    def may_let_in(self, machine: str, port: int) -> bool:
        """Whether a line of the saved firewall of a machine may let somebody connect to a port.

        Where the line stands and what it asks for besides is not judged here: the checks ask a kernel.
        """
        saved = self.text(machine, "etc/sysconfig/iptables")
        text = re.sub(r"^\*(?!filter\b).*?^COMMIT$", "", saved, flags=re.MULTILINE | re.DOTALL)
        return bool(re.search(r"^\s*(:INPUT\s+ACCEPT|-P\s+INPUT\s+ACCEPT)", text, re.MULTILINE)) or any(
            _may_accept(line, port) for line in text.splitlines()
        )


def _may_accept(line: str, port: int) -> bool:
    """Whether a rule accepts something, and names no ports or this one (iptables(8)), nor the loopback interface or a state alone."""
    if not re.search(r"\s(-j|--jump)\s+ACCEPT\b", line):
        return False
    ports = re.search(r"\s--(?:dports?|destination-ports?|ports)\s+(\S+)", line)
    if not ports:
        return not re.search(r"\s(-i\s+lo|--in-interface\s+lo|icmp|udp|RELATED|ESTABLISHED)\b", line)
    return any(_within(port, *span.split(":", 1)) for span in ports[1].split(","))


def _within(port: int, first: str, last: str | None = None) -> bool:
    """Whether a port is in a range; what is no number is the name of a service, and may be this one."""
    low, high = first or "0", first if last is None else last or "65535"
    return not (low.isdecimal() and high.isdecimal()) or int(low) <= port <= int(high)


def _untold(value: str) -> bool:
    """Whether a value comes from a table, a file or another parameter, which is not read here."""
    return bool(re.search(r"[$:]|(^|[\s,])/", value))


def _trusts_network(files: _Files) -> bool:
    given = files.postfix("vm3")
    nets = files.expanded("vm3", "mynetworks")
    return _untold(nets) or (
        any(_covers(net, files.network) for net in re.split(r"[,\s]+", nets))
        if nets
        else given.get("mynetworks_style") in ("subnet", "class")
    )


def _covers(net: str, network: ipaddress.IPv4Network) -> bool:
    try:
        return network.subnet_of(ipaddress.IPv4Network(net, strict=False))
    except ValueError:  # a name or a negation
        return False


# For each step: what the files need if it passes, and the note if that is missing. Only what all right ways of doing the
# step have in common is needed, so that right work gets no note.
_CLAIMS: dict[str, tuple[Callable[[_Files], object], str]] = {
    "9": (
        lambda f: all(_untold(v) or v == f.domain for v in (f.expanded(m, "myorigin") for m in ("vm2", "vm3"))),
        "myorigin is not the domain in main.cf of vm2 and vm3",
    ),
    "11": (
        lambda f: (
            _untold(f.expanded("vm3", "mydestination"))
            or f.domain in re.split(r"[,\s]+", f.expanded("vm3", "mydestination"))
        ),
        "mydestination in main.cf of vm3 does not contain the domain",
    ),
    "12": (
        lambda f: re.search(r"^[^;\n]*\sMX\s", f.zone(), re.MULTILINE | re.IGNORECASE),
        "no zone file has an MX record",
    ),
    "17": (lambda f: f.expanded("vm2", "relayhost"), "main.cf of vm2 sets no relayhost"),
    "19": (_trusts_network, "mynetworks in main.cf of vm3 does not contain the network"),
    "22": (
        lambda f: "dovecot" in f.expanded("vm3", "mailbox_command"),
        "main.cf of vm3 does not deliver through Dovecot",
    ),
    "23": (
        lambda f: any("maildir:" in v for v in f.dovecot("mail_location")),
        "no Dovecot file sets mail_location to a Maildir",
    ),
    "28": (lambda f: any("imap" in v for v in f.dovecot("protocols")), "no Dovecot file sets protocols to imap"),
    "31": (lambda f: f.may_let_in("vm3", 143), "the saved firewall of vm3 does not let host connect to port 143"),
    "33": (
        lambda f: "no" in f.dovecot("disable_plaintext_auth"),
        "no Dovecot file sets disable_plaintext_auth to no",
    ),
    "41": (lambda f: f.may_let_in("vm3", 25), "the saved firewall of vm3 does not let host connect to port 25"),
}


def _evidence(files: _Files) -> Iterator[str]:
    """Whether the evidence quotes main.cf as it is in the archive, and comes from the student's machine."""
    for machine in ("vm2", "vm3"):
        text = files.archive.text(f"evidence/{machine}.txt")
        lines = re.findall(rf"^(?:{_MARKED}).*$", files.text(machine, _MAIN), re.MULTILINE)
        quoted = {line.strip() for line in text.splitlines()}
        if missing := [line for line in lines if line.strip() not in quoted]:
            yield f"evidence of {machine} does not contain the line '{missing[0][:80]}' of its main.cf"
        if text and f"\n{machine}.{files.domain}\n" not in text:
            yield f"evidence of {machine} does not show the host name {machine}.{files.domain}"
