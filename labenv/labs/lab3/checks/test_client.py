"""Investigation 1, host's own resolver, and Investigation 2: the clients, their names, and what they find."""

from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.firewall import who_drops
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.dns.asking import Lookup
from labenv.labs.lab3.checks import state
from labenv.labs.lab3.checks.common import ALL, CLIENTS, PORT
from labenv.labs.lab3.checks.probes import Access, Found, Replies

_FOLDER = "/etc/sysconfig/network-scripts"


@step("11", machine="host")
def test_host_asks_itself(host: Machine, evidence: Evidence) -> None:
    _asks(host, {"127.0.0.1", host.address}, "127.0.0.1", evidence)


@step("12", machine="host")
def test_dhcp_changes_no_server(host: Machine, evidence: Evidence) -> None:
    for file in state.of(host).ifcfg:
        if file.settings.get("BOOTPROTO", "").lower() == "dhcp":
            peer = file.settings.get("PEERDNS", "")
            saw = f"{file.path} on host has BOOTPROTO=dhcp and {f'PEERDNS={peer}' if peer else 'no PEERDNS'}"
            evidence(peer.lower() == "no", saw, "PEERDNS=no")
    evidence(True, "no interface of host takes name servers from a DHCP server", "none")


@step("20", machine=CLIENTS)
def test_client_asks_host(machine: Machine, host: Machine, evidence: Evidence) -> None:
    _asks(machine, {host.address}, host.address, evidence)


@step("19", machine=CLIENTS)
def test_programs_are_installed(machine: Machine, evidence: Evidence) -> None:
    _has(machine, ("host", "dig", "nslookup"), evidence)


@step("26", machine=CLIENTS)
def test_lynx_is_installed(machine: Machine, evidence: Evidence) -> None:
    _has(machine, ("lynx",), evidence)


@step("21", machine=ALL)
def test_full_name(machine: Machine, served: Replies, evidence: Evidence) -> None:
    there, wanted = state.of(machine), machine.fqdn
    if there.name.lower() != wanted:
        wish = there.wish.lower() == wanted
        saw = f"{machine.name} calls itself {there.name or 'nothing'}"
        evidence(wish, f"{saw}, and /etc/hostname has {there.wish or 'nothing'}", wanted)
        evidence.doubt(
            f"{saw}, as the name in /etc/hostname, {wanted}, is not in force yet", f"labenv reboot {machine.name}"
        )
        return
    evidence(True, f"{machine.name} calls itself {there.name}", wanted)
    if there.full.lower() != wanted and served[wanted, "A"].of("A") != [machine.address]:
        raise Waits("13")
    evidence(there.full.lower() == wanted, f"`hostname -f` on {machine.name} says {there.full or 'nothing'}", wanted)
    saw = (
        f"{machine.name} calls itself {there.name}, but /etc/hostname, for the next boot, has {there.wish or 'nothing'}"
    )
    evidence(there.wish.lower() in (wanted, ""), saw, wanted)


@step("22", machine=ALL)
def test_full_names_are_found(
    machine: Machine, host: Machine, found: dict[str, Found], access: Access, evidence: Evidence
) -> None:
    if not access.near.status:
        raise Waits("8")
    if machine.name != "host" and not access.udp.status:  # host's firewall is to be looked at first
        raise Waits("15")
    _finds(machine, host, found[machine.name].full, evidence)


@step("24", machine="host")
def test_host_completes_names(host: Machine, domain: str, evidence: Evidence) -> None:
    _completes(host, domain, evidence)


@step("25", machine=ALL)
def test_short_names_are_found(
    machine: Machine, host: Machine, found: dict[str, Found], domain: str, evidence: Evidence
) -> None:
    names = found[machine.name]
    if not names.short:
        raise Waits("22")
    if machine.name != "host":
        _completes(machine, domain, evidence)
    elif not names.short[-1].found and domain not in state.of(host).search:
        raise Waits("24")
    _finds(machine, host, names.short, evidence)


def _finds(machine: Machine, host: Machine, names: list[Lookup], evidence: Evidence) -> None:
    """Each name is found; the last one is the first that is not."""
    servers = ", ".join(state.of(machine).servers) or "no server"
    for lookup in names:
        saw = f"{machine.name} asks {servers} for {lookup.name}: {lookup.words}"
        evidence(lookup.found, saw if lookup.found else saw + _lost(machine, host, lookup), lookup.wanted)


def _lost(machine: Machine, host: Machine, lookup: Lookup) -> str:
    """Which firewall a question or its answer is lost in, if nothing came back; or that a server is asked that cannot know."""
    strangers = [server for server in state.of(machine).servers if server not in (host.address, "127.0.0.1")]
    if strangers:
        return f"; {strangers[0]} knows nothing about your domain"
    if "no servers could be reached" in lookup.words or "timed out" in lookup.words:
        return who_drops(machine, host, lambda: machine.channel.run(f"dig +tries=1 +time=1 {lookup.name}"), PORT)
    return ""


def _asks(machine: Machine, right: set[str], usual: str, evidence: Evidence) -> None:
    """The machine's first name server is one of these, now and after a boot."""
    there = state.of(machine)
    now, later = (servers[0] if servers else "" for servers in (there.servers, there.later_servers))
    files = ", ".join(file.path for file in there.ifcfg) or f"no ifcfg file in {_FOLDER}"
    saw = f"/etc/resolv.conf on {machine.name} has first the name server {now or 'none'}"
    if now not in right and later in right:
        saw += f"; {files} has {later}, but was not applied since: ifdown and ifup, or restart the service network"
    evidence(now in right, saw, usual)
    saw = f"{machine.name} asks {now}, but for the next boot {files} has {f'DNS1={later}' if later else 'no DNS1'}"
    evidence(later in right, saw if later not in right else f"{files} has {later}", f"DNS1={usual}")
    if others := [server for server in there.servers if server not in right]:
        evidence.doubt(f"{machine.name} also asks {', '.join(others)}, which cannot know your domain", f"{usual} alone")


def _completes(machine: Machine, domain: str, evidence: Evidence) -> None:
    """The machine appends the domain to short names, now and after a boot."""
    there = state.of(machine)
    said = f"search {' '.join(there.search)}" if there.search else "no line search"
    saw = f"/etc/resolv.conf on {machine.name} has {said}"
    later = f"{' '.join(there.later_search)} as" if there.later_search else "no"
    if domain not in there.search and domain in there.later_search:
        saw += "; its ifcfg file has the domain, but was not applied since: ifdown and ifup, or restart the service network"
    evidence(domain in there.search, saw, f"search {domain}")
    files = ", ".join(file.path for file in there.ifcfg) or f"no ifcfg file in {_FOLDER}"
    if domain not in there.later_search:
        raise CheckFailed(f"{saw}, but for the next boot {files} has {later} DOMAIN or SEARCH", f"DOMAIN={domain}")


def _has(machine: Machine, programs: tuple[str, ...], evidence: Evidence) -> None:
    missing = [name for name in programs if name not in state.of(machine).programs]
    evidence(
        not missing,
        f"{machine.name} has {'no ' + ', no '.join(missing) if missing else ', '.join(programs)}",
        "all of them",
    )
