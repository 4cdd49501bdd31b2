"""End-to-end tests: the real command line, the real engine, real machines.

Each test makes environments for its own students and removes them; it touches nothing else on the engine. Files run
side by side (pytest-xdist): a file is one group, whose tests share what its fixtures make; the rows of the labs' proofs go
to any free worker.
"""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from xdist.scheduler import LoadScopeScheduling

from labenv.engine import Engine, image_sources, own_image
from labenv.engine.find import connect
from labenv.engine.image_sources import REPOSITORY_VOLUME, TOOLS_VOLUME
from labenv.engine.labels import LABEL
from labenv.events import silent
from tests.e2e import nodes, rig
from tests.e2e.terminal import Open, Terminal

# A shell starts background commands with SIGINT ignored, and everything that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Modules of fixtures from which tests also import are there before pytest takes them for plugins.
pytest.register_assert_rewrite("tests.e2e.desk", "tests.e2e.pages")


# Tests that any worker takes one by one, in an environment of the worker's: they come last, and keep all workers busy.
SINGLE = ("test_a_lab_is_as_it_says",)
# The files that take longest begin first, so that none of them is left at the end.
LONGEST = (
    "test_kill_points",
    "test_drills",
    "test_term",
    "test_lab6_machines",
    "test_thunderbird",
    "test_firefox",
    "test_second_engine",
    "test_saves",
    "test_solve",
    "test_desktop",
    "test_history",
    "test_up_down",
    "test_outside",
    "test_replay",
    "test_web",
    "test_web_class_door",
    "test_web_live",
    "test_web_look",
    "test_swarm",
)


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist ships no types for its schedulers
    """Gives a worker a whole file, or one of the single tests.

    The page's files are as one, as many browsers at once take all processors, and those of a swarm, which have three more engines each.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if "/test_web" in file:
            return "the page"
        if "/test_swarm" in file:
            return "swarm"
        return nodeid if test.partition("[")[0] in SINGLE else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Side by side, tests go by these groups."""
    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `make soak` is for, and put the longest first."""
    if not os.environ.get("SOAK"):
        left_out = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

    def place(item: pytest.Item) -> int:
        name = getattr(item, "originalname", "")
        if name in SINGLE:
            return len(LONGEST) + 1 + SINGLE.index(name)
        return LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)

    items.sort(key=place)


@contextlib.contextmanager
def alone(tmp_path_factory: pytest.TempPathFactory, what: str) -> Iterator[Path]:
    """Do something that several workers need while no other worker does it; yields a folder that they share."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with (shared / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield shared


@dataclass(frozen=True)
class Cli:
    """The `labenv` command as a person runs it. `environ` is added to the test's own environment."""

    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, rc: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it; fail the test with its output if it does not end with `rc` (None: any)."""
        done = subprocess.run(
            [sys.executable, "-m", "labenv", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=600,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"} | self.environ,
            check=False,
        )
        screen = f"labenv {' '.join(arguments)} → {done.returncode}\n{done.stdout}{done.stderr}"
        assert rc is None or done.returncode == rc, screen
        assert "Traceback" not in screen, screen
        return done

    def json(self, *arguments: str, rc: int | None = 0) -> Any:
        """Run it with --json; what it printed on stdout, which must be one document."""
        return json.loads(self(*arguments, "--json", rc=rc).stdout)

    def inside(self, student: str, machine: str, script: str, rc: int | None = 0) -> str:
        """Run a shell script in a machine; returns its output."""
        return self("exec", "-s", student, machine, "--", "sh", "-c", script, rc=rc).stdout


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folders of histories and caches while tests run: not the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The engine that labenv uses here, started or installed if needed."""
    with alone(tmp_path_factory, "engine"):
        return Engine(connect(silent))


@pytest.fixture(scope="session")
def cli(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The command line, with all images built."""
    command = Cli()
    with alone(tmp_path_factory, "images"):
        command("images", "build")
    return command


@pytest.fixture(scope="session")
def bundle(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `images export`."""
    with alone(tmp_path_factory, "bundle") as shared:
        file = shared / "bundle" / "labenv.tar.gz"
        if not file.exists():
            file.parent.mkdir()
            cli("images", "export", str(file))
    return file


@pytest.fixture(scope="session")
def node_images(cli: Cli, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of an engine that has all images, labenv's own too, for `nodes.nodes`."""
    with alone(tmp_path_factory, "openssh-server"):
        if reason := rig.available() or nodes.provide_sshd():
            pytest.skip(reason)
    with alone(tmp_path_factory, "images"):
        cli("images", "build", "labenv")
    own = own_image.own()
    tags = [image_sources.wanted()[name].tag for name in image_sources.usual()]
    tags += [own.tag, own.below.tag if own.below else own.tag]
    load = ["docker", "load", "--quiet"]
    with rig.new_home(tmp_path_factory.mktemp("rig")) as home:
        with rig.running(home) as there, subprocess.Popen(["docker", "save", *tags], stdout=subprocess.PIPE) as saved:
            subprocess.run(load, stdin=saved.stdout, env=there.environment, check=True, timeout=300)
        yield there.data


@pytest.fixture(scope="module")
def swarm_nodes(node_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[nodes.Node]]:
    """Three computers with all images, n1 to n3; they are no swarm yet."""
    with nodes.nodes(tmp_path_factory.mktemp("nodes"), images=node_images) as made:
        yield made


@pytest.fixture(scope="module")
def new_student(cli: Cli, engine: Engine) -> Iterator[Callable[[], str]]:
    """Makes student ids that nobody uses; their environments are removed at the latest at the end of the module."""
    given: list[str] = []

    def make() -> str:
        given.append(f"t-{secrets.token_hex(4)}")
        return given[-1]

    yield make
    for student in given:
        take_down(cli, engine, student)


@pytest.fixture
def student(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[str]:
    """A student id for one test; the test's end removes the environment."""
    name = new_student()
    yield name
    take_down(cli, engine, name)


def take_down(cli: Cli, engine: Engine, student: str) -> None:
    """Remove the environment of a student, if there is one, and what `down` keeps: each command costs half a second."""
    if engine.environments(student):
        cli("down", "-s", student, rc=None)
    for image in engine.api.images(name="labenv-save"):
        for tag in image["RepoTags"] or ():
            if tag.startswith(f"labenv-save:{student}."):
                with contextlib.suppress(docker.errors.APIError):  # a machine still runs from it
                    engine.api.remove_image(tag)


@pytest.fixture(scope="module")
def finished(cli: Cli, new_student: Callable[[], str]) -> Iterator[dict[str, Any]]:
    """An environment at stage done, as `up --json` shows it, shared by a module's tests that leave it as it is."""
    name = new_student()
    yield cli.json("up", name, "--no-check")
    cli("down", "-s", name, rc=None)


def mounted(engine: Engine, student: str) -> set[str]:
    """The volumes in the machines of a student that are theirs: labenv's tools, and packages, lie in one for all."""
    containers = engine.api.containers(all=True, filters={"label": f"{LABEL}={student}"})
    mounts = [mount for container in containers for mount in engine.api.inspect_container(container["Id"])["Mounts"]]
    shared = (TOOLS_VOLUME, REPOSITORY_VOLUME)
    return {m["Name"] for m in mounts if m["Type"] == "volume" and not m["Name"].startswith(shared)}


@pytest.fixture
def terminal() -> Iterator[Open]:
    """Opens terminals; they are closed at the end."""
    opened: list[Terminal] = []

    def make(student: str, machine: str) -> Terminal:
        opened.append(Terminal(student, machine))
        return opened[-1]

    yield make
    for one in opened:
        one.screen.close(force=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show why a test was run once more: the last try's words alone often speak of what the first has left."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"a {report.when} that was run once more: {report.nodeid}", sep="_")
        terminalreporter.write_line(report.longreprtext[-3000:])
