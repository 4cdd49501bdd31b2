"""Whether the parts of a submission agree: its check results with its own files and evidence.

A person who repacks an archive can make its manifest match. A result that a step passes has to match the files too. What the files
must show is the lab's: its module `claims`, if it has one, has a function `contradictions(files, passing)`, which yields sentences.
Without one, nobody is accused.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from labenv.classroom.handins.archive import Archive
from labenv.errors import LabenvError
from labenv.lab import modules
from labenv.lab.model import Lab

MODULE = "claims"
_LARGEST = 200_000  # bytes of a file that are read: far more than a person writes
_MOST = 100  # sentences about one archive


@dataclass(frozen=True)
class Files:
    """What a lab's module may look at: the text files of an archive, the student's domain and network."""

    archive: Archive
    domain: str
    network: ipaddress.IPv4Network

    def text(self, machine: str, path: str) -> str:
        """A configuration file of a machine; empty if the archive does not have it."""
        return self.archive.text(f"config/{machine}/{path.lstrip('/')}")[:_LARGEST]

    def below(self, machine: str, folder: str) -> list[str]:
        """The configuration files of a machine in a folder, and in those in it."""
        start = f"config/{machine}/{folder.strip('/')}/"
        return [self.archive.text(name)[:_LARGEST] for name in self.archive.members if name.startswith(start)]

    def evidence(self, machine: str) -> str:
        """The evidence of a machine; empty if the archive does not have it."""
        return self.archive.text(f"evidence/{machine}.txt")


def contradictions(archive: Archive, lab: Lab, domain: str, network: str, passing: set[str]) -> list[str]:
    """A sentence for each claim of an archive that its own files contradict. `passing` are the steps it says pass."""
    if not (lab.folder / f"{MODULE}.py").exists():
        return []
    found: list[str] = []
    try:
        with modules.compiled_apart(lab):
            judge: Callable[[Files, set[str]], Iterable[str]] = modules.load(lab.folder, MODULE).contradictions
        for sentence in judge(Files(archive, domain, ipaddress.IPv4Network(network)), passing):
            found.append(str(sentence))
            if len(found) == _MOST:
                break
    except LabenvError:
        raise
    except Exception as error:  # a lab's own program, on what anybody may have packed
        found.append(
            f"whether its files agree with its results was not looked at: {MODULE}.py of {lab.id} failed: {error!r}"
        )
    return found


def may_let_in(saved: str, port: int, protocol: str = "tcp") -> bool:
    """Whether a line of saved firewall rules (iptables-save(8)) may let somebody connect to a port.

    Where the line stands and what it asks for besides is not judged here: the checks ask a kernel.
    """
    text = re.sub(r"^\*(?!filter\b).*?^COMMIT$", "", saved, flags=re.MULTILINE | re.DOTALL)
    return bool(re.search(r"^\s*(:INPUT\s+ACCEPT|-P\s+INPUT\s+ACCEPT)", text, re.MULTILINE)) or any(
        _may_accept(line, port, protocol) for line in text.splitlines()
    )


def _may_accept(line: str, port: int, protocol: str) -> bool:
    """Whether a rule accepts something, and names no ports or this one (iptables(8)), nor the loopback interface or a state alone."""
    if not re.search(r"\s(-j|--jump)\s+ACCEPT\b", line):
        return False
    ports = re.search(r"\s--(?:dports?|destination-ports?|ports)\s+(\S+)", line)
    if not ports:
        other = "udp" if protocol == "tcp" else "tcp"
        return not re.search(rf"\s(-i\s+lo|--in-interface\s+lo|icmp|{other}|RELATED|ESTABLISHED)\b", line)
    return any(_within(port, *span.split(":", 1)) for span in ports[1].split(","))


def _within(port: int, first: str, last: str | None = None) -> bool:
    """Whether a port is in a range; what is no number is the name of a service, and may be this one."""
    low, high = first or "0", first if last is None else last or "65535"
    return not (low.isdecimal() and high.isdecimal()) or int(low) <= port <= int(high)
