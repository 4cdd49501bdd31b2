"""`render` writes plain files, and Compose alone makes the same environment from them as `up`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from labenv.engine import Engine, cgroups, recipe
from labenv.engine.labels import LABEL
from labenv.lab import labs, topology
from tests.e2e.conftest import Cli, mounted

Compose = Callable[..., str]

REMOVE = ("down", "--rmi", "local")
MACHINES = ("host", "vm2", "vm3")
# What a machine does, from its own programs; without counters and dates.
STATE = """
    hostname --fqdn; ip -4 -oneline address | cut -d' ' -f2-7; ip route
    cat /etc/resolv.conf /etc/hosts
    getent passwd | cut -d: -f1,3-
    systemctl list-unit-files --state=enabled,masked --no-legend
    iptables-save -t filter | sed '/^#/d; s/ \\[.*//'
    if command -v postconf >/dev/null; then postconf -n; postconf -M; postalias -s /etc/aliases; fi
    if command -v doveconf >/dev/null; then doveconf -n; fi
    if command -v named-checkconf >/dev/null; then named-checkconf -p; named-checkconf -z; fi
"""


@pytest.fixture(scope="module")
def compose(engine: Engine) -> Compose:
    """Runs Compose in a folder and returns its output. Root on Debian or Ubuntu gets it installed, as a new CI machine needs."""
    command = installed() or install()

    def run(folder: Path, *arguments: str) -> str:
        done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command} {arguments} → {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def installed() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    return None


def install() -> list[str]:
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("Compose is not installed: install docker-compose.")
    print("installing docker-compose from the distribution", file=sys.stderr)
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "docker-compose"]):
        subprocess.run(["apt-get", "-q", *arguments], check=True, stdin=subprocess.DEVNULL)
    return ["docker-compose"]


@pytest.fixture
def rendered(cli: Cli, engine: Engine, student: str, tmp_path: Path) -> Iterator[Path]:
    """A folder with the student's environment."""
    folder = tmp_path / f"lab-{student}"
    cli("render", str(folder), "-s", student)
    yield folder
    # An engine keeps the cgroup parents that it has made, and Compose does not know about them.
    cgroups.remove([recipe.ident(student, machine) for machine in MACHINES], engine)


@pytest.fixture
def started(rendered: Path, compose: Compose) -> Iterator[Path]:
    """That folder, started by Compose; the images that Compose made are removed with the test."""
    compose(rendered, "up", "-d")
    yield rendered
    compose(rendered, *REMOVE)


def states(cli: Cli, student: str) -> dict[str, list[str]]:
    return {machine: cli.inside(student, machine, STATE).splitlines() for machine in MACHINES}


def test_compose_makes_what_up_makes(cli: Cli, student: str, rendered: Path, compose: Compose) -> None:
    compose(rendered, "up", "-d")
    cli("up", student)  # everything exists already: it waits, and checks
    by_compose = states(cli, student)
    there = cli.json("status", "-s", student)["environments"][0]
    compose(rendered, *REMOVE)
    made = cli.json("up", student, "--no-check", "--net", there["network"].split(".")[2])
    assert states(cli, student) == by_compose
    assert [m["published"] for m in made["machines"]] == [m["published"] for m in there["machines"]]


def test_labenv_takes_machines_of_compose_for_its_own(cli: Cli, student: str, started: Path) -> None:
    again = cli.json("up", student)
    assert again["changes"] == again["drifted"] == []
    assert again["check"]["summary"]["failed"] == 0
    assert {m["state"] for m in again["machines"]} == {"running"}


@pytest.mark.soak
def test_compose_makes_the_world_outside_as_well(
    cli: Cli, engine: Engine, student: str, compose: Compose, tmp_path: Path
) -> None:
    cli("render", str(tmp_path / student), "-s", student, "--outside")
    compose(tmp_path / student, "up", "-d")
    try:
        again = cli.json("up", student, "--outside", "--no-check")
        assert again["changes"] == again["drifted"] == []
        assert again["machines"][-1]["name"] == "outside"
        assert cli.inside(student, "vm3", "dig +short MX myseneca.ca").startswith("0 myseneca-ca.")
        assert cli.inside(student, "outside", f"dig +short MX {student}.ops") == f"10 vm3.{student}.ops.\n"
    finally:
        compose(tmp_path / student, *REMOVE)
        cgroups.remove([recipe.ident(student, machine) for machine in MACHINES], engine)


def test_compose_down_leaves_nothing(engine: Engine, student: str, rendered: Path, compose: Compose) -> None:
    compose(rendered, "up", "-d")
    volumes = mounted(engine, student)
    compose(rendered, *REMOVE)
    wanted = {"label": f"{LABEL}={student}"}
    assert not engine.api.containers(all=True, filters=wanted)
    assert not engine.api.networks(filters=wanted)
    there = {volume["Name"] for volume in engine.api.volumes()["Volumes"] or []}
    assert not [name for name in there if name in volumes or student in name]
    assert not engine.api.images(filters={"reference": f"*{rendered.name}*"})


def test_what_is_rendered_is_whole_and_names_no_folder_of_this_machine(rendered: Path) -> None:
    for file in (path for path in rendered.rglob("*") if path.is_file() and not path.is_symlink()):
        text = file.read_text()
        assert "{{" not in text, file
        assert "{%" not in text, file
        assert str(rendered.parent) not in text, file
    document: dict[str, Any] = yaml.safe_load((rendered / "compose.yaml").read_text())
    assert list(document["services"]) == list(MACHINES)
    assert all(service["dns"] == ["127.0.0.1"] for service in document["services"].values())
    assert document["networks"]["lan"]["driver_opts"]["com.docker.network.bridge.name"].startswith("labenv"), (
        "the wall's"
    )
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", (rendered / "compose.yaml").read_text()), "a variable of Compose's"


def test_a_folder_that_has_been_rendered_is_not_overwritten(cli: Cli, student: str, rendered: Path) -> None:
    before = {path: path.read_bytes() for path in rendered.rglob("*") if path.is_file()}
    assert "not an empty folder" in cli("render", str(rendered), "-s", student, rc=2).stderr
    assert {path: path.read_bytes() for path in rendered.rglob("*") if path.is_file()} == before


def test_a_topology_of_ones_own_keeps_its_dollar_sign(cli: Cli, student: str, compose: Compose, tmp_path: Path) -> None:
    file = tmp_path / "my$HOME.yaml"
    shutil.copy(topology.file_of(labs.load("lab4b")), file)
    cli("render", str(tmp_path / "lab"), "-s", student, "--topology", str(file))
    assert "my$$HOME.yaml" in compose(tmp_path / "lab", "config")
