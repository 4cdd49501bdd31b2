"""What a saved iptables rule set would do with a new connection (iptables(8), iptables-extensions(8)).

Machines may not load rules into a scratch network namespace, so this module walks the rules. It knows only what decides
about a new TCP connection; a rule with any other match is treated as not matching.
"""

import ipaddress
import shlex
from dataclasses import dataclass, field

_SERVICES = {"ssh": 22, "smtp": 25, "domain": 53, "http": 80, "pop3": 110, "imap": 143, "imap2": 143, "imaps": 993}
_LONG = {
    "--protocol": "-p",
    "--source": "-s",
    "--src": "-s",
    "--destination": "-d",
    "--dst": "-d",
    "--in-interface": "-i",
    "--jump": "-j",
    "--goto": "-g",
    "--match": "-m",
    "--destination-port": "--dport",
    "--destination-ports": "--dports",
    "--ctstate": "--state",
    "--append": "-A",
    "--insert": "-I",
}
# Matches and target options that do not matter for a first packet.
_HARMLESS = {
    "-m",
    "--comment",
    "--dst-type",
    "--reject-with",
    "--log-prefix",
    "--log-level",
    "--limit",
    "--limit-burst",
    "-c",
}
_FINAL = {"ACCEPT", "DROP", "REJECT"}


@dataclass(frozen=True)
class Connection:
    """A new incoming TCP connection: from where, to which address and port."""

    source: str
    destination: str
    port: int
    interface: str = "eth0"


@dataclass(frozen=True)
class Decision:
    """What happens to a connection (ACCEPT, DROP or REJECT), and the rule that decides, as it is written."""

    verdict: str
    by: str

    def of(self, what: str) -> str:
        """The decision as the end of a clause: "DROP port 143 (policy of INPUT)"."""
        return f"{self.verdict} {what} ({self.by})"


@dataclass(frozen=True)
class _Rule:
    options: dict[str, list[str]]
    text: str


@dataclass
class RuleSet:
    """The filter table of a file in the format of iptables-save(8)."""

    policies: dict[str, str] = field(default_factory=dict)
    chains: dict[str, list[_Rule]] = field(default_factory=dict)

    def decide(self, connection: Connection, chain: str = "INPUT") -> Decision:
        """What happens to the connection."""
        by_policy = Decision(self.policies.get(chain, "ACCEPT"), f"policy of {chain}")
        return self._walk(connection, chain, {}) or by_policy

    def _walk(self, connection: Connection, chain: str, walked: dict[str, Decision | None]) -> Decision | None:
        """What a chain decides. Each is walked once: otherwise chains that jump twice take twice as long with each further one."""
        if chain in walked:
            return walked[chain]
        walked[chain] = None  # a loop, which the kernel refuses, decides nothing
        walked[chain] = self._decided(connection, chain, walked)
        return walked[chain]

    def _decided(self, connection: Connection, chain: str, walked: dict[str, Decision | None]) -> Decision | None:
        for rule in self.chains.get(chain, []):
            if not _matches(rule.options, connection):
                continue
            target = (rule.options.get("-j") or rule.options.get("-g") or [""])[-1]
            if target in _FINAL:
                return Decision(target, rule.text)
            if target == "RETURN":
                return None
            if target in self.chains:
                final = self._walk(connection, target, walked)
                if final or "-g" in rule.options:
                    return final
        return None


def parse(text: str) -> RuleSet:
    """The filter table in the output of iptables-save or in what a student typed. Skips lines that are not rules."""
    rules = RuleSet()
    table = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("*"):
            table = line[1:]
        elif table != "filter":
            continue
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            rules.policies[chain] = policy if policy != "-" else ""
            rules.chains.setdefault(chain, [])
        elif line.startswith(("-A", "--append", "[")):
            options = _options(line)
            rules.chains.setdefault(options.pop("-A", ["INPUT"])[-1], []).append(_Rule(options, line))
        elif line.startswith(("-I", "--insert")):
            options = _options(line)
            chain, *place = options.pop("-I")
            rules.chains.setdefault(chain, []).insert(int(place[0]) - 1 if place else 0, _Rule(options, line))
        elif line.startswith("-P "):
            chain, policy = line.split()[1:3]
            rules.policies[chain] = policy
    return rules


def _options(line: str) -> dict[str, list[str]]:
    """The options of a rule, as short names, each with its values; a "!" before or after the name comes first in the values."""
    options: dict[str, list[str]] = {}
    name, negated = "", False
    for word in shlex.split(line, comments=True):
        if word == "!":
            negated = True
        elif word.startswith("-") and not word.lstrip("-").isdigit():
            name = _LONG.get(word, word)
            options[name] = ["!"] if negated else []
            negated = False
        elif name:
            options[name] += ["!", word] if negated else [word]
            negated = False
    return options


def _matches(rule: dict[str, list[str]], connection: Connection) -> bool:
    for name, values in rule.items():
        if name in _HARMLESS or name in ("-j", "-g"):
            continue
        negated, plain = "!" in values, [value for value in values if value != "!"]
        holds = _holds(name, plain, connection)
        if holds is None or holds == negated:
            return False
    return True


def _holds(name: str, values: list[str], connection: Connection) -> bool | None:  # noqa: PLR0911  # a table of matches
    value = values[-1] if values else ""
    match name:
        case "-p":
            return value in ("tcp", "6", "all", "0")
        case "-s":
            return _within(connection.source, value)
        case "-d":
            return _within(connection.destination, value)
        case "--src-range":
            first, _, last = value.partition("-")
            return _between(connection.source, first, last or first)
        case "-i":
            return value == connection.interface or (
                value.endswith("+") and connection.interface.startswith(value[:-1])
            )
        case "--dport" | "--dports":
            return any(_covers(ports, connection.port) for ports in value.split(","))
        case "--state":
            return "NEW" in value.split(",")
        case "--syn":
            return True
        case "--tcp-flags":
            return values[-1:] == ["SYN"]
    return None


def _within(address: str, nets: str) -> bool:
    try:
        return any(ipaddress.ip_address(address) in ipaddress.ip_network(net, strict=False) for net in nets.split(","))
    except ValueError:  # a host name, which iptables would resolve
        return False


def _between(address: str, first: str, last: str) -> bool:
    low, here, high = map(ipaddress.IPv4Address, (first, address, last))
    return low <= here <= high


def _covers(ports: str, port: int) -> bool:
    first, _, last = ports.partition(":")
    low, high = (_SERVICES.get(end, int(end) if end.isdigit() else -1) for end in (first or "0", last or first))
    return low <= port <= (high if last or ":" not in ports else 65535)
