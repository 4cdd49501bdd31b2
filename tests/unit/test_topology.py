"""A topology is a Compose file; what labenv does not support it refuses by name."""

from pathlib import Path

import pytest

from labenv import topology
from labenv.errors import UsageError
from labenv.student import Student

ANNA = Student("anna", 90, "smith", "secret")
SHIPPED = topology.named("lab4b").read_text()

WRONG = {
    "privileged: true": ("    image: host\n", "    image: host\n    privileged: true\n", "'privileged'"),
    "unknown top key": ("services:", "volumes: {}\nservices:", "'volumes'"),
    "unknown network key": ("    driver: bridge", "    driver: bridge\n    internal: true", "'internal'"),
    "unknown x-labenv key": ("  lab: lab4b", "  lab: lab4b\n  colour: red", "'colour'"),
    "no YAML": ("services:", "services: [", "is no YAML"),
    "unknown variable": ("${DOMAIN}", "${HOME}", "${HOME}"),
    "foreign subnet": ("${PREFIX}.0/24", "10.0.0.0/24", "10.0.0.0/24 is not the student's network"),
    "address outside": ("${PREFIX}.3", "10.0.0.3", "10.0.0.3 does not lie in 192.168.90.0/24"),
    "address twice": ("${PREFIX}.3", "${PREFIX}.4", "192.168.90.4 is given to two machines"),
    "published to the world": ("127.0.0.1::143", "0.0.0.0:143:143", "'0.0.0.0:143:143' is not supported"),
    "no image": ("    image: host\n", "", "the key 'image' is missing"),
    "bad machine name": ("  vm2:", "  VM_2:", "VM_2"),
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
    made = topology.load(topology.named("lab4b"), ANNA)
    assert [(n.name, n.address, n.fqdn) for n in made.nodes] == [
        ("host", "192.168.90.1", "host.anna.ops"),
        ("vm2", "192.168.90.3", "vm2.anna.ops"),
        ("vm3", "192.168.90.4", "vm3.anna.ops"),
    ]
    assert made.gateway == "192.168.90.254"


def test_each_network_publishes_on_ports_of_its_own() -> None:
    made = topology.load(topology.named("lab4b"), ANNA)
    seen: set[int] = set()
    for x in range(256):
        numbers = {n for node in made.nodes for n in made.published(node, x).values()}
        assert len(numbers) == 4, "DNS answers on one number for both protocols"
        assert not numbers & seen
        seen |= numbers
    assert max(seen) < 32768, "below the ports that Linux hands out itself"
