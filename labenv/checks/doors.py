"""Whom a machine's firewall lets in: now, by connections that are made, and after the next boot.

If the saved rules are those in force, the connections show what they do. Otherwise the saved ones are tried elsewhere.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from labenv.checks import firewall
from labenv.checks.evidence import Evidence
from labenv.checks.firewall import NOW
from labenv.checks.machine import Machine, Site
from labenv.engine.trial import Packet
from labenv.errors import EngineError
from labenv.student import Student

# An address that is in no lab network (RFC 5737). A lab gives it to the machine that connections come from.
OUTSIDE = "203.0.113.1"
NOBODYS_PORT = 9  # discard(9): no step of a lab opens it
_SOON = 1  # second in which a connection is made that is not expected to be, or was not before
_ADDRESS = "cat /sys/class/net/eth0/address"
# Where guides for one dialect or another have the saved rules.
_FILES = ("/etc/sysconfig/iptables", "/etc/iptables/rules.v4")
_WORDS = {"in": "let in", "rejected": "reject", "dropped": "drop"}


@dataclass(frozen=True)
class Reach:
    """Whether a connection was made, how it went, in words, and whether the firewall let it in.

    A machine that refuses has been reached, unless its firewall sent the refusal. `possible` is false where the address that
    it should come from does not exist (an earlier version of labenv did not give it to host), and the rules could not be tried.
    """

    made: bool
    words: str
    let_in: bool = False
    possible: bool = True


@dataclass(frozen=True)
class Decision:
    """What the saved rules do with a connection: "in", "rejected" or "dropped", and the rule that decides."""

    fate: str
    by: str

    @property
    def let_in(self) -> bool:
        """Whether it gets through."""
        return self.fate == "in"

    def of(self, what: str) -> str:
        """The decision as the end of a clause: "drop port 143 (filter INPUT, policy DROP)"."""
        return f"{_WORDS[self.fate]} {what}{self.by}"


@dataclass(frozen=True)
class Firewall:
    """The saved rules of a machine: `same` as those in force; or what is wrong with them; or what they decide.

    `decisions` are by source, port and protocol. `untried` says why they could not be tried. `stray` is a connection from outside the
    network to a port that nobody uses.
    """

    same: bool = False
    broken: str = ""
    untried: str = ""
    decisions: dict[tuple[str, int, str], Decision] = field(default_factory=dict)
    stray: Reach | None = None


def neighbour(student: Student) -> str:
    """An address of host's that another student's machine could have: a rule that admits 192.168.0.0/16 lets it in."""
    return str(_other(student)[1])


def latecomer(student: Student) -> str:
    """An address of host's in the network that no machine of the course has: one more machine could get it."""
    return str(student.network[200])


def _other(student: Student) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network((int(student.network[0]) ^ 256, 24))


def reach(
    site: Site,
    start: str,
    end: str,
    port: int,
    source: str | None = None,
    *,
    patience: float = _SOON,
    hopeless: Callable[[], object],
) -> Reach:
    """Try for so many seconds to connect from a machine, perhaps from a further address of it, to a port of another one.

    `hopeless` says whether the packet was dropped, if there is no answer at once (`Machine.dial`).
    """
    try:
        site[start].dial(site[end].address, port, source=source, patience=patience, hopeless=hopeless).close()
    except OSError as error:
        if "bind failed" in str(error) and source:
            return _on_trial(site, end, source, port)
        refused = isinstance(error, ConnectionRefusedError)
        let_in = refused and not _rule_refuses(site, end, source or site[start].address, port)
        return Reach(False, str(error), let_in)
    return Reach(True, "the connection was made", let_in=True)


def _on_trial(site: Site, name: str, source: str, port: int) -> Reach:
    """What the rules in force on a machine do with a connection from an address that nobody has."""
    fate = _fate(site, name, source, port)
    if not fate:
        return Reach(False, "the rules in force could not be tried", possible=False)
    return Reach(False, f"on trial, the rules in force {_WORDS[fate]} such a packet", fate == "in")


def _rule_refuses(site: Site, name: str, source: str, port: int) -> bool:
    """Whether a refusal may come from a rule in force, and does: nobody can tell it from the refusal of a closed port."""
    if not re.search(b"tcp-reset|port-unreach", site[name].once(NOW).stdout_bytes):
        return False
    return _fate(site, name, source, port) != "in"  # if it is not known: there are such rules


def _fate(site: Site, name: str, source: str, port: int) -> str:
    """What becomes of a packet on trial with the rules in force on a machine: "" if they cannot be tried."""
    try:
        fates = site.try_rules(name, site[name].once(NOW).stdout_bytes, [Packet(source, port)]).fates
    except EngineError:
        return ""
    return fates[0].word if fates else ""


def packet(site: Site, start: str, port: int, protocol: str = "tcp") -> Packet:
    """The first packet from a machine to a port, as `look` and `tried` take it."""
    return Packet(site[start].address, port, site[start].once(_ADDRESS).stdout.strip(), protocol)


def look(site: Site, name: str, packets: Callable[[], Sequence[Packet]], start: str, source: str | None) -> Firewall:
    """The saved rules of a machine, and whether its firewall stops a stranger now.

    If the saved rules are not those in force, `packets` are tried on them. The stranger is the machine `start`, or a further
    address of it, which connects to a port that nobody uses.
    """
    try:
        with ThreadPoolExecutor(1) as pool:
            dropped = firewall.Drops(site[name])
            stray = pool.submit(reach, site, start, name, NOBODYS_PORT, source, hopeless=dropped)
            return replace(_saved(site, name, packets), stray=stray.result())
    except EngineError as error:  # a machine is down: the checks of its services report it
        return Firewall(untried=str(error))


def _saved(site: Site, name: str, packets: Callable[[], Sequence[Packet]]) -> Firewall:
    saved, now = firewall.saved(site[name]), site[name].once(NOW)
    if saved.rc:
        return Firewall(broken=f"there is no {site[name].firewall.path} on {name}")
    same = firewall.same(saved.stdout, now.stdout)
    return Firewall(same=True) if same else tried(site, name, packets())


def tried(site: Site, name: str, packets: Sequence[Packet]) -> Firewall:
    """What the saved rules of a machine do with packets, and with one from outside, whether they are in force or not."""
    saved = firewall.saved(site[name]).stdout_bytes
    packets = [*packets, Packet(OUTSIDE, NOBODYS_PORT)]
    try:
        verdict = site.try_rules(name, saved, packets)
    except EngineError as error:
        return Firewall(untried=str(error))
    if verdict.complaint:
        said = [line for line in verdict.complaint.splitlines() if line.strip() and not line.startswith("Try ")]
        return Firewall(broken=f"{site[name].firewall.path} on {name} cannot be loaded: {'; '.join(said)[:500]}")
    decisions = {}
    for one, fate in zip(packets, verdict.fates, strict=True):
        before, after = firewall.parse(fate.before), firewall.parse(fate.after)
        rule = firewall.decides(before, after)
        by = f" ({rule}{'' if fate.word == 'in' else after.remark(rule, one.port)})" if rule else ""
        decisions[one.source, one.port, one.protocol] = Decision(fate.word, by)
    return Firewall(decisions=decisions)


def rules_load(
    site: Site, machine: Machine, found: Firewall, start: str, source: str | None, evidence: Evidence
) -> None:
    """The saved rules are valid and do not let everything in; `start` and `source` as for `look`."""
    evidence(
        not found.broken, found.broken or f"{machine.firewall.path} on {machine.name} can be loaded", "it can be loaded"
    )
    if found.untried:
        evidence.doubt(
            f"{machine.firewall.path} on {machine.name} could not be tried: {found.untried}",
            "what is saved is in force too",
        )
    what = f"port {NOBODYS_PORT}, which no service uses"
    if found.stray:
        does = "lets in" if found.stray.let_in else "does not let in"
        rule = accepted(site[start], machine, NOBODYS_PORT, source) if found.stray.let_in else ""
        saw = f"the firewall of {machine.name} {does} {what}{rule}"
        evidence(not found.stray.let_in, saw, "it drops or rejects that")
    if stray := found.decisions.get((OUTSIDE, NOBODYS_PORT, "tcp")):
        saw = f"at boot the firewall of {machine.name} would {stray.of(what)}"
        evidence(not stray.let_in, saw, "it drops or rejects that")


def accepted(start: Machine, machine: Machine, port: int, source: str | None) -> str:
    """Which rule lets in a connection from a machine, or from a further address of it: the end of a sentence."""
    return firewall.who_accepts(start, machine, lambda: firewall.attempt(start, machine, port, source))


def stays_open(
    machine: Machine, found: Firewall, one: Packet, name: str, evidence: Evidence, what: str = "port {port}"
) -> None:
    """The saved rules let a packet in that comes from the machine `name`, as far as they have been tried."""
    port = one.port
    if decision := found.decisions.get((one.source, port, one.protocol)):
        saw = f"at boot {machine.name} would {decision.of(f'{what.format(port=port)} from {name}')}"
        evidence(decision.let_in, saw + ("" if decision.let_in else _not_saved(machine, port)), "it lets that in")


def _not_saved(machine: Machine, port: int) -> str:
    """What in force concerns the port and is not in the file."""
    saved = firewall.saved(machine).stdout
    kept = firewall.parse(saved).naming(port)
    lost = [text for text in firewall.parse(machine.once(NOW).stdout).naming(port) if text not in kept]
    there = machine.firewall
    remark = f"; '{lost[0]}' is in force, but not saved in {there.path}: {there.save}" if lost else ""
    for other in _FILES:
        if other != there.path and machine.run("test -s %s", other).rc == 0:
            remark += f"; nothing here reads {other}"
    return remark
