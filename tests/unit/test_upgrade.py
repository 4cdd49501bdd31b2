"""What version 0.2 made before labs were folders goes on working: its labels, its topologies, its records."""

import json
from pathlib import Path

import pytest

from labenv.engine.listing import environment_of
from labenv.environment import Environment
from labenv.environments import desktop
from labenv.environments.plan import plan_again, topology_of
from labenv.errors import UsageError
from labenv.lab import drills, labs

ADDRESSES = {"host": "192.168.142.1", "vm2": "192.168.142.3", "vm3": "192.168.142.4"}
OWN = """
name: labenv-${STUDENT}
x-labenv: {lab: lab4b}
services:
  host: {image: host, hostname: "host.${DOMAIN}", networks: {lan: {ipv4_address: "${PREFIX}.1"}}, ports: ["127.0.0.1::53/tcp"]}
  vm2: {image: mail, hostname: "vm2.${DOMAIN}", networks: {lan: {ipv4_address: "${PREFIX}.3"}}, ports: ["127.0.0.1::25"]}
  vm3: {image: mail, hostname: "vm3.${DOMAIN}", networks: {lan: {ipv4_address: "${PREFIX}.4"}}, ports: ["127.0.0.1::993"]}
networks:
  lan: {driver: bridge, ipam: {config: [{subnet: "${PREFIX}.0/24", gateway: "${PREFIX}.254"}]}}
"""


def old(topology: str, stage: str = "relay") -> Environment:
    """An environment as its labels say it: of the version before, none of its machines there."""
    labels = {
        "labenv.student": "up-a",
        "labenv.x": "142",
        "labenv.first": "up-a-first",
        "labenv.password": "jvijhpm9",
        "labenv.lab": "lab4b",
        "labenv.stage": stage,
        "labenv.topology": topology,
        "labenv.machines": json.dumps([[name, f"{name}.up-a.ops", address] for name, address in ADDRESSES.items()]),
    }
    return environment_of(labels, [], set())


def test_the_labels_of_an_old_environment_name_the_lab_its_network_and_its_topology() -> None:
    there = old("lab4b")
    assert {machine.name: machine.address for machine in there.machines} == ADDRESSES
    assert (str(there.subnet), there.own_topology) == ("192.168.142.0/24", None)
    again = plan_again(there.student, labs.of(there), there.stage, there.topology, list(ADDRESSES))
    assert [node.name for node in again.topology.nodes] == list(ADDRESSES)
    assert [machine.address for machine in again.environment().machines] == list(ADDRESSES.values())


def test_a_topology_written_for_the_version_before_has_the_desktop_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    there = old(str(file))
    assert [port.number for node in topology_of(there).nodes if node.name == "vm3" for port in node.ports] == [993]
    assert desktop.machine_name(there) == "host"


def test_a_topology_that_is_gone_is_named_with_the_way_out_and_the_desktop_is_still_known(tmp_path: Path) -> None:
    there = old(str(tmp_path / "own.yaml"))
    with pytest.raises(
        UsageError, match=r"There is no file .*/own\.yaml, the topology of up-a's environment\. Put it there again"
    ):
        plan_again(there.student, labs.of(there), there.stage, there.topology, list(ADDRESSES))
    assert desktop.machine_name(there) == "host"


def test_the_record_of_a_drill_that_was_running_is_read_with_its_old_keys() -> None:
    tree = drills.to_dict(drills.catalogue(labs.load("lab4b"))[0])
    tree["mend"] = tree.pop("fix")
    del tree["half"], tree["also"]
    assert drills.from_dict("mine", tree).fix == tree["mend"]
