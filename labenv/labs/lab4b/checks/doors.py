"""Whom the firewalls of vm2 and vm3 let in: now, by connections that are made, and after the next boot.

If the saved rules are those in force, the connections show what they do. Otherwise the saved ones are tried elsewhere.
"""

import ipaddress
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from labenv.checks import firewall
from labenv.checks.evidence import Evidence
from labenv.checks.firewall import NOW
from labenv.checks.machine import Machine, Site
from labenv.engine.trial import Packet
from labenv.errors import EngineError
from labenv.labs.lab4b.checks import common
from labenv.labs.lab4b.checks.common import OUTSIDE
from labenv.student import Student

NOBODYS_PORT = 9  # discard(9): no step of the course opens it
_PORTS = {"vm2": (25,), "vm3": (25, 143)}  # that the sheet opens
_SOON = 1  # second in which a connection is made that is not expected to be, or was not before
_ADDRESS = "cat /sys/class/net/eth0/address"
_OTHERS_FILE = "/etc/iptables/rules.v4"  # Debian's iptables-persistent reads it, which is not in this lab
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

    `decisions` are by source and port. `untried` says why they could not be tried. `stray` is a connection from outside the
    network to a port that nobody uses.
    """

    same: bool = False
    broken: str = ""
    untried: str = ""
    decisions: dict[tuple[str, int], Decision] = field(default_factory=dict)
    stray: Reach | None = None


def neighbour(student: Student) -> str:
    """An address of host's that another student's machine could have: a rule that admits 192.168.0.0/16 lets it in."""
    return str(_other(student)[1])


def latecomer(student: Student) -> str:
    """An address of host's in the network that no machine of the course has: one more machine could get it."""
    return str(student.network[200])


def _other(student: Student) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network((int(student.network[0]) ^ 256, 24))


def from_others(site: Site) -> dict[str, Reach]:
    """Connections that host makes to IMAP on vm3 from its further addresses, by address."""
    sources = (OUTSIDE, neighbour(site.student), latecomer(site.student))
    dropped = firewall.Drops(site["vm3"])
    with ThreadPoolExecutor() as pool:
        reaches = pool.map(lambda source: reach(site, "host", "vm3", 143, source, hopeless=dropped), sources)
        return dict(zip(sources, reaches, strict=True))


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


def look(site: Site, name: str) -> Firewall:
    """The saved rules of a machine, and whether its firewall stops a stranger now."""
    try:
        with ThreadPoolExecutor(1) as pool:
            dropped = firewall.Drops(site[name])
            stray = pool.submit(reach, site, "host", name, NOBODYS_PORT, OUTSIDE, hopeless=dropped)
            return replace(_saved(site, name), stray=stray.result())
    except EngineError as error:  # a machine is down: the checks of its services report it
        return Firewall(untried=str(error))


def _saved(site: Site, name: str) -> Firewall:
    saved, now = firewall.saved(site[name]), site[name].once(NOW)
    if saved.rc:
        return Firewall(broken=f"there is no {site[name].firewall.path} on {name}")
    same = firewall.same(saved.stdout, now.stdout)
    return Firewall(same=True) if same else tried(site, name)


def tried(site: Site, name: str) -> Firewall:
    """What the saved rules of a machine do, whether they are in force or not."""
    saved = firewall.saved(site[name]).stdout_bytes
    student, ports = site.student, _PORTS[name]
    other = "vm2" if name == "vm3" else "vm3"
    packets = [
        Packet(site[start].address, port, site[start].once(_ADDRESS).stdout.strip())
        for port in ports
        for start in ("host", other)
    ]
    packets += [Packet(source, 143) for source in (OUTSIDE, neighbour(student), latecomer(student)) if 143 in ports]
    packets.append(Packet(OUTSIDE, NOBODYS_PORT))
    try:
        verdict = site.try_rules(name, saved, packets)
    except EngineError as error:
        return Firewall(untried=str(error))
    if verdict.complaint:
        said = [line for line in verdict.complaint.splitlines() if line.strip() and not line.startswith("Try ")]
        return Firewall(broken=f"{site[name].firewall.path} on {name} cannot be loaded: {'; '.join(said)[:500]}")
    decisions = {}
    for packet, fate in zip(packets, verdict.fates, strict=True):
        before, after = firewall.parse(fate.before), firewall.parse(fate.after)
        rule = firewall.decides(before, after)
        by = f" ({rule}{'' if fate.word == 'in' else after.remark(rule, packet.port)})" if rule else ""
        decisions[packet.source, packet.port] = Decision(fate.word, by)
    return Firewall(decisions=decisions)


def rules_load(site: Site, machine: Machine, found: Firewall, evidence: Evidence) -> None:
    """The saved rules are valid, are loaded at boot, and do not let everything in."""
    common.service(machine, "iptables", evidence)
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
        rule = accepted(site, machine, NOBODYS_PORT, OUTSIDE) if found.stray.let_in else ""
        saw = f"the firewall of {machine.name} {does} {what}{rule}"
        evidence(not found.stray.let_in, saw, "it drops or rejects that")
    if stray := found.decisions.get((OUTSIDE, NOBODYS_PORT)):
        saw = f"at boot the firewall of {machine.name} would {stray.of(what)}"
        evidence(not stray.let_in, saw, "it drops or rejects that")


def accepted(site: Site, machine: Machine, port: int, source: str) -> str:
    """Which rule lets in a connection that host makes from a further address: the end of a sentence."""
    host = site["host"]
    return firewall.who_accepts(host, machine, lambda: firewall.attempt(host, machine, port, source))


def stays_open(machine: Machine, found: Firewall, source: str, name: str, port: int, evidence: Evidence) -> None:
    """The saved rules let a connection in, as far as they have been tried."""
    if decision := found.decisions.get((source, port)):
        saw = f"at boot {machine.name} would {decision.of(f'port {port} from {name}')}"
        evidence(decision.let_in, saw + ("" if decision.let_in else _not_saved(machine, port)), "it lets that in")


def _not_saved(machine: Machine, port: int) -> str:
    """What in force concerns the port and is not in the file."""
    saved = firewall.saved(machine).stdout
    kept = firewall.parse(saved).naming(port)
    lost = [text for text in firewall.parse(machine.once(NOW).stdout).naming(port) if text not in kept]
    remark = (
        f"; '{lost[0]}' is in force, but not saved in {machine.firewall.path}: service iptables save" if lost else ""
    )
    if machine.run("test -s %s", _OTHERS_FILE).rc == 0:
        remark += f"; nothing here reads {_OTHERS_FILE}"
    return remark
