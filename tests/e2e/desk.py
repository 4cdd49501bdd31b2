"""A student's desktop and a browser to look at it: the fixtures of the tests of the desktop.

The browser is a headless Chromium in a container of its own, so that only an engine is needed here. Screenshots are
stored in the folder that LABENV_SCREENSHOTS names, if it is set.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine, debian
from labenv.events import silent
from tests.e2e.conftest import Cli
from tests.e2e.webdriver import Chromium, until

# One of our own: another run may use its own at the same time.
_BROWSER = f"labenv-test/browser:{secrets.token_hex(4)}"
# How much of the desktop is nearly white, as Thunderbird's window is; the bare desktop is dark.
BRIGHT = """
    const canvas = document.querySelector('#screen canvas');
    if (!canvas || !canvas.width || !canvas.height) return 0;
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    let bright = 0;
    for (let i = 0; i < data.length; i += 4) bright += Math.min(data[i], data[i + 1], data[i + 2]) > 225;
    return bright / (canvas.width * canvas.height);
"""


@dataclass(frozen=True)
class Desk:
    """A student's desktop: the environment as `up --json` shows it, and `labenv desktop`."""

    cli: Cli
    engine: Engine
    environment: dict[str, Any]

    @property
    def student(self) -> str:
        """The student's id."""
        return str(self.environment["student"])

    @property
    def container(self) -> str:
        """The desktop's own container."""
        return f"labenv-{self.student}-desktop"

    def show(self, *options: str) -> dict[str, Any]:
        """`labenv desktop --json`."""
        shown: dict[str, Any] = self.cli.json("desktop", "-s", self.student, *options)
        return shown

    def inside(self, script: str) -> tuple[int, str]:
        """Run a shell script as root in the desktop; returns status and output."""
        api = self.engine.api
        made = api.exec_create(self.container, ["sh", "-c", script])["Id"]
        output = api.exec_start(made).decode()
        return api.exec_inspect(made)["ExitCode"], output


class Page(Chromium):
    """A browser that shows desktops."""

    def enter(self, url: str) -> None:
        """Open a desktop's page as if for the first time, and wait until Thunderbird is seen on it."""
        self.open("about:blank")
        self.open(url)
        until("Thunderbird is seen on the page", self.sees_thunderbird)

    def sees_thunderbird(self) -> bool:
        """Whether Thunderbird's window is on the page."""
        return bool(self.run(BRIGHT) > 0.15)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the screenshots."""
    folder = Path(os.environ.get("LABENV_SCREENSHOTS") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def desk(finished: dict[str, Any], cli: Cli, engine: Engine) -> Desk:
    """A finished lab with its desktop up; the image is built as on first use."""
    made = Desk(cli, engine, finished)
    made.show()
    return made


@pytest.fixture(scope="session")
def browser(engine: Engine, cli: Cli) -> Iterator[Page]:
    """A browser on this computer's own network."""
    base = debian.root(engine, silent)
    folder = Path(__file__).parent / "browser"
    for line in engine.api.build(
        path=str(folder), tag=_BROWSER, buildargs={"BASE": base}, network_mode="host", rm=True, decode=True
    ):
        assert "error" not in line, line
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = engine.api.create_host_config(network_mode="host")
    made = engine.api.create_container(_BROWSER, command=[f"--port={port}"], host_config=settings)["Id"]
    try:
        engine.api.start(made)
        until("the browser's driver listens", lambda: _listens(port))
        page = Page(port)
        yield page
        page.close()
    finally:
        engine.api.remove_container(made, force=True)
        engine.api.remove_image(_BROWSER)


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
