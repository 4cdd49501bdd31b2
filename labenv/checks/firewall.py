"""What a machine's firewall did with a packet, and whether the rules in force are those that are saved (iptables-save(8)).

Nothing here decides what a rule means: the kernel counts for each rule the packets that it matched, and what it then did with
them is the rule's own target. In tables of nft's own only a rule that says `counter` is counted (nft(8)).
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine
from labenv.text import decoded

T = TypeVar("T")
S_co = TypeVar("S_co", covariant=True)

NOW = "iptables-save"
_COUNTERS = "iptables-save -c"
_LARGEST = 100_000  # characters
_LONGEST = 300  # of one rule
# The chains that a packet passes: on its way out of a machine, and on its way in (iptables(8), TABLES).
_OUT = (
    *((table, "OUTPUT") for table in ("raw", "mangle", "nat", "filter", "security")),
    ("mangle", "POSTROUTING"),
)
_IN = (
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    *((table, "INPUT") for table in ("mangle", "nat", "filter", "security")),
)
_THROUGH = (
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    *((table, "FORWARD") for table in ("mangle", "filter", "security")),
    ("mangle", "POSTROUTING"),
)
_REFUSES = {"DROP": "drops", "REJECT": "rejects"}
_CALM = 0.3  # seconds in which is counted what comes anyway
_ENGINES = re.compile(r"\bDOCKER_\w+")  # the container engine's own chains
_OWN_TABLES = "nft list ruleset"


@dataclass(frozen=True)
class Rule:
    """A rule, or as number 0 the policy, of a chain, with the number of packets that it matched."""

    table: str
    chain: str
    number: int
    text: str
    packets: int = 0

    @property
    def target(self) -> str:
        """What is done with a packet that it matches: the name of a target or of a chain; empty if nothing."""
        if not self.number:
            return self.text
        jump = re.search(r" -[jg] (\S+)", self.text)
        return jump[1] if jump else ""

    @property
    def place(self) -> tuple[str, str, int, str]:
        """What stays as it is while packets are counted."""
        return self.table, self.chain, self.number, self.text

    def __str__(self) -> str:
        """Where it is, and the rule as iptables-save prints it."""
        what = f"rule {self.number}, {self.text}" if self.number else f"policy {self.text}"
        return f"{self.table} {self.chain}, {what}"


@dataclass(frozen=True)
class Rules:
    """All rules of a machine at one moment, in their order."""

    rules: tuple[Rule, ...]

    def first(self, since: "Rules", chains: Iterable[tuple[str, str]], targets: Iterable[str]) -> Rule | None:
        """The first rule on a packet's way through `chains` that has one of the targets, and matched a packet `since` then."""
        before = {r.place: r.packets for r in since.rules}
        risen = [r for r in self.rules if r.packets > before.get(r.place, 0)]
        for table, chain in chains:
            reached = self._reached(table, chain)
            for rule in risen:
                if (rule.table, rule.chain) in reached and rule.target in targets:
                    return rule
        return None

    def dropped(self, since: "Rules") -> int:
        """How many packets were dropped since then on their way in."""
        before = {r.place: r.packets for r in since.rules}
        reached = set().union(*(self._reached(table, chain) for table, chain in _IN))
        drops = [r for r in self.rules if r.target == "DROP" and (r.table, r.chain) in reached]
        return sum(max(0, r.packets - before.get(r.place, 0)) for r in drops)

    def _reached(self, table: str, chain: str) -> set[tuple[str, str]]:
        """That chain, and all that a packet may come to from it."""
        found: set[tuple[str, str]] = set()
        ahead = {chain}
        while ahead:
            found |= {(table, name) for name in ahead}
            ahead = {r.target for r in self.rules if r.table == table and r.chain in ahead} - {n for _, n in found}
        return found

    def remark(self, rule: Rule, port: int) -> str:
        """What keeps the rules for a port from being of use where `rule` refuses a packet to it: the end of a sentence.

        One that accepts it comes later than the rule; or asks for something else. Empty if neither is seen.
        """
        accepting = [r for r in self.rules if r.number and r.target == "ACCEPT" and _names(r, port)]
        late, first = self._behind(rule, accepting)
        if late:
            return (
                f"; your rule {late[0].number}, {late[0].text}, comes after it, so it is never reached: move it before rule "
                f"{first} (iptables -L {late[0].chain} -n --line-numbers shows both)"
            )
        if rule.number or rule.chain != "INPUT":
            return ""
        return f"; it does not match {accepting[0].text}" if accepting else f"; no rule accepts port {port}"

    def _behind(self, rule: Rule, accepting: Iterable[Rule]) -> tuple[list[Rule], int]:
        """Those of the rules that come after a rule in its chain, or after the one that leads to its chain, and that one's number."""
        for first in (rule, *(r for r in self.rules if r.number and (rule.table, rule.chain) in self._from(r))):
            late = [
                r for r in accepting if (r.table, r.chain) == (first.table, first.chain) and r.number > first.number > 0
            ]
            if late:
                return late, first.number
        return [], 0

    def _from(self, rule: Rule) -> set[tuple[str, str]]:
        """The chains to which a rule may lead."""
        return self._reached(rule.table, rule.target) if rule.target else set()

    def naming(self, port: int) -> tuple[str, ...]:
        """The texts of the rules that name that port."""
        return tuple(r.text for r in self.rules if _names(r, port))


def _names(rule: Rule, port: int) -> bool:
    return bool(re.search(rf"--[ds]?ports? (\S*[,:])?{port}\b", rule.text))


def parse(text: str) -> Rules:
    """The rules in what iptables-save prints, with or without counters. Skips lines that are not rules."""
    found: list[Rule] = []
    numbers: dict[tuple[str, str], int] = {}
    table = ""
    for line in text[:_LARGEST].split("\n"):
        if line.startswith("*"):
            table = line[1:].strip()
        elif match := re.match(r":(\S+) (\S+)(?: \[(\d+):\d+\])?", line):
            found.append(Rule(table, match[1], 0, match[2].replace("-", ""), int(match[3] or 0)))
        elif match := re.match(r"(?:\[(\d+):\d+\] )?(-A (\S+).*)", line):
            at = (table, match[3])
            numbers[at] = numbers.get(at, 0) + 1
            found.append(Rule(table, match[3], numbers[at], match[2].strip()[:_LONGEST], int(match[1] or 0)))
    return Rules(tuple(found))


def same(saved: str, now: str) -> bool:
    """Whether a file of rules is, but for comments, counters and the order of tables and chains, what iptables-save prints now.

    False means only that it may be something else. The container engine's own chains do not count, nor do tables without a rule.
    """
    if len(saved) > _LARGEST or "--match-set" in saved:  # no set is restored at boot (ipset(8))
        return False
    there = _tables(saved)
    return there is not None and there == _tables(now)


def _tables(text: str) -> dict[str, dict[str, list[str]]] | None:
    """The lines of each chain of each table; None if there is anything else between them."""
    tables: dict[str, dict[str, list[str]]] = {}
    table: dict[str, list[str]] | None = None
    for line in text.split("\n"):  # a carriage return is no end of a line for iptables-restore
        if not line.strip() or line.startswith("#") or _ENGINES.search(line):
            continue
        if line.startswith("*") and table is None:
            table = tables.setdefault(line[1:].rstrip(), {})
        elif line == "COMMIT" and table is not None:
            table = None
        elif table is None or not (match := re.match(r":(\S+) \S+|(?:\[\d+:\d+\] )?-A (\S+)( .*)?", line)):
            return None
        elif match[1]:
            table.setdefault(match[1], []).insert(0, line.split()[1])
        else:
            table.setdefault(match[2], []).append((match[3] or "").rstrip())
    empty = ["ACCEPT"]
    return None if table is not None else {n: t for n, t in tables.items() if any(c != empty for c in t.values())}


def saved(machine: Machine) -> Any:
    """The result of reading a machine's saved rules, once for all checks of a run."""
    return machine.once(f"head -c {_LARGEST} {machine.firewall.path}")


def decides(before: Rules, after: Rules) -> Rule | None:
    """The rule or policy that ended the way of the only packet that came in between."""
    refused = after.first(before, _IN, _REFUSES) or after.first(before, _OUT, _REFUSES)
    return refused or after.first(before, [("filter", "INPUT")], ["ACCEPT"])


def who_drops(
    start: Machine, end: Machine, again: Callable[[], object], port: int = 0, *, through: Sequence[Machine] = ()
) -> str:
    """Which machine's rule drops packets from `start` to `end` or the answers: the end of a sentence, empty if none is seen.

    `again` tries what failed once more, within a second or two; the counters are read before and after it. Rules that also match
    without that are named only if there is no other. With the `port`, it also says why the rules for it are of no use. `through` are
    the machines in between, in the order of the way.
    """
    if said := _who_drops(start, end, again, port, through)[1]:
        return said
    there = {machine.name: machine for machine in (start, *through, end)}
    return "".join(filter(None, map(_of_nft, there.values())))


def _who_drops(
    start: Machine, end: Machine, again: Callable[[], object], port: int, through: Sequence[Machine] = ()
) -> tuple[bool, str]:
    """What `who_drops` says that the counters show, and whether they show it for sure: that rule matches nothing else just now."""
    there = (start, *through, end)
    calm = _count(*there)
    time.sleep(_CALM)
    before = _count(*there)
    again()
    after = _count(*there)
    way = (
        (start, _OUT, "it"),
        *((router, _THROUGH, "it or the answers") for router in through),
        (end, _IN, "it"),
        (end, _OUT, "the answers"),
        (start, _IN, "the answers"),
    )
    seen = []
    for machine, chains, what in way:
        now, then, earlier = (counts[machine.name] for counts in (after, before, calm))
        if rule := now.first(then, chains, _REFUSES):
            noise = then.first(earlier, chains, _REFUSES)
            seen.append((noise is not None and noise.place == rule.place, machine, what, rule))
    for noisy, machine, what, rule in sorted(seen, key=lambda found: found[0]):
        remark = _remark(after[machine.name], rule, what, port)
        return not noisy, f"; {machine.name} {_REFUSES[rule.target]} {what}: {rule}{remark}"
    return False, ""


def who_drops_connection(start: Machine, end: Machine, port: int) -> str:
    """What `who_drops` says about a connection to a port, which is tried once more."""
    dropped = who_drops(start, end, lambda: attempt(start, end, port), port)
    return f"{dropped}{_not_loaded(end, port)}" if dropped.startswith(f"; {end.name} ") else dropped


def _not_loaded(machine: Machine, port: int) -> str:
    """A rule for the port that is saved, but not in force: the end of a sentence."""
    there = parse(str(machine.once(NOW).stdout)).naming(port)
    lost = [text for text in parse(str(saved(machine).stdout)).naming(port) if text not in there]
    if not lost:
        return ""
    path, service = machine.firewall.path, machine.firewall.service
    return f"; '{lost[0]}' is saved in {path}, but not in force: systemctl restart {service}"


def who_accepts(start: Machine, end: Machine, again: Callable[[], object]) -> str:
    """Which rule of `end` lets a new connection in: the end of a sentence, empty if none is seen. `again` as for `who_drops`."""
    before = _count(start, end)[end.name]
    again()
    after = _count(start, end)[end.name]
    new = Rules(tuple(r for r in after.rules if "ESTABLISHED" not in r.text))
    rule = new.first(before, [("filter", "INPUT")], ["ACCEPT"])
    return f"; {end.name} accepts it: {rule}" if rule else ""


class Session(Protocol[S_co]):
    """What opens a session from one machine to another, and raises CheckFailed if there is none."""

    def __call__(self, start: Machine, end: Machine, /, *, hopeless: Callable[[], object]) -> S_co:
        """The session."""
        ...


def greeted(session: Session[T], start: Machine, end: Machine, port: int) -> T:
    """Open a session from one machine to another. If there is none, CheckFailed says too which machine drops the packets."""
    dropped = Dropped(start, end, port)
    try:
        return session(start, end, hopeless=dropped)
    except CheckFailed as error:
        cause = error.__cause__
        lost = isinstance(cause, OSError) and not isinstance(cause, socket.gaierror)
        rule = dropped.rule or (who_drops_connection(start, end, port) if lost else "")
        if not rule:
            raise
        raise CheckFailed(f"{error.saw}{rule}", error.wanted) from cause


def attempt(start: Machine, end: Machine, port: int, source: str | None = None) -> None:
    """Try to connect from one machine to another, perhaps from a further address of it, as long as an answer may take.

    That is a second in a machine of an earlier version, whose tools do not say when there is none yet.
    """
    with suppress(OSError):
        start.dial(end.address, port, source=source, patience=1, hopeless=lambda: True).close()


class Dropped:
    """What `Machine.dial` asks when a connection is not answered: whether a rule drops its packets, as one more try shows.

    `rule` says which, as `who_drops` does.
    """

    def __init__(self, start: Machine, end: Machine, port: int) -> None:
        """Nothing is tried yet."""
        self._way = (start, end, port)
        self.rule = ""

    def __call__(self) -> bool:
        """Whether the counters show that for sure."""
        start, end, port = self._way
        sure, said = _who_drops(start, end, lambda: attempt(start, end, port), port)
        self.rule = said if sure else ""
        return sure


class Drops:
    """The packets that a machine drops while several connections to it are tried, of which most will not be answered.

    Asked for each that is not, it says whether the rules have dropped as many packets.
    """

    def __init__(self, machine: Machine) -> None:
        """Count what was dropped before."""
        self._machine = machine
        self._before = _counted(machine)
        self._silent = 0
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        """Whether one more packet, that had no answer in time, was dropped."""
        with self._lock:
            self._silent += 1
            return _counted(self._machine).dropped(self._before) >= self._silent


def _count(*machines: Machine) -> dict[str, Rules]:
    return {machine.name: _counted(machine) for machine in machines}


def _counted(machine: Machine) -> Rules:
    return parse(decoded(machine.channel.run(_COUNTERS).stdout))


def _remark(rules: Rules, rule: Rule, what: str, port: int) -> str:
    if what == "it":
        return rules.remark(rule, port) if port else ""
    chain = [r.text for r in rules.rules if (r.table, r.chain) == (rule.table, rule.chain)]
    if rule.chain == "INPUT" and not any("ESTABLISHED" in text for text in chain):
        return ", and no rule before it accepts ESTABLISHED"
    return ""


def _of_nft(machine: Machine) -> str:
    """A rule or policy in a table of nft's own that may drop packets: such tables are no part of what iptables-save prints."""
    table = chain = ""
    for line in decoded(machine.channel.run(_OWN_TABLES).stdout)[:_LARGEST].splitlines():
        words = line.strip()
        if words.startswith("table "):
            table = words.removesuffix(" {")
        elif words.startswith("chain "):
            chain = words.removesuffix(" {")
        theirs = re.fullmatch(r"table ip6? (filter|nat|mangle|raw|security)", table)
        if not theirs and re.search(r"\b(drop|reject)\b", words):
            return f"; on {machine.name}, {table} of nft's own, {chain}, has: {words}"
    return ""
