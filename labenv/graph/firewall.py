"""What a machine's firewall lets in, as its rules have it (iptables-save(8)). What it does with a packet is measured (`reach`)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

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
class Ruling:
    """What one rule accepts, or with `refuses` the contrary, in words: "22/tcp from 192.168.15.0/24".

    `ports` are those of TCP that it names one by one. A `late` one comes after a rule that lets nothing through any more. An `inner` one
    stands in a chain of the machine's own.
    """

    words: str
    ports: tuple[int, ...] = ()
    late: bool = False
    refuses: bool = False
    inner: bool = False

    def __str__(self) -> str:
        """The words, and whether the rule is of any use."""
        return f"{self.words} (too late: a rule before it refuses everything)" if self.late else self.words


@dataclass(frozen=True)
class Firewall:
    """What the rules for incoming packets accept and refuse, in their order, and what they do with the rest, in words.

    Answers to a machine's own connections, and what it says to itself, are left out; so is what a chain of its own refuses if all
    the rest is refused, too. `others` are tables of nft's own.
    """

    rulings: tuple[Ruling, ...]
    rest: str
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """It in one line."""
        said = [
            f"{'refuses' if refuses else 'accepts'} {', '.join(map(str, group))}"
            for refuses, group in groupby(self.rulings, lambda one: one.refuses)
        ]
        if not said:
            said = ["accepts everything" if self.rest == _REST["ACCEPT"] else f"accepts nothing; {self.rest}"]
        else:
            said.append(self.rest)
        return "; ".join([*said, *(f"nft's own {table} is not read here" for table in self.others)])


def parsed(told: str) -> Firewall:
    """The firewall in what a machine said, which may be anything. Without rules, everything is accepted."""
    saved, _, tables = told.partition("--\n")
    rules = parse(saved)
    found, end = _walk(rules, "INPUT", (), ())
    policy = next((r.text for r in rules.rules if (r.table, r.chain, r.number) == ("filter", "INPUT", 0)), "ACCEPT")
    others = [line.strip() for line in tables.splitlines() if line.startswith("table ")]
    mine = tuple(one_line(line)[:_LONGEST] for line in others if not _OF_IPTABLES.fullmatch(line))
    rest = _REST.get(end or policy, _REST["ACCEPT"])
    worth = (one for one in found if not one.inner or not one.refuses or rest == _REST["ACCEPT"])
    return Firewall(tuple(one for one in dict.fromkeys(worth) if not (one.refuses and one.late)), rest, mine)


@dataclass(frozen=True)
class _Asks:
    """A condition of a rule: an option with its values, such as `-s` with a network, or the contrary of it (`!`)."""

    option: str
    values: str
    contrary: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, ["!" if self.contrary else "", self.option, self.values]))


def _walk(rules: Rules, chain: str, given: Sequence[_Asks], above: Sequence[str]) -> tuple[list[Ruling], str]:
    """What a chain accepts and refuses of the packets that come to it, and the target by which it ends the way of all that are left."""
    found: list[Ruling] = []
    end = ""
    for rule in (r for r in rules.rules if (r.table, r.chain) == ("filter", chain) and r.number):
        asks, target = _parts(rule)
        there: list[Ruling] = []
        ends = ""
        if target in _REST:
            ends = target
            there = [replace(one, inner=bool(above)) for one in _ruling([*given, *asks], refuses=target != "ACCEPT")]
        elif target not in above and len(above) < _DEEPEST:
            there, ends = _walk(rules, target, [*given, *asks], (*above, chain))
        found += [replace(one, late=one.late or end in ("DROP", "REJECT")) for one in there]
        end = end or ("" if asks else ends)
    return found, end


def _parts(rule: Rule) -> tuple[list[_Asks], str]:
    """What a packet has to be like for the rule, as iptables-save writes it, and its target: "" if it has none."""
    found: list[_Asks] = []
    contrary = False
    words = iter(_PARTS.findall(rule.text)[2:])  # after -A CHAIN
    for word in words:
        if word in _TARGETS:
            return _telling(found), next(words, "")
        if word == "!":
            contrary = True
        elif word.startswith("-"):
            found.append(_Asks(word, "", contrary))
            contrary = False
        elif found:
            found[-1] = replace(found[-1], values=f"{found[-1].values} {word}".strip())
    return _telling(found), ""


def _telling(asks: Sequence[_Asks]) -> list[_Asks]:
    return [one for one in asks if one.option not in _SAYS_NOTHING]


def _ruling(asks: Sequence[_Asks], *, refuses: bool) -> Iterator[Ruling]:
    """What is accepted, or refused, under these conditions; nothing if it is all the rest, or no new connection from elsewhere."""
    plain = {one.option: one.values for one in asks if not one.contrary}
    state = plain.get("--state") or plain.get("--ctstate") or "NEW"
    if not asks or plain.get("-i") == "lo" or "NEW" not in state:
        return
    protocol, ports = plain.get("-p", ""), plain.get("--dports") or plain.get("--dport") or ""
    said = f"{ports}/{protocol}" if ports else protocol or "everything"
    said += "".join(f" {word} {plain[option]}" for option, word in (("-s", "from"), ("-i", "on")) if option in plain)
    told = {"-p", "-s", "-i", "--dport", "--dports", "--state", "--ctstate"}
    said += "".join(f" {one}" for one in asks if one.contrary or one.option not in told)
    numbers = tuple(int(port) for port in ports.split(",") if port.isdecimal() and int(port) < 65536)
    yield Ruling(one_line(said)[:_LONGEST], numbers if protocol == "tcp" else (), refuses=refuses)
