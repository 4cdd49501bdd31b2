"""What a machine says of its own name, its resolver, its programs and its ifcfg files."""

import re
from dataclasses import dataclass

from labenv.checks.machine import QUICK, Machine

_SECTION = "=== "
_LOOK = f"""
echo '{_SECTION}hosts'; cat /etc/hosts
echo '{_SECTION}resolver'; cat /etc/resolv.conf
echo '{_SECTION}name'; hostname
echo '{_SECTION}full'; case $(hostname) in *.*) {QUICK} hostname -f 2>&1;; esac
echo '{_SECTION}wish'; cat /etc/hostname
echo '{_SECTION}programs'; for program in host dig nslookup lynx; do command -v $program; done
for file in /etc/sysconfig/network-scripts/ifcfg-*; do echo "{_SECTION}$file"; cat "$file"; echo; done
"""
# What the network scripts pass over.
_NO_CONFIG = re.compile(r"(~|\.(bak|orig|old|save|swp|rpm\w+))$")


@dataclass(frozen=True)
class Ifcfg:
    """The file of an interface: its path and its settings, of which the last counts."""

    path: str
    settings: dict[str, str]


@dataclass(frozen=True)
class State:
    """What a machine says.

    `servers` and `search` are in force, `name` and `full` too, which is asked for where the name has a domain; `wish` is the name for the next boot. The files are those of all
    interfaces but lo.
    """

    hosts: tuple[str, ...]
    servers: tuple[str, ...]
    search: tuple[str, ...]
    name: str
    full: str
    wish: str
    programs: frozenset[str]
    ifcfg: tuple[Ifcfg, ...]

    @property
    def later_servers(self) -> list[str]:
        """The name servers that the files of the interfaces have, in their order."""
        keys = ("DNS1", "DNS2", "DNS3")
        return [value for file in self.ifcfg for key in keys if (value := file.settings.get(key))]

    @property
    def later_search(self) -> list[str]:
        """The search domains that the files of the interfaces have: DOMAIN, else SEARCH."""
        said = [file.settings.get("DOMAIN") or file.settings.get("SEARCH", "") for file in self.ifcfg]
        return " ".join(said).lower().split()


def of(machine: Machine) -> State:
    """The state of a machine, looked up once for all checks of a run."""
    return read(str(machine.once(_LOOK).stdout))


def read(said: str) -> State:
    """The state of a machine in what it answered."""
    sections: dict[str, list[str]] = {}
    for part in re.split(rf"^{_SECTION}", said, flags=re.MULTILINE)[1:]:
        title, *lines = part.splitlines()
        sections[title] = lines
    resolver = [words for line in sections.get("resolver", []) if (words := line.split())]
    search = [words[1:] for words in resolver if words[0] in ("search", "domain")]

    ifcfg = [
        _ifcfg(path, lines) for path, lines in sections.items() if path.startswith("/") and not _NO_CONFIG.search(path)
    ]

    def first(section: str) -> str:
        return "".join(sections.get(section, [])[:1]).strip()

    return State(
        hosts=tuple(sections.get("hosts", [])),
        servers=tuple(words[1] for words in resolver if words[0] == "nameserver" and len(words) > 1),
        search=tuple(domain.lower().rstrip(".") for domain in (search[-1] if search else [])),  # the last line counts
        name=first("name"),
        full=first("full"),
        wish=first("wish"),
        programs=frozenset(path.rpartition("/")[2] for path in sections.get("programs", [])),
        ifcfg=tuple(file for file in ifcfg if file.settings.get("DEVICE") != "lo"),
    )


def _ifcfg(path: str, lines: list[str]) -> Ifcfg:
    found = (re.match(r"\s*(\w+)=[\"']?([^\"'#]*)", line) for line in lines)
    return Ifcfg(path, {setting[1]: setting[2].strip() for setting in found if setting})
