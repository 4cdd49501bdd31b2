"""labenv runs from its own image, in a container beside the machines, against the engine's socket."""

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from labenv import places
from labenv.engine import Engine, bundle, image_file, recipe
from labenv.engine.hold import held
from labenv.engine.image_sources import Image
from labenv.engine.images import Images
from labenv.engine.labels import LABEL
from labenv.engine.own_image import own
from labenv.environments.lock import student_lock
from labenv.events import silent
from tests.e2e.conftest import Cli

# How it is started so that `up` is the same from inside as from outside (docs/contributor.md).
ALIKE = ("--network=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro", "--volume=/run/lock:/run/lock")
Inside = Callable[..., "subprocess.CompletedProcess[str]"]


def waits(_holder: str) -> None:
    pytest.fail("somebody else has the lock")


@pytest.fixture(scope="module")
def image(cli: Cli) -> Image:
    """The image, built."""
    cli("images", "build", "labenv")
    return own()


@pytest.fixture(scope="module")
def command(engine: Engine, image: Image) -> Callable[..., list[str]]:
    """The command line that runs words in a container of the image, started with these options."""
    if (socket := engine.endpoint.socket) is None:
        pytest.skip("the engine is on another computer")

    def words(*words: str, options: tuple[str, ...]) -> list[str]:
        given = ("--rm", f"--volume={socket}:/var/run/docker.sock", *options)
        return ["docker", "run", *given, image.tag, *words]

    return words


@pytest.fixture(scope="module")
def inside(command: Callable[..., list[str]]) -> Inside:
    """Runs words in a container of the image."""

    def run(*words: str, options: tuple[str, ...] = ("--network=none",), rc: int = 0) -> Any:
        done = subprocess.run(
            command(*words, options=options), capture_output=True, text=True, timeout=600, check=False
        )
        screen = f"{' '.join(words)} → {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == rc, screen
        assert "Traceback" not in screen, screen
        return done

    return run


def test_it_is_built_once_and_listed(cli: Cli, image: Image) -> None:
    assert cli("images", "build", "labenv").stdout == "All images are already built.\n"
    listed = {there["tag"]: there for there in cli.json("images", "list")["images"]}
    assert listed[image.tag]["current"]
    assert {"docker", "python3", "obstore"} <= set(listed[image.tag]["versions"])
    assert image.tag not in cli("images", "remove", "--old", "--dry-run").stdout
    assert "docker 7" in cli("images", "packages", "labenv").stdout


def test_it_is_small_and_has_what_it_needs_alone(engine: Engine, image: Image, inside: Inside) -> None:
    base = next(layer for layer in engine.api.history(image.tag) if "apt-get" in layer["CreatedBy"])
    above = sum(layer["Size"] for layer in engine.api.history(image.tag) if layer["Created"] >= base["Created"])
    assert above < 150_000_000
    assert inside("sh", "-c", "command -v git pip pip3 || echo none").stdout == "none\n"
    assert inside("python3", "-m", "labenv", "--version").stdout.startswith("labenv ")
    asked = "from labenv.engine.own_image import own; print(own().tag)"
    assert inside("python3", "-c", asked).stdout == f"{image.tag}\n", "in there it knows its own name"


def test_it_travels_in_a_bundle(engine: Engine, image: Image, tmp_path: Path) -> None:
    file = tmp_path / "labenv.tar.gz"
    bundle.export(Images(engine), [image], file, silent)
    [given] = image_file.verified(file).images
    assert bundle._named(given).tags == (image.tag,)


def test_an_environment_comes_up_from_inside_as_from_outside(
    cli: Cli, engine: Engine, student: str, inside: Inside
) -> None:
    made = json.loads(inside("python3", "-m", "labenv", "up", student, "--json", options=ALIKE).stdout)
    assert made["check"]["summary"]["failed"] == 0
    keys = [engine.api.inspect_container(m["container"])["HostConfig"]["Binds"] for m in made["machines"]]
    assert len(keys) == 3
    known = recipe.choose(engine.facts)
    for binds in keys if known.own_slice else []:
        assert known.binds[0] in binds
    assert cli.json("status", "-s", student) == json.loads(
        inside("python3", "-m", "labenv", "status", "-s", student, "--json", options=ALIKE).stdout
    )
    assert cli.json("up", student, "--no-check")["changes"] == []
    inside("python3", "-m", "labenv", "down", "-s", student, options=ALIKE)
    assert not engine.environments(student)
    assert not engine.api.networks(filters={"label": f"{LABEL}={student}"})
    idents = [recipe.ident(student, machine["name"]) for machine in made["machines"]]
    assert not [path for ident in idents for path in Path("/sys/fs/cgroup").glob(f"*/labenv/{ident}")]


def test_the_socket_alone_is_enough(engine: Engine, student: str, inside: Inside) -> None:
    made = json.loads(inside("python3", "-m", "labenv", "up", student, "--at", "lab4a", "--json").stdout)
    assert made["check"]["summary"]["failed"] == 0
    there = json.loads(inside("python3", "-m", "labenv", "status", "-s", student, "--json").stdout)
    assert [machine["state"] for machine in there["environments"][0]["machines"]] == ["running"] * 3
    inside("python3", "-m", "labenv", "down", "-s", student)
    assert not engine.environments(student)


@pytest.mark.parametrize("shared", [True, False])
def test_it_waits_for_who_is_changing_the_environment(
    engine: Engine, student: str, command: Callable[..., list[str]], shared: bool
) -> None:
    if shared and (engine.group is None or places.shared(engine.group).parent != Path("/run/lock")):
        pytest.skip("this computer has its locks elsewhere")
    if shared:
        lock = student_lock(places.shared(engine.group or 0), student, silent)
    else:  # as another container does
        lock = held(engine, f"labenv-lock-{student}", "the test", waits)
    options = ALIKE if shared else ("--network=none",)
    words = command("python3", "-m", "labenv", "up", student, "--no-check", options=options)
    with ExitStack() as holding:
        holding.enter_context(lock)
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as waiting:
            assert waiting.stderr is not None
            line = next((line for line in waiting.stderr if "lock" in line), "")
            assert "waiting for" in line
            assert f"which is changing {student}'s environment" in line
            assert not engine.environments(student)
            holding.close()
            said = waiting.stderr.read()
    assert waiting.returncode == 0, said
    assert engine.environments(student)
