"""What a machine's firewall lets in, as its rules have it (iptables-save(8)). What it does with a packet is measured (`reach`)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from labenv.checks.firewall import Rule, Rules, parse
from labenv.text import one_line

# nft(8) lists the tables of iptables among its own.
ASK = "iptables-save -t filter 2>/dev/null; echo --; nft list tables 2>/dev/null"
_OF_IPTABLES = re.compile(r"table ip6? (filter|nat|mangle|raw|security)")
_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')
_SAYS_NOTHING = {"-m", "--comment", "--syn", "--tcp-flags"}
_TARGETS = {"-j", "-g"}
_REST = {"ACCEPT": "accepts the rest", "DROP": "drops the rest", "REJECT": "rejects the rest"}
_DEEPEST = 8  # chains that lead to one another
_LONGEST = 60  # characters of one opening


@dataclass(frozen=True)
class Opening:
    """What one rule accepts, in words: "22/tcp from 192.168.15.0/24". `ports` are those of TCP that it names one by one.

    A `late` one comes after a rule that lets nothing through any more.
    """

    words: str
    ports: tuple[int, ...] = ()
    late: bool = False

    def __str__(self) -> str:
        """The words, and whether the rule is of any use."""
        return f"{self.words} (too late: a rule before it refuses everything)" if self.late else self.words


@dataclass(frozen=True)
class Firewall:
    """What the rules for incoming packets accept, and what they do with the rest, in words. `others` are tables of nft's own.

    Answers to a machine's own connections, and what it says to itself, are left out.
    """

    openings: tuple[Opening, ...]
    rest: str
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """It in one line."""
        if not self.openings and self.rest == _REST["ACCEPT"]:
            said = "accepts everything"
        else:
            said = f"accepts {', '.join(map(str, self.openings)) or 'nothing'}; {self.rest}"
        return said + "".join(f"; nft's own {table} is not read here" for table in self.others)


def parsed(told: str) -> Firewall:
    """The firewall in what a machine said, which may be anything. Without rules, everything is accepted."""
    saved, _, tables = told.partition("--\n")
    rules = parse(saved)
    found, end = _walk(rules, "INPUT", (), ())
    policy = next((r.text for r in rules.rules if (r.table, r.chain, r.number) == ("filter", "INPUT", 0)), "ACCEPT")
    others = [line.strip() for line in tables.splitlines() if line.startswith("table ")]
    mine = tuple(one_line(line)[:_LONGEST] for line in others if not _OF_IPTABLES.fullmatch(line))
    return Firewall(tuple(dict.fromkeys(found)), _REST.get(end or policy, _REST["ACCEPT"]), mine)


@dataclass(frozen=True)
class _Asks:
    """A condition of a rule: an option with its values, such as `-s` with a network, or the contrary of it (`!`)."""

    option: str
    values: str
    contrary: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, ["!" if self.contrary else "", self.option, self.values]))


def _walk(rules: Rules, chain: str, given: Sequence[_Asks], above: Sequence[str]) -> tuple[list[Opening], str]:
    """What a chain accepts of the packets that come to it, and the target by which it ends the way of all that are left, if it has one."""
    found: list[Opening] = []
    end = ""
    for rule in (r for r in rules.rules if (r.table, r.chain) == ("filter", chain) and r.number):
        asks, there, ends = _conditions(rule), list[Opening](), ""
        if rule.target == "ACCEPT":
            there = list(_opening([*given, *asks]))
        if rule.target in _REST:
            ends = rule.target
        elif rule.target not in above and len(above) < _DEEPEST:
            there, ends = _walk(rules, rule.target, [*given, *asks], (*above, chain))
        found += [replace(one, late=one.late or end in ("DROP", "REJECT")) for one in there]
        end = end or ("" if asks else ends)
    return found, end


def _conditions(rule: Rule) -> list[_Asks]:
    """What a packet has to be like for the rule, as iptables-save writes it."""
    found: list[_Asks] = []
    contrary = False
    for word in _PARTS.findall(rule.text)[2:]:  # after -A CHAIN
        if word in _TARGETS:
            break
        if word == "!":
            contrary = True
        elif word.startswith("-"):
            found.append(_Asks(word, "", contrary))
            contrary = False
        elif found:
            found[-1] = replace(found[-1], values=f"{found[-1].values} {word}".strip())
    return [one for one in found if one.option not in _SAYS_NOTHING]


def _opening(asks: Sequence[_Asks]) -> Iterator[Opening]:
    """What is accepted under these conditions; nothing if it is no new connection from elsewhere."""
    plain = {one.option: one.values for one in asks if not one.contrary}
    state = plain.get("--state") or plain.get("--ctstate") or "NEW"
    if plain.get("-i") == "lo" or "NEW" not in state:
        return
    protocol, ports = plain.get("-p", ""), plain.get("--dports") or plain.get("--dport") or ""
    said = f"{ports}/{protocol}" if ports else protocol or "everything"
    said += "".join(f" {word} {plain[option]}" for option, word in (("-s", "from"), ("-i", "on")) if option in plain)
    told = {"-p", "-s", "-i", "--dport", "--dports", "--state", "--ctstate"}
    said += "".join(f" {one}" for one in asks if one.contrary or one.option not in told)
    numbers = tuple(int(port) for port in ports.split(",") if port.isdecimal() and int(port) < 65536)
    yield Opening(one_line(said)[:_LONGEST], numbers if protocol == "tcp" else ())
