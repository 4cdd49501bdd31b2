"""Investigation 1, up to the firewall: BIND on host, named.conf, and the forward zone."""

from labenv.checks import services, units
from labenv.checks.doors import OUTSIDE, latecomer
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.firewall import who_drops
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.dns import files
from labenv.dns.access import admits
from labenv.dns.journal import denial, refused_zones
from labenv.dns.restarts import NAMED
from labenv.labs.lab3.checks import state
from labenv.labs.lab3.checks.common import ALL, PORT, SERVICES, addresses, zone_steps
from labenv.labs.lab3.checks.probes import Access, Replies, replied
from labenv.student import Student

# The zones of the file that the package brings, beside those whose names end in .arpa.
_BROUGHT = {"", "localhost", "localhost.localdomain"}
_BLANK = "two addresses, as a line that begins with a blank belongs to the name before it"
_COPIES = "find /etc /root /home /backup /var/named -xdev -size -64k -name '*named*conf*' ! -path /etc/named.conf ! -path '/etc/bind/*' ! -lname '*' -type f 2>/dev/null"


@step("1", machine=ALL)
def test_dns_alone_knows_the_machines(machine: Machine, domain: str, evidence: Evidence) -> None:
    for line in state.of(machine).hosts:
        names = line.partition("#")[0].lower().split()[1:]
        listed = [name for name in names if name == domain or name.removesuffix(f".{domain}") in (*ALL, "vm4")]
        evidence(not listed, f"/etc/hosts on {machine.name} has the line '{line}'", "no machine of the lab there")
    evidence(True, f"/etc/hosts on {machine.name} has no machine of the lab", "none")


@step("2", machine="host")
def test_bind_is_installed(host: Machine, evidence: Evidence) -> None:
    there = host.once("command -v named")
    evidence(there.rc == 0, f"named on host is {there.stdout.strip() or 'not installed'}", "/usr/sbin/named")


@step("3", machine="host")
def test_named_conf_is_written(host: Machine, evidence: Evidence) -> None:
    conf = files.read_conf(host)
    own = [name for name in conf.zones if name not in _BROUGHT and not name.endswith(".arpa")]
    listens = conf.option("listen-on") or conf.option("listen-on port 53")
    evidence(
        own or not listens,
        f"{files.CONF} on host is still the one of the package, without a zone of yours",
        "the sheet's",
    )
    evidence(True, f"named-checkconf accepts {files.CONF} on host", "no complaint")
    if not host.once(_COPIES).stdout.strip():
        evidence.doubt(f"host has no copy of the {files.CONF} that the package brought", "one, as the sheet wants")


@step("4", machine="host")
def test_named_answers_the_network_alone(
    access: Access, host: Machine, vm2: Machine, student: Student, evidence: Evidence
) -> None:
    conf, late = files.read_conf(host), latecomer(student)
    allowed = conf.option("allow-query")
    if not access.near.status:
        raise Waits("8")
    said = f"allow-query is {{ {allowed} }}" if allowed else "allow-query is not set"
    for who, client, reply in (
        (f"{late}, an address of the network,", late, access.near),
        ("vm2", vm2.address, access.udp),
    ):
        if reply.status or who != "vm2":  # its firewall is another step
            denied = f"; named logs: {denial(host, student.domain, client)}" if reply.status == "REFUSED" else ""
            evidence(reply.status != "REFUSED", f"{who} gets {reply.status} from named; {said}{denied}", "an answer")
    # OUTSIDE is an address of host, and so belongs to `localnets` and `localhost` here.
    let_in = access.stranger.status != "REFUSED" and admits(conf, allowed, OUTSIDE)
    evidence(not let_in, f"{OUTSIDE}, outside the network, gets {access.stranger}; {said}", "REFUSED")
    recursion = (
        "recursion is no" if conf.option("recursion") == "no" else "allow-recursion or allow-query-cache keeps it out"
    )
    able = "ra" in access.near.flags
    saw = f"named {'looks up' if able else 'does not look up'} other names for {late}{'' if able else f': {recursion}'}"
    evidence(able, saw, "it looks them up")


@step("4", machine="host")
def test_named_has_forwarders(host: Machine, evidence: Evidence) -> None:
    conf = files.read_conf(host)
    servers = conf.option("forwarders")
    evidence(servers, f"forwarders in {files.CONF} on host: {servers or 'none'}", "the address of a name server")


@step("5", machine="host")
def test_localhost_is_served(host: Machine, served: Replies, evidence: Evidence) -> None:
    files.read_zone(host, "localhost")
    reply = replied(served, "localhost", "A")
    right = "aa" in reply.flags and reply.of("A") == ["127.0.0.1"]
    remark = "" if right else not_restarted(host, NAMED)
    evidence(
        right,
        f"named answers {reply} for localhost, flags {' '.join(sorted(reply.flags))}{remark}",
        "127.0.0.1, with aa",
    )


@step("6", machine="host")
def test_zone_file_has_server_and_host(host: Machine, student: Student, domain: str, evidence: Evidence) -> None:
    zone = files.read_zone(host, domain)
    where, full = f"{zone.path} on host has", f"{host.fqdn}."
    [soa] = zone.of(f"{domain}.", "SOA")
    server, person = soa.split()[:2]
    for name in (server, person):
        twice = name.endswith(f".{domain}.{domain}.")
        evidence(not twice, f"{where} the SOA {server} {person}: a name lacks its final dot", "the domain once")
    servers = zone.of(f"{domain}.", "NS")
    evidence(full in servers, f"{where} NS {', '.join(servers) or 'none'}", full)
    found = zone.of(full, "A")
    many = f"; {_BLANK}" if len(found) == 2 else ""
    saw = f"{where} for {host.fqdn} A {', '.join(found) or 'none'}{many}"
    evidence(found == [host.address], saw, f"{host.address} alone")
    usual = f"/var/named/mydb-for-{student.id}-ops"
    if server != full:
        evidence.doubt(f"{where} {server} as the zone's first server", full)
    if zone.path != usual:
        evidence.doubt(f"the zone's file is {zone.path}", f"{usual}, where the marker looks")


@step("8", machine="host")
def test_named_runs(host: Machine, student: Student, evidence: Evidence) -> None:
    unit = units.look(host, SERVICES)["named"]
    if unit.active != "active":
        for zone, owner in zone_steps(student).items():
            if zone in files.read_conf(host).zones:
                try:
                    files.read_zone(host, zone)
                except CheckFailed as error:  # named is not started with it
                    raise Waits(owner) from error
        why = "; ".join(unit.obstacles) or unit.refusal or units.wrong_line(host, "named")
        saw = f"named on host is {unit.active or 'not there'}{f': {why}' if why else ''}"
        evidence(False, saw, "active", by="" if why else "host")
    evidence(True, "named on host is active", "active")


@step("8", machine="host")
def test_named_listens_for_the_network(access: Access, host: Machine, student: Student, evidence: Evidence) -> None:
    if units.look(host, SERVICES)["named"].active != "active":
        raise CheckFailed("named on host does not run, so nothing listens on port 53", host.address)
    there = services.listening(host, PORT)
    conf = files.read_conf(host)
    listens = next((value for name in ("listen-on", "listen-on port 53") if (value := conf.option(name))), "")
    remark = f"; listen-on in {files.CONF} is {{ {listens} }}" if listens else ""
    good = bool(there & {host.address, "0.0.0.0"})
    saw = f"named listens on {', '.join(sorted(there)) or 'no address'}"
    evidence(good, saw if good else f"{saw}{remark}{not_restarted(host, NAMED)}", host.address)
    if not access.near.status:  # all that follows would wait for this step
        again = f"dig @{host.address} -b {latecomer(student)} +tries=1 +time=1 localhost"
        dropped = who_drops(host, host, lambda: host.channel.run(again), PORT)
        evidence(False, f"{saw}, but host itself gets no answer there: {access.near}{dropped}", "an answer", by="host")


@step("9", machine="host")
def test_zones_are_loaded(host: Machine, student: Student, evidence: Evidence) -> None:
    conf = files.read_conf(host)
    for zone, reason in refused_zones(host).items():
        if zone not in conf.zones:
            continue
        if owner := zone_steps(student).get(zone):
            try:
                files.read_zone(host, zone)
            except CheckFailed as error:  # the file is still wrong
                raise Waits(owner) from error
        evidence(
            False,
            f"named on host did not load the zone {zone} when it last read its files: {reason}",
            "it is loaded",
            by="",
        )
    evidence(True, "no zone was refused when named last read its files", "none")


@step("10", machine="host")
def test_named_starts_at_boot(host: Machine, evidence: Evidence) -> None:
    unit = units.look(host, SERVICES)["named"]
    evidence(unit.enabled == "enabled", f"named on host is {unit.enabled or 'not installed'}", "enabled")
    why = "; ".join(unit.obstacles)
    evidence(
        not why,
        f"named on host is enabled, but will not start at boot: {why}" if why else "nothing keeps it from starting",
        "it starts at boot",
    )


@step("13", machine="host")
def test_addresses_are_served(host: Machine, served: Replies, site: Site, domain: str, evidence: Evidence) -> None:
    for name, address in addresses(site).items():
        reply = replied(served, name, "A")
        right = reply.of("A") == [address] and "aa" in reply.flags
        saw = f"named answers {reply} for {name}"
        evidence(
            right, saw if right else saw + _why(host, name, address, domain), f"A {address} alone, with aa", by="host"
        )


def _why(host: Machine, name: str, address: str, domain: str) -> str:
    """Why named does not answer with an address of the zone: its file has another record, or is newer than what named has read."""
    zone = files.read_zone(host, domain)
    if zone.of(f"{name}.", "A") == [address]:
        return not_restarted(host, NAMED) or f"; {zone.path} has it"
    twice = f"{name}.{domain}."
    if zone.of(twice, "A"):
        return f"; {zone.path} has {twice}: there the name lacks its final dot"
    if others := [
        r for r in zone.records if r.owner.startswith(f"{name.partition('.')[0]}.") and r.kind in ("A", "CNAME")
    ]:
        many = f" ({_BLANK})" if len(zone.of(f"{name}.", "A")) == 2 else ""
        return f"; {zone.path} has {', '.join(f'{r.owner} {r.kind} {r.data}' for r in others)}{many}"
    owner = next((r.owner for r in zone.records if r.kind == "A" and r.data == address), "")
    return f"; {zone.path} has that address for {owner}" if owner else f"; {zone.path} has no record for it"
