"""The router's FORWARD chain."""

from labenv.checks import firewall
from labenv.checks.evidence import Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step

from . import common


@step("5", machine="router")
def test_closed_for_office(desk: Machine, web: Machine, evidence: Evidence) -> None:
    common.routed(desk, web)
    through = common.opens(desk, web, 22)
    evidence(
        not through,
        f"desk {'connects' if through else 'cannot connect'} to web's port 22",
        "nothing but port 80 passes",
    )


@step("5", machine="router")
def test_closed_for_servers(desk: Machine, web: Machine, evidence: Evidence) -> None:
    common.routed(desk, web)
    through = common.opens(web, desk, 22)
    evidence(
        not through,
        f"web {'connects' if through else 'cannot connect'} to desk's port 22",
        "no connection from servers to office",
    )


@step("6", machine="router")
def test_page_passes(desk: Machine, router: Machine, web: Machine, evidence: Evidence) -> None:
    if common.opens(desk, web, 22) or common.opens(web, desk, 22):
        raise Waits("5")
    common.page(desk, router, web, evidence)
    if desk.run("ping -c 1 -W 1 %s", web.address).rc == 0:
        evidence.doubt("router lets pings through, too", "the sheet wants port 80 only")


@step("7", machine="router")
def test_saved(router: Machine, evidence: Evidence) -> None:
    saved = firewall.saved(router)
    now = router.output("iptables-save")
    same = saved.rc == 0 and firewall.same(saved.stdout, now)
    if saved.rc:
        evidence(False, f"no saved rules: {saved.stderr.strip()}", "the rules that are in force")
    else:
        evidence(same, f"the saved rules {'are' if same else 'are not'} those that are in force", "the same rules")


@step("7", machine="router")
def test_loaded_at_boot(router: Machine, evidence: Evidence) -> None:
    state = router.run("systemctl is-enabled netfilter-persistent").stdout.strip()
    evidence(state == "enabled", f"netfilter-persistent is {state or 'not there'}", "enabled")
