"""Host's desktop as a person has it: on a page in the browser, with the real Thunderbird on it.

The browser is a headless Chromium in a container of its own, so that nothing but an engine is needed here. What was
seen is kept as pictures in the folder that LABENV_SCREENSHOTS names, if it does.
"""

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import LABEL, Engine
from labenv.engine.images import Images, wanted
from tests.e2e.conftest import Cli
from tests.e2e.webdriver import Chromium, until

_BROWSER = "labenv-test/browser:latest"
_STATE = "return document.getElementById('state').textContent"
_WHY = "return document.getElementById('ask').hidden ? '' : document.getElementById('why').textContent"
# How much of the desktop is nearly white, as Thunderbird's window is; the bare desktop is dark.
_BRIGHT = """
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
    environment: dict[str, Any]

    @property
    def student(self) -> str:
        """Whose it is."""
        return str(self.environment["student"])

    @property
    def container(self) -> str:
        """The desktop's own container."""
        return f"labenv-{self.student}-desktop"

    def show(self, *options: str) -> dict[str, Any]:
        """`labenv desktop --json`."""
        shown: dict[str, Any] = self.cli.json("desktop", "-s", self.student, *options)
        return shown


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    folder = Path(os.environ.get("LABENV_SCREENSHOTS") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def desk(finished: dict[str, Any], cli: Cli) -> Desk:
    """A finished lab with its desktop up; its image is built, as by whoever asks for the first time."""
    made = Desk(cli, finished)
    made.show()
    return made


@pytest.fixture(scope="module")
def browser(engine: Engine, cli: Cli) -> Iterator[Chromium]:
    """A browser on this computer's own network."""
    base = wanted()["base"].tag
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
        page = Chromium(port)
        yield page
        page.close()
    finally:
        engine.api.remove_container(made, force=True)


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _sees_thunderbird(browser: Chromium) -> bool:
    return bool(browser.run(_BRIGHT) > 0.15)


def _enter(browser: Chromium, url: str) -> None:
    """Open the page as if for the first time, and wait until Thunderbird is seen on it."""
    browser.open("about:blank")
    browser.open(url)
    until("Thunderbird is seen on the page", lambda: _sees_thunderbird(browser))


def test_the_page_shows_thunderbirds_window(desk: Desk, browser: Chromium, pictures: Path) -> None:
    shown = desk.show()
    _enter(browser, shown["url"])
    assert desk.environment["domain"] in browser.run("return document.title")
    assert shown["password"] not in browser.run("return location.href"), "no password stays in the address bar"
    browser.screenshot(pictures / "page.png")
    browser.reload()
    until("the page shows it again after a reload", lambda: _sees_thunderbird(browser))


def test_a_wrong_password_gets_a_sentence_and_the_right_one_opens(
    desk: Desk, browser: Chromium, pictures: Path
) -> None:
    right = desk.show()["url"]
    address = right.partition("#")[0]
    browser.open("about:blank")
    browser.open(f"{address}#wrong123")
    why = until("the page says that the password is wrong", lambda: browser.run(_WHY))
    assert "does not open the desktop" in why
    assert "labenv desktop" in why
    browser.screenshot(pictures / "wrong-password.png")
    browser.run(
        "document.getElementById('password').value = arguments[0];document.querySelector('#ask button').click();",
        right.partition("#")[2],
    )
    until("the right password opens it", lambda: _sees_thunderbird(browser))


def test_asked_for_again_it_is_the_same_desktop_under_a_new_password(desk: Desk, browser: Chromium) -> None:
    first = desk.show()
    _enter(browser, first["url"])
    second = desk.show()
    assert second["changes"] == []
    assert second["port"] == first["port"]
    assert second["password"] != first["password"]
    assert browser.run(_STATE) == "", "who is on the page stays"
    browser.reload()
    assert "does not open" in until("the old password opens nothing any more", lambda: browser.run(_WHY))


def _inside(engine: Engine, desk: Desk, script: str) -> tuple[int, str]:
    """Run a shell script as root in the desktop: status and output."""
    made = engine.api.exec_create(desk.container, ["sh", "-c", script])["Id"]
    output = engine.api.exec_start(made).decode()
    return engine.api.exec_inspect(made)["ExitCode"], output


def test_its_terminal_is_roots_on_host(desk: Desk, engine: Engine) -> None:
    command = _inside(engine, desk, "cat /usr/local/bin/open-terminal")[1]
    ssh = re.search(r"ssh [^\"]*root@localhost", command)
    assert ssh, command
    status, said = _inside(engine, desk, f"/usr/lib/labenv/as-student {ssh[0]} 'id -un; hostname; cat /etc/named.conf'")
    assert status == 0, said
    assert said.startswith(f"root\nhost.{desk.environment['domain']}\n")
    assert "zone" in said


def test_its_connections_come_from_hosts_address(desk: Desk, engine: Engine) -> None:
    vm3 = f"vm3.{desk.environment['domain']}"
    _inside(engine, desk, f"printf 'QUIT\\r\\n' | nc -w 5 {vm3} 25")
    host = next(m["address"] for m in desk.environment["machines"] if m["name"] == "host")
    until(
        "vm3 logs that host came",
        lambda: (
            f"connect from host.{desk.environment['domain']}[{host}]"
            in desk.cli.inside(desk.student, "vm3", "cat /var/log/maillog")
        ),
    )


def test_a_firewall_that_drops_all_does_not_cut_it_off(desk: Desk, browser: Chromium) -> None:
    desk.cli.inside(desk.student, "host", "iptables -I INPUT -j DROP; iptables -I OUTPUT -j DROP")
    try:
        _enter(browser, desk.show()["url"])
    finally:
        desk.cli.inside(desk.student, "host", "iptables -D INPUT -j DROP; iptables -D OUTPUT -j DROP")


def test_host_booted_again_gets_its_desktop_back_with_what_was_in_it(
    desk: Desk, browser: Chromium, engine: Engine
) -> None:
    shown = desk.show()
    _enter(browser, shown["url"])
    _inside(engine, desk, "/usr/lib/labenv/as-student touch /home/$STUDENT/kept")
    desk.cli("reboot", "host", "-s", desk.student)
    again = desk.show()
    assert again["changes"] == ["restarted desktop"]
    assert again["port"] == shown["port"]
    assert _inside(engine, desk, "ls /home/$STUDENT/kept")[0] == 0
    test_its_connections_come_from_hosts_address(desk, engine)
    _enter(browser, again["url"])


def test_a_stopped_one_keeps_its_files_and_a_removed_one_does_not(
    desk: Desk, browser: Chromium, engine: Engine
) -> None:
    _enter(browser, desk.show()["url"])
    _inside(engine, desk, "/usr/lib/labenv/as-student touch /home/$STUDENT/kept")
    assert "stopped" in desk.cli("desktop", "--stop", "-s", desk.student).stderr
    said = until("the page says that it is gone", lambda: browser.run(_STATE))
    assert "labenv desktop" in said
    assert desk.show()["changes"] == ["started desktop"]
    assert _inside(engine, desk, "ls /home/$STUDENT/kept")[0] == 0
    assert desk.cli.json("desktop", "--remove", "-s", desk.student)["changes"] == ["removed desktop"]
    assert desk.cli.json("desktop", "--remove", "-s", desk.student)["changes"] == []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        said = desk.cli("desktop", "-s", desk.student, "--port", str(taken), rc=2).stderr
        assert f"Port {taken} of 127.0.0.1 is taken" in said
    assert desk.show()["changes"] == ["made desktop"]
    assert _inside(engine, desk, "ls /home/$STUDENT/kept")[0] != 0
    said = desk.cli("desktop", "-s", desk.student, "--port", "1025", rc=2).stderr
    assert "is there already, on port" in said


def test_without_a_browser_the_address_is_printed(desk: Desk) -> None:
    bare = Cli({"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""})
    done = bare("desktop", "-s", desk.student)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#\w{8}\n", done.stdout)
    assert "There is no browser here" in done.stderr


def test_a_port_of_its_own_that_is_taken_is_said_and_another_used(cli: Cli, engine: Engine, student: str) -> None:
    network = cli.json("up", student, "--at", "lab4a", "--no-check")["network"]
    usual = 20000 + 10 * int(network.split(".")[2]) + 9
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", usual))
        other.listen()
        done = cli("desktop", "-s", student, "--json")
    assert f"port {usual} of 127.0.0.1 is in use" in done.stderr
    cli("down", "-s", student)
    mine = {"label": f"{LABEL}={student}"}
    assert not engine.api.containers(all=True, filters=mine)
    assert not engine.api.volumes(filters=mine)["Volumes"]


def test_a_desktop_needs_host(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    engine.api.stop(f"labenv-{student}-host", timeout=1)
    assert f"labenv up {student}" in cli("desktop", "-s", student, rc=3).stderr


def test_its_image_is_built_only_when_asked_for(cli: Cli, engine: Engine) -> None:
    assert "All images are there." in cli("images", "build").stdout
    assert [image.name for image in Images(engine).missing(["desktop"])] == []
    assert "There is no image 'destkop'" in cli("images", "build", "destkop", rc=2).stderr
