"""Environments with one X: what the engine knows their networks by, and how their machines take their own addresses."""

import shlex
import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from labenv.engine import moves, recipe
from labenv.engine.labels import pools_in
from labenv.environment import Pool
from labenv.environments import foreign
from labenv.environments.networks import Takings
from labenv.environments.pools import free_pool, pools_for
from labenv.errors import EngineError, UsageError
from labenv.lab import labs, topology
from labenv.student import Student

WHO = Student("asmith15", 90, "ann", "x")
LAN = IPv4Network("192.168.90.0/24")
FREE = Takings((), {})


def taken(*subnets: str) -> Takings:
    return Takings(tuple((IPv4Network(subnet), "somebody") for subnet in subnets), {90: "somebody"})


def whole() -> topology.Topology:
    return topology.of(labs.load("lab4b"), WHO)


@pytest.mark.parametrize(
    ("facts", "needs"),
    [
        (recipe.Facts((20, 10)), False),
        (recipe.Facts((27, 5)), False),  # it refuses a mode that it does not know
        (recipe.Facts((28, 0)), True),
        (recipe.Facts((29, 1), rootless=True), True),
        (recipe.Facts((28, 0), podman=True), False),
    ],
)
def test_an_engine_that_would_keep_equal_addresses_apart_is_told_not_to(facts: recipe.Facts, needs: bool) -> None:
    assert bool(recipe.network_options(facts)) == needs


def test_only_networks_whose_addresses_are_taken_get_a_pool() -> None:
    assert pools_for(FREE, "asmith15", whole().networks) == ()
    [pool] = pools_for(taken(str(LAN)), "asmith15", whole().networks)
    assert (pool.network, pool.own) == ("", str(LAN))
    assert IPv4Network(pool.there).prefixlen == 24
    assert pools_for(taken(str(LAN)), "asmith15", whole().networks) == (pool,)
    [other] = pools_for(taken(str(LAN), pool.there), "asmith15", whole().networks)
    assert not IPv4Network(other.there).overlaps(IPv4Network(pool.there))


def test_three_hundred_environments_with_one_x_get_pools_of_their_own() -> None:
    addresses = [(LAN, "somebody")]
    found = []
    for number in range(300):
        [pool] = pools_for(Takings(tuple(addresses), {}), f"s{number}", whole().networks)
        found.append(pool.there)
        addresses.append((IPv4Network(pool.there), "somebody"))
    assert len(set(found)) == 300


def test_where_everything_is_taken_a_sentence_says_so() -> None:
    with pytest.raises(EngineError, match="No network of the size /24 is free"):
        free_pool(taken("10.0.0.0/8"), "asmith15", 24)


def test_machines_on_such_a_network_keep_their_addresses_and_publish_nothing() -> None:
    pool = Pool("", "10.200.5.0/24", str(LAN))
    plain, made = whole(), whole().pooled([pool])
    assert [node.address for node in made.nodes] == [node.address for node in plain.nodes]
    there = {node.name: node for node in made.nodes}
    assert there["vm3"].moves == (("10.200.5.4", "192.168.90.4/24"),)
    assert there["vm3"].on_engine("192.168.90.4") == "10.200.5.4"
    assert there["vm3"].ports == ()
    assert there["outside"].moves == ()
    assert there["outside"].ports
    assert there["host"].on_engine("198.18.90.1") == "198.18.90.1"
    assert made.networks[0].on_engine == ("10.200.5.0/24", "10.200.5.254")
    assert made.networks[1].on_engine == (plain.networks[1].subnet, plain.networks[1].gateway)
    assert whole().pooled(()) == plain


def test_a_pool_is_read_from_the_labels_as_it_was_written() -> None:
    assert pools_in({"labenv.pools": "=10.200.5.0/24=192.168.90.0/24 wan=10.201.0.0/29=198.18.90.0/29"}) == (
        Pool("", "10.200.5.0/24", "192.168.90.0/24"),
        Pool("wan", "10.201.0.0/29", "198.18.90.0/29"),
    )
    pool = Pool("wan", "10.201.0.8/29", "198.18.90.0/29")
    assert pool.in_machine(pool.on_engine("198.18.90.2")) == "198.18.90.2"
    assert pool.on_engine("198.18.90.2") == "10.201.0.10"


def test_the_command_takes_the_addresses_then_runs_what_the_machine_runs(tmp_path: Path) -> None:
    assert moves.command((), ["init"]) == ["init"]
    words = moves.command((("10.200.5.4", "192.168.90.4/24"),), ["echo", "it", "*"])
    assert moves.then(words) == ["echo", "it", "*"]
    assert moves.then(["sh", "-c", "x"]) == ["sh", "-c", "x"]
    said = tmp_path / "said"
    ip = tmp_path / "ip"  # where no such address is, nothing is changed
    ip.write_text(f'#!/bin/sh\necho "$@" >>{shlex.quote(str(said))}\n')
    ip.chmod(0o755)
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.stdout == "it *\n"
    assert said.read_text() == "-4 -oneline address show to 10.200.5.4\n"


def test_an_archive_of_such_an_environment_is_what_a_save_writes_and_nothing_else() -> None:
    command = foreign._SETTINGS["Cmd"]
    pair = (("10.200.5.4", "192.168.90.4/24"),)
    assert command(moves.command(pair, [recipe.INIT, "H4sI="]))
    assert command(moves.command(pair, [recipe.INIT]))
    assert not command(moves.command(pair, ["/bin/sh", "-c", "evil"]))
    assert not command(["/bin/sh", "-c", "evil", "sh", "--", recipe.INIT])


def test_podman_is_refused_with_the_way_out() -> None:
    node = next(node for node in whole().pooled([Pool("", "10.200.5.0/24", str(LAN))]).nodes if node.name == "vm3")
    podman = recipe.choose(recipe.Facts((5, 0), podman=True))
    with pytest.raises(UsageError, match="Podman"):
        recipe.service_keys(podman, "asmith15", node)
