"""What several checks ask."""

from labenv.checks import firewall
from labenv.checks.evidence import Evidence, Waits
from labenv.checks.machine import Machine


def opens(start: Machine, end: Machine, port: int) -> bool:
    """Whether a connection is made."""
    return bool(start.run("nc -z -w 1 %s %s", end.address, str(port)).rc == 0)


def routed(desk: Machine, web: Machine) -> None:
    """Without routes nothing passes, whatever the firewall says: then a check of it waits."""
    for machine, number in ((desk, "2"), (web, "3")):
        if "via" not in machine.run("ip -4 route get 198.51.100.1").stdout:
            raise Waits(number)


def page(desk: Machine, router: Machine, web: Machine, evidence: Evidence) -> None:
    before = firewall.parse(router.output("iptables-save -c"))
    got = desk.run("curl -sS -m 2 http://%s/", web.address)
    if got.rc == 0:
        evidence(web.fqdn in got.stdout, f"desk gets from {web.address}: {got.stdout.strip()}", f"This is {web.fqdn}")
    else:
        rule = firewall.parse(router.output("iptables-save -c")).first(
            before, [("filter", "FORWARD")], ("DROP", "REJECT")
        )
        why = f"; meanwhile router stopped packets: {rule}" if rule else ""
        evidence(False, f"desk gets no page from {web.address}: {got.stderr.strip()}{why}", f"This is {web.fqdn}")
