"""End-to-end tests: the real command line, the real engine, real machines.

Each test makes environments for students of its own and takes them down; nothing else on the engine is touched.
"""

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

import pytest

from labenv.engine import Engine
from labenv.engine.find import connect
from labenv.events import silent

# A shell starts what runs in the background with SIGINT ignored, and all that the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Cli:
    """The `labenv` command as a person runs it. `environ` is laid over the test's own."""

    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, rc: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it; fail the test with its screen if it does not end with `rc` (None: any)."""
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
        """Run a shell script in a machine; its output."""
        return self("exec", "-s", student, machine, "--", "sh", "-c", script, rc=rc).stdout


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where histories lie while tests run: not among the user's own, and neither does what labenv keeps."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(folder))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine that labenv uses here, started or installed if need be."""
    return Engine(connect(silent))


@pytest.fixture(scope="session")
def cli(engine: Engine) -> Cli:
    """The command line, with all images built."""
    command = Cli()
    command("images", "build")
    return command


@pytest.fixture(scope="session")
def bundle(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `images export` writes."""
    file = tmp_path_factory.mktemp("bundle") / "labenv.tar.gz"
    cli("images", "export", str(file))
    return file


@pytest.fixture(scope="module")
def new_student(cli: Cli, engine: Engine) -> Iterator[Callable[[], str]]:
    """Hands out student ids that nobody has; their environments are removed at the end of the module at the latest."""
    given: list[str] = []

    def make() -> str:
        given.append(f"t-{secrets.token_hex(4)}")
        return given[-1]

    yield make
    for student in given:
        take_down(cli, engine, student)


@pytest.fixture
def student(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[str]:
    """A student id for one test; the environment goes with the test."""
    name = new_student()
    yield name
    take_down(cli, engine, name)


def take_down(cli: Cli, engine: Engine, student: str) -> None:
    """Remove the environment of a student, if there is one: each command costs half a second."""
    if engine.environments(student):
        cli("down", "-s", student, rc=None)


@pytest.fixture(scope="module")
def finished(cli: Cli, new_student: Callable[[], str]) -> Iterator[dict[str, Any]]:
    """An environment at stage done, as `up --json` shows it, shared by a module's tests that leave it as it is."""
    name = new_student()
    yield cli.json("up", name, "--no-check")
    cli("down", "-s", name, rc=None)
