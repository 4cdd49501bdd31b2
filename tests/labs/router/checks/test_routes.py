"""The ways between the two networks."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.student import Student

from . import common


@step("1", machine="router")
def test_forwards_at_boot(router: Machine, evidence: Evidence) -> None:
    found = ""
    for line in router.output("/usr/lib/systemd/systemd-sysctl --cat-config").splitlines():
        key, _, value = line.strip().partition("=")
        key = key.strip().lstrip("-").replace("/", ".")
        if key in ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"):
            found = f"{key} = {value.strip()}"
    evidence(
        found.endswith("= 1"),
        f"at the next boot, router's kernel gets {found or 'nothing about forwarding'}",
        "forwarding is 1",
    )


@step("2", machine="desk")
def test_desk_uses_router(desk: Machine, student: Student, evidence: Evidence) -> None:
    _uses(desk, f"10.{student.x}.1.1", evidence)


@step("2", machine="desk")
def test_desk_at_boot(desk: Machine, student: Student, evidence: Evidence) -> None:
    _at_boot(desk, f"10.{student.x}.1.1", evidence)


@step("3", machine="web")
def test_web_uses_router(web: Machine, student: Student, evidence: Evidence) -> None:
    _uses(web, f"172.16.{student.x}.1", evidence)


@step("3", machine="web")
def test_web_at_boot(web: Machine, student: Student, evidence: Evidence) -> None:
    _at_boot(web, f"172.16.{student.x}.1", evidence)


@step("4", machine="desk")
def test_desk_gets_the_page(desk: Machine, router: Machine, web: Machine, evidence: Evidence) -> None:
    common.page(desk, router, web, evidence)


def _uses(machine: Machine, gateway: str, evidence: Evidence) -> None:
    words = machine.run("ip -4 route get 198.51.100.1").stdout.split()
    way = words[words.index("via") + 1] if "via" in words else "nobody"
    evidence(way == gateway, f"{machine.name} sends packets for other networks to {way}", gateway)


def _at_boot(machine: Machine, gateway: str, evidence: Evidence) -> None:
    listed = machine.run("ifquery --list; ifquery --list --allow hotplug").stdout.split()
    lines = [line.partition(":") for line in machine.run("ifquery eth0").stdout.splitlines()]
    ways = [value.strip() for key, _, value in lines if key == "gateway"]
    ways += [
        f"{value} ".partition("default via ")[2].split()[0]
        for key, _, value in lines
        if key in ("up", "post-up") and "default via " in value
    ]
    if "eth0" not in listed:
        ways = []
    saw = f"at boot, {machine.name} takes {' and '.join(ways) or 'nobody'} as its default gateway (ifquery eth0)"
    evidence(ways == [gateway], saw, gateway)
