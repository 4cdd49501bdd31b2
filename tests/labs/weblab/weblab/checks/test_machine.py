"""Where the lab begins."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step

from . import common


@step("0", machine="web")
def test_address_is_kept(web: Machine, evidence: Evidence) -> None:
    common.service(web, "networking", evidence)
    at_boot = web.run("ifquery --list").stdout.split()
    evidence("eth0" in at_boot, f"ifup brings up {' and '.join(at_boot) or 'nothing'} at boot", "eth0 too")
    described = web.run("ifquery eth0").stdout.splitlines()
    address = next((line.partition(": ")[2] for line in described if line.startswith("address: ")), "no address")
    evidence(address.partition("/")[0] == web.address, f"ifup gives eth0 {address}", f"{web.address}")


@step("1", machine="web")
def test_name_leads_here(web: Machine, site_name: str, evidence: Evidence) -> None:
    found = web.run("getent ahostsv4 %s", site_name).stdout.split()
    saw = f"{site_name} leads to {found[0] if found else 'no address'}"
    evidence(found[:1] == [web.address], saw, web.address)
