"""A topology is a Compose file; labenv refuses by name what it does not support."""

from pathlib import Path

import pytest

from labenv.errors import UsageError
from labenv.lab import topology
from labenv.student import Student

ANNA = Student("anna", 90, "smith", "secret")
SHIPPED = topology.named("lab4b").read_text()

WRONG = {
    "privileged: true": ("    image: host\n", "    image: host\n    privileged: true\n", "'privileged'"),
    "unknown top key": ("services:", "volumes: {}\nservices:", "'volumes'"),
    "unknown network key": ("    driver: bridge", "    driver: bridge\n    internal: true", "'internal'"),
    "unknown x-labenv key": ("  lab: lab4b", "  lab: lab4b\n  colour: red", "'colour'"),
    "no YAML": ("services:", "services: [", "is not valid YAML"),
    "unknown variable": ("${DOMAIN}", "${HOME}", "${HOME}"),
    "foreign subnet": ("${PREFIX}.0/24", "10.0.0.0/24", "10.0.0.0/24 is not the student's network"),
    "address outside": ("${PREFIX}.3", "10.0.0.3", "10.0.0.3 is not in 192.168.90.0/24"),
    "address twice": ("${PREFIX}.3", "${PREFIX}.4", "192.168.90.4 is given to two machines"),
    "published to the world": ("127.0.0.1::143", "0.0.0.0:143:143", "'0.0.0.0:143:143' is not supported"),
    "no image": ("    image: host\n", "", "the key 'image' is missing"),
    "bad machine name": ("  vm2:", "  VM_2:", "VM_2"),
    "a further network of home routers": ("198.18.${X}.0/29", "10.0.0.0/29", "10.0.0.0/29 of an additional network"),
    "not in its further network": ("198.18.${X}.2", "192.168.90.9", "192.168.90.9 is not in 198.18.90.0/29"),
    "joined from outside it": ("host: 198.18.${X}.1", "host: 10.0.0.1", "10.0.0.1 is not in 198.18.90.0/29"),
    "joined by nobody": ("host: 198.18.${X}.1", "vm9: 198.18.${X}.1", "'vm9' joins a network"),
    "joined at an address that is taken": ("host: 198.18.${X}.1", "host: 198.18.${X}.2", "is given to two machines"),
    "outside without being asked for": (
        "    profiles: [outside]\n",
        "",
        "without a profile must be on the student's own",
    ),
    "two profiles": ("[outside]", "[outside, inside]", "a list with one profile"),
    "no network": ("      wan:\n        ipv4_address: 198.18.${X}.2\n", "      {}\n", "expected exactly one network"),
    "other driver": ("driver: bridge", "driver: macvlan", "'macvlan'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_hand_edited_topology_is_refused_with_file_and_key(case: str, tmp_path: Path) -> None:
    old, new, said = WRONG[case]
    assert old in SHIPPED
    file = tmp_path / "mine.yaml"
    file.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(UsageError) as error:
        topology.load(file, ANNA)
    assert said in str(error.value)
    assert str(file) in str(error.value) or "192.168" in str(error.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        topology.load(tmp_path / "none.yaml", ANNA)


def test_the_shipped_topology_has_the_courses_addresses() -> None:
    made = topology.load(topology.named("lab4b"), ANNA).with_profiles(())
    assert [(n.name, n.address, n.fqdn) for n in made.nodes] == [
        ("host", "192.168.90.1", "host.anna.ops"),
        ("vm2", "192.168.90.3", "vm2.anna.ops"),
        ("vm3", "192.168.90.4", "vm3.anna.ops"),
    ]
    [lan] = made.networks
    assert (lan.subnet, lan.gateway) == ("192.168.90.0/24", "192.168.90.254")


def test_the_world_outside_comes_with_its_profile_and_its_network() -> None:
    made = topology.load(topology.named("lab4b"), ANNA).with_profiles({"outside"})
    outside = made.nodes[-1]
    assert (outside.name, outside.network, outside.address) == ("outside", "wan", "198.18.90.2")
    assert not outside.systemd
    assert "208.67.222.222" in outside.addresses
    wan = made.networks[1]
    assert (wan.subnet, wan.joined_by) == ("198.18.90.0/29", {"host": "198.18.90.1"})
    assert wan.options["com.docker.network.bridge.enable_ip_masquerade"] == "false", "no packet gets to the real world"


def test_a_profile_that_no_machine_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no machine with the profile 'mars'. The profiles are: outside"):
        topology.load(topology.named("lab4b"), ANNA).with_profiles({"mars"})


def test_each_network_publishes_on_ports_of_its_own() -> None:
    made = topology.load(topology.named("lab4b"), ANNA)
    seen: set[int] = set()
    for x in range(256):
        numbers = {n for node in made.nodes for n in made.published(node, x).values()}
        assert len(numbers) == 5, "DNS answers on one number for both protocols"
        assert not numbers & seen
        seen |= numbers
    assert max(seen) < 32768, "below the ports that Linux hands out itself"
