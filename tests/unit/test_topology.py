"""A topology is a Compose file; labenv refuses by name what it does not support."""

import re
from functools import partial
from pathlib import Path

import pytest
import yaml

from labenv import resources
from labenv.errors import UsageError
from labenv.lab import labs, topology
from labenv.student import Student
from tests.routed import ROUTED

ANNA = Student("anna", 90, "smith", "secret")
LAB = labs.load("lab4b")
SHIPPED = topology.file_of(LAB).read_text()
OUTSIDE = (resources.topologies() / "outside.yaml").read_text()


WRONG = {
    "privileged: true": ("    image: host\n", "    image: host\n    privileged: true\n", "'privileged'"),
    "unknown top key": ("services:", "volumes: {}\nservices:", "'volumes'"),
    "unknown network key": ("    driver: bridge", "    driver: bridge\n    internal: true", "'internal'"),
    "unknown x-labenv key": ("  lab: lab4b", "  lab: lab4b\n  colour: red", "'colour'"),
    "unknown key of a machine": ("      desktop:\n", "      colour: red\n      desktop:\n", "'colour'"),
    "a host name that is none": ("hostname: vm2.", "hostname: v m2;.", "hostname: expected a host name of letters"),
    "no YAML": ("services:", "services: [", "is not valid YAML"),
    "unknown variable": ("${DOMAIN}", "${HOME}", "${HOME}"),
    "address outside": ("${PREFIX}.3", "10.0.0.3", "10.0.0.3 is not in 192.168.90.0/24"),
    "address of all": ("${PREFIX}.3", "${PREFIX}.255", "192.168.90.255 is not in 192.168.90.0/24"),
    "address twice": ("${PREFIX}.3", "${PREFIX}.4", "192.168.90.4 is given to two: vm2 and vm3"),
    "address of the engine": ("${PREFIX}.3", "${PREFIX}.254", "given to two: the gateway of lan and vm2"),
    "published to the world": ("127.0.0.1::143", "0.0.0.0:143:143", "'0.0.0.0:143:143' is not supported"),
    "no image": ("    image: host\n", "", "the key 'image' is missing"),
    "bad machine name": ("  vm2:", "  VM_2:", "VM_2"),
    "the desktop's name": ("  vm2:", "  screen:", "labenv itself has a container of that name"),
    "other driver": ("driver: bridge", "driver: macvlan", "'macvlan'"),
    "an included file that is not there": (
        "[outside.yaml]",
        "[mars.yaml]",
        "there is no file mars.yaml beside this one",
    ),
    "an included file elsewhere": ("[outside.yaml]", "[../outside.yaml]", "Write the name of a file in one of the two"),
    "no list of files": ("[outside.yaml]", "outside.yaml", "expected a list of files"),
    "a file that includes itself": ("[outside.yaml]", "[mine.yaml]", "mine.yaml includes itself"),
    "a machine in two files": ("  vm2:", "  outside:", "services.outside: /"),
    "a desktop of no profile": ("profiles: [outside]", "profiles: [mars]", "no machine has the profile 'mars'"),
    "a desktop of another image": ("profiles: [outside]", "image: mail", "image: expected desktop or browser"),
    "two desktops": ("    image: mail\n", "    image: mail\n    x-labenv: {desktop: true}\n", "host and vm2 both have"),
}
WRONG_OUTSIDE = {
    "not in its further network": ("${LINK}.2", "192.168.90.9", "192.168.90.9 is not in 198.18.90.0/29"),
    "joined from outside it": ("host: ${LINK}.1", "host: 10.0.0.1", "10.0.0.1 is not in 198.18.90.0/29"),
    "joined by nobody": ("host: ${LINK}.1", "vm9: ${LINK}.1", "'vm9' joins it"),
    "joined at an address that is taken": ("host: ${LINK}.1", "host: ${LINK}.2", "is given to two"),
    "two profiles": ("[outside]", "[outside, inside]", "a list with one profile"),
    "no network": ("      wan:\n        ipv4_address: ${LINK}.2\n", "      {}\n", "a machine needs a network"),
    "the desktop's network": ("wan:", "screen:", "labenv itself has a network of that name"),
    "a file of no template": (
        "outside/world.nft.j2",
        "outside/world.tfn.j2",
        "there is no template outside/world.tfn.j2",
    ),
    "a file at a stage": ("template: outside/world.nft.j2", "template: outside/world.nft.j2, since: relay", "'since'"),
    "a relative path": ("/etc/labenv/world.nft", "etc/labenv/world.nft", "an absolute path"),
    "an answer of no kind": ('banner: "220 "', 'colour: "220 "', "'colour'"),
    "an answer on no port": ("{port: 587, ", "{", "expected a port and one of banner"),
}
WRONG_NETWORKS = {
    "public": ("10.${X}.1.", "8.${X}.1.", "the subnet 8.90.1.0/24 is not private"),
    "the same for all": ("10.${X}.2.", "10.5.2.", "its subnet 10.5.2.0/24 is not each student's own"),
    "shared with the neighbour": ("10.${X}.2.0/24", "10.${X}.2.0/14", "has host bits set"),
    "private for some only": ("10.${X}.1.", "172.${X}.1.", "172.90.1.0/24 is not private"),
    "too large for some": ("10.${X}.1.", "10.2${X}.1.", "10.290.1.0/24 is not an IPv4 network"),
    "one in the other": ("10.${X}.2.", "10.${X}.1.", "overlaps 10.90.1.0/24 of the network office"),
    "unknown": (
        "      servers:",
        "      cellar:",
        "there is no network 'cellar'. The networks are: office, servers",
    ),
    "a list": (
        "      servers:\n        ipv4_address: 10.${X}.2.10",
        "      - servers",
        "expected a mapping, found a list",
    ),
}


def refusal(folder: Path, text: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        topology.load(file, ANNA)
    return str(error.value)


@pytest.mark.parametrize("case", WRONG)
def test_a_hand_edited_topology_is_refused_with_file_and_key(case: str, tmp_path: Path) -> None:
    old, new, said = WRONG[case]
    assert old in SHIPPED
    told = refusal(tmp_path, SHIPPED.replace(old, new, 1))
    assert said in told
    assert re.match(
        r".*/(mine|outside)\.yaml(:\d+:\d+: |: labenv does not support|: expected| is not valid YAML)", told
    )


@pytest.mark.parametrize("case", WRONG_OUTSIDE)
def test_an_included_file_is_refused_under_its_own_name(case: str, tmp_path: Path) -> None:
    old, new, said = WRONG_OUTSIDE[case]
    assert old in OUTSIDE
    (tmp_path / "outside.yaml").write_text(OUTSIDE.replace(old, new))
    (tmp_path / "templates").symlink_to(resources.topologies() / "templates")
    told = refusal(tmp_path, SHIPPED.replace("profiles: [outside]", "profiles: []"))
    assert said in told
    assert str(tmp_path) in told


@pytest.mark.parametrize("case", WRONG_NETWORKS)
def test_networks_are_private_and_each_students_own(case: str, tmp_path: Path) -> None:
    old, new, said = WRONG_NETWORKS[case]
    assert old in ROUTED
    told = refusal(tmp_path, ROUTED.replace(old, new))
    assert said in told
    assert str(tmp_path / "mine.yaml") in told


def test_a_machine_can_be_on_several_networks_and_the_first_has_its_address(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ROUTED)
    made = topology.load_for(LAB, tmp_path / "mine.yaml", ANNA)
    client, router, web = made.nodes
    office, servers = made.networks
    assert (office.name, office.key, servers.name) == ("", "office", "servers"), "the first is the student's own"
    assert (router.address, router.network, router.joins) == ("10.90.1.1", "", ("servers",))
    assert servers.joined_by == {"router": "10.90.2.1"}
    assert (client.network, web.network) == ("", "servers")


def test_a_machine_appears_at_its_stage_and_the_routers_network_is_there_before(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ROUTED)
    made = topology.load_for(LAB, tmp_path / "mine.yaml", ANNA)
    early, late = (made.at(partial(LAB.reached, at=stage)) for stage in ("domain", "done"))
    assert [node.name for node in early.nodes] == ["client", "router"]
    assert [network.name for network in early.networks] == ["", "servers"], "the router is on it"
    assert late == made
    (tmp_path / "late.yaml").write_text(ROUTED.replace("since: relay", "since: later"))
    with pytest.raises(UsageError, match=r"late.yaml:\d+:7: services.web.x-labenv.since: lab4b has no stage 'later'"):
        topology.load_for(LAB, tmp_path / "late.yaml", ANNA)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        topology.load(tmp_path / "none.yaml", ANNA)


def test_the_shipped_topology_has_the_courses_addresses() -> None:
    made = topology.of(LAB, ANNA).with_profiles(())
    assert [(n.name, n.address, n.fqdn) for n in made.nodes] == [
        ("host", "192.168.90.1", "host.anna.ops"),
        ("vm2", "192.168.90.3", "vm2.anna.ops"),
        ("vm3", "192.168.90.4", "vm3.anna.ops"),
    ]
    [lan] = made.networks
    assert (lan.subnet, lan.gateway) == ("192.168.90.0/24", "192.168.90.254")


def test_the_world_outside_comes_with_its_profile_and_its_network() -> None:
    made = topology.of(LAB, ANNA).with_profiles({"outside"})
    outside = made.nodes[-1]
    assert (outside.name, outside.network, outside.address) == ("outside", "wan", "198.18.90.2")
    assert not outside.systemd
    assert "208.67.222.222" in outside.addresses
    wan = made.networks[1]
    assert (wan.subnet, wan.joined_by) == ("198.18.90.0/29", {"host": "198.18.90.1"})
    assert wan.options["com.docker.network.bridge.enable_ip_masquerade"] == "false", "no packet gets to the real world"


def test_a_topology_of_the_users_own_has_the_labs_files_for_machines_of_the_same_names(tmp_path: Path) -> None:
    """Before 0.3 the file of a lab named the machine `outside` itself, and the lab had its files."""
    usual = topology.of(LAB, ANNA)
    old, outside = yaml.safe_load(SHIPPED), yaml.safe_load(OUTSIDE)
    del old["include"], old["services"]["host"]["x-labenv"]
    del outside["services"]["outside"]["x-labenv"]["files"], outside["services"]["outside"]["x-labenv"]["answers"]
    for key in ("services", "networks"):
        old[key] |= outside[key]
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(old, sort_keys=False))
    made = topology.load_for(LAB, tmp_path / "old.yaml", ANNA)
    assert topology.load(tmp_path / "old.yaml", ANNA).nodes[-1].own is None
    assert made.nodes[-1] == usual.nodes[-1]
    assert made.nodes[-1].own is not None
    assert made.desk == usual.desk


def test_a_profile_that_no_machine_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no machine with the profile 'mars'. The profiles are: outside"):
        topology.of(LAB, ANNA).with_profiles({"mars"})


def test_each_network_publishes_on_ports_of_its_own() -> None:
    made = topology.of(LAB, ANNA)
    seen: set[int] = set()
    for x in range(256):
        numbers = {n for node in made.nodes for n in made.published(node, x).values()}
        assert len(numbers) == 5, "DNS answers on one number for both protocols"
        assert not numbers & seen
        seen |= numbers
    assert max(seen) < 32768, "below the ports that Linux hands out itself"
