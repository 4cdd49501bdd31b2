"""A lab with two networks and a router between them, on other addresses than the course's; a machine appears at its last stage."""

from pathlib import Path

from tests.routed import ROUTED

_LAB = """\
format: 1
id: routed
title: "A router between two networks"
topology: topology.yaml
stages:
  - {id: cabled, title: "The machines are there, and the client knows its own network only"}
  - {id: routed, title: "The client reaches the servers' network"}
  - {id: served, title: "A server is there"}
files:
  client:
    - &resolv {path: /etc/labenv/resolv.conf, template: resolv.conf.j2}
    - &eth0 {path: /etc/sysconfig/network-scripts/ifcfg-eth0, template: ifcfg-eth0.j2}
  router: [*resolv, *eth0]
  web: [*resolv, *eth0]
answers:
  - {machine: web, since: served, command: "ip route | grep -q default"}
"""
_STEPS = """\
headings: {routes: "Routes"}
steps:
  - id: "1"
    heading: routes
    machines: [client]
    stage: routed
    title: The client sends what is not for its own network to the router
    hints: ["The client knows no way.", "Look at its routing table.", "One route leads to all that is far away."]
    solution:
      - machines: [client]
        type: |
          echo GATEWAY=10.{{ student.x }}.1.1 >>/etc/sysconfig/network-scripts/ifcfg-eth0
          ip route replace default via 10.{{ student.x }}.1.1
  - id: "2"
    heading: routes
    machines: [client]
    stage: served
    needs: ["1"]
    title: The client reaches the server
    by: person
"""
_TOPOLOGY = ROUTED.replace("10.${X}.2.", "172.16.${X}.").replace("since: relay", "since: served")
_IFCFG = """\
DEVICE=eth0
IPADDR={{ machine.address }}
PREFIX=24
{% if machine.name == "web" or (machine.name == "client" and reached("routed")) %}
GATEWAY={{ machine.address.rpartition(".")[0] }}.1
{% endif %}
"""
_CHECK = """\
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step


@step("1", machine=("client",))
def test_route(machine: Machine, site: Site, evidence: Evidence) -> None:
    routes = machine.output("ip route")
    evidence(f"default via {site['router'].address} " in routes, routes, f"a default route to {site['router'].address}")
"""


def written(folder: Path) -> Path:
    """Write the lab to a new folder, and return it."""
    files = {
        "lab.yaml": _LAB,
        "steps.yaml": _STEPS,
        "topology.yaml": _TOPOLOGY,
        "templates/ifcfg-eth0.j2": _IFCFG,
        "templates/resolv.conf.j2": "options timeout:1\n",
        "checks/test_routes.py": _CHECK,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
