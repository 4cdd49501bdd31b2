"""The gate and the page of a class on three computers, with a real OpenSSH client and a real browser on the manager.

All of it is for `make soak`: it starts three engines once more, and waits until Swarm has noticed that a node is gone.
"""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest
from playwright.sync_api import Browser, Page, expect

from labenv.engine import image_sources
from tests.e2e.conftest import Cli
from tests.e2e.nodes import Node
from tests.e2e.pages import BROWSER, come, listened, terminal, typed
from tests.e2e.test_swarm import LABENV, PLAIN, Swarm, wait_for

pytest_plugins = ["tests.e2e.pages"]
pytestmark = pytest.mark.soak

_PATIENCE = 240
_STUDENTS = ("amy", "ben")
_CLASS = """\
name: OPS345
id: ops345
labs: [lab: lab4b]
swarm: {every: 1m}
"""
_HOME = "http://127.0.0.1:8336/"


@dataclass(frozen=True)
class Served:
    """A class that is served on the manager of a swarm."""

    swarm: Swarm

    @property
    def folder(self) -> Path:
        return self.swarm.folder

    def far(self, *but: str) -> str:
        """A student whose environment is not on the manager."""
        return next(who for who, name in self.swarm.where().items() if name != "n1" and who not in but)

    def client(self, program: str, *arguments: str) -> list[str]:
        """The command line of OpenSSH's client on the manager."""
        mine = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": f"{self.folder}/known",
            "LogLevel": "ERROR",
            "IdentityFile": f"{self.folder}/key",
            "IdentitiesOnly": "yes",
            "Port": "2222",
        }
        return [program, *(word for name, value in mine.items() for word in ("-o", f"{name}={value}")), *arguments]

    def __call__(self, user: str, *command: str, rc: int | None = 0) -> str:
        """What a student hears who types a command at the gate."""
        done = self.swarm.manager.run(self.client("ssh", f"{user}@127.0.0.1", *command), check=False, timeout=_PATIENCE)
        screen = f"{' '.join(command)} → {done.returncode}\n{done.stdout}{done.stderr}"
        assert rc is None or done.returncode == rc, screen
        return screen

    def terminal(self, user: str) -> "pexpect.spawn[str]":
        """A student at a terminal, whose prompt of the menu is there."""
        node = self.swarm.manager
        first, *rest = node.inside(self.client("ssh", "-t", f"{user}@127.0.0.1"))
        made = pexpect.spawn(
            first,
            rest,
            env=node.environment | {"TERM": "dumb"},
            encoding="utf-8",
            timeout=_PATIENCE,
            dimensions=(24, 200),
        )
        made.expect(f"{user}> ")
        return made


@pytest.fixture(scope="module")
def served(swarm_nodes: list[Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("class")
    swarm = Swarm(swarm_nodes, folder)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    key = (folder / "key.pub").read_text().strip()
    (folder / "class.yaml").write_text(_CLASS)
    (folder / "roster.csv").write_text("\n".join(["id,key", *(f"{who},{key}" for who in _STUDENTS)]) + "\n")
    words = swarm.json("swarm", "init")["join"]
    for node in swarm_nodes[1:]:
        swarm(*words[1:], on=node)
    wait_for(lambda: all(n["state"] == "ready" for n in swarm.json("swarm", "nodes", "--no-check")["nodes"]), 30)
    swarm("class", "up", "--no-check")
    command = swarm.manager.inside([*LABENV, "class", "serve", "-c", str(folder), "--address", "127.0.0.1"])
    environ = swarm.manager.environment | PLAIN
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        said = ""
        while "The page is open" not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
        yield Served(swarm)
        server.terminate()
        said += server.stderr.read()
        assert (server.wait(60), "Traceback" in said) == (0, False), said


@pytest.fixture(scope="module")
def browser(chromium: Browser, served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser on the manager's network."""
    program = tmp_path_factory.mktemp("browser") / BROWSER
    program.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{served.swarm.manager.pid}/ns/net {BROWSER} "$@"\n')
    program.chmod(0o755)
    started = chromium.browser_type.launch(executable_path=program, args=["--no-sandbox"])
    yield started
    started.close()


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[Callable[[str], Page]]:
    """Opens the page of a student, or with "" that of the teacher, in a browser of their own."""
    made: list[Any] = []

    def open_(who: str) -> Page:
        context = listened(browser.new_context(viewport={"width": 1280, "height": 800}))
        context.set_default_timeout(_PATIENCE * 1000)
        made.append(context)
        page = context.new_page()
        if who:
            told = served.swarm.json("class", "passwords", "--only", who, "--new")
            page.goto(_HOME)
            page.get_by_label("Student").fill(who)
            page.get_by_label("One-time password").fill(told["passwords"][who][0])
            page.get_by_role("button", name="Sign in", exact=True).click()
            come(page, ".step")
        else:
            page.goto((served.folder / "records" / "teacher_link").read_text().strip())
            come(page, ".rows tbody tr")
        return page

    yield open_
    for context in made:
        context.close()


def test_a_student_works_on_another_server_through_the_gate(served: Served) -> None:
    who = served.far()
    assert f"node {served.swarm.where()[who]}" in served(who, "status")
    assert served(f"{who}+vm3", "hostname").endswith(f"vm3.{who}.ops\n")
    assert "Saved as mine" in served(who, "save", "mine")
    assert "mine" in served(who, "saves")
    assert "Next: Step" in served(who, "check", rc=None)
    book = served.folder / "logbook.md"
    copied = served.swarm.manager.run(served.client("scp", f"{who}@127.0.0.1:logbook.md", str(book)))
    assert (copied.returncode, f"Log book of {who}" in book.read_text()) == (0, True)
    with_all = served.swarm.json("status")["environments"]
    assert {each["student"]: each["node"] for each in with_all} == served.swarm.where()
    assert [save["node"] for save in served.swarm.json("saves")["saves"] if save["name"] == "mine"] == [
        served.swarm.where()[who]
    ]


def test_the_page_has_steps_and_terminals_of_another_server_and_the_teacher_sees_which(
    served: Served, opened: Callable[[str], Page]
) -> None:
    who = served.far()
    page = opened(who)
    screen = terminal(page, "vm3")
    page.locator(".xterm-of-machine:visible").click()
    typed(page, "hostname")
    expect(screen).to_contain_text(f"vm3.{who}.ops")
    expect(page.locator(".state")).to_contain_text("checked", timeout=_PATIENCE * 1000)
    teacher = opened("")
    row = teacher.locator(".rows tbody tr", has_text=who)
    expect(row).to_contain_text(served.swarm.where()[who])


def test_a_student_reboots_stops_and_starts_machines_on_another_server(served: Served) -> None:
    who = served.far()
    assert "vm3" in served(who, "reboot", "vm3")
    assert "Stopped" in served(who, "stop")
    assert "brought back" in served(who, "start")
    assert "Your machines run" in served(who, "help")


def test_the_desktop_of_another_server_is_shown_on_the_page(
    cli: Cli, served: Served, opened: Callable[[str], Page]
) -> None:
    image = image_sources.wanted()["desktop"].tag
    cli("images", "build", "desktop")
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        load = ["docker", "--host", served.swarm.manager.docker_host, "load", "--quiet"]
        subprocess.run(load, stdin=saved.stdout, check=True, timeout=_PATIENCE)
    (served.folder / "class.yaml").write_text(f"{_CLASS}page: {{desktop: true}}\n")
    served.swarm("class", "up", "--no-check")  # which sends the image to the nodes
    page = opened(served.far())
    page.get_by_role("tab", name="Desktop", exact=True).click()
    page.get_by_label("Open the desktop", exact=True).click()
    desktop = page.frame_locator("iframe")
    expect(desktop.locator("canvas")).to_be_visible(timeout=_PATIENCE * 1000)


def test_who_works_while_a_node_is_drained_is_told_and_goes_on(served: Served, opened: Callable[[str], Page]) -> None:
    who = served.far()
    node = served.swarm.where()[who]
    page = opened(who)
    shell, watch = served.terminal(who), served.terminal(who)
    shell.sendline("shell vm3")
    shell.expect(r"\[root@vm3 ~\]#")
    watch.sendline("check --watch")
    watch.expect("Step 9")
    moved = served.swarm.json("swarm", "drain", node)["moved"][who]
    shell.expect("What you had open in vm3 ended")
    shell.expect(f"Your machines went from {node} to {moved}, as they were at .*Nothing was lost")
    watch.expect(f"{who}'s environment goes on")
    expect(page.locator(".q-notification__message", has_text="Your machines went from")).to_be_visible()
    expect(page.locator(".state")).to_contain_text("checked", timeout=_PATIENCE * 1000)
    shell.sendline("shell vm3")
    shell.expect(r"\[root@vm3 ~\]#")
    served.swarm("swarm", "drain", node, "--back")


def test_what_was_lost_with_a_node_is_said_everywhere_until_the_student_has_read_it(
    served: Served, opened: Callable[[str], Page]
) -> None:
    who = served.far()
    node = served.swarm.node(served.swarm.where()[who])
    wait_for(lambda: _row(served, who)["pushed"] is not None, 150)
    page = opened(who)
    shell = served.terminal(who)
    shell.sendline("shell vm3")
    shell.expect(r"\[root@vm3 ~\]#")
    node.kill()
    shell.expect(f"The server {node.name} does not answer")
    shell.expect("What you had open in vm3 ended")
    told = rf"The server {node.name} was lost at about [0-2]\d:\d\d, and your environment went on on"
    shell.expect(told)
    bar = page.get_by_label("Messages", exact=True)
    expect(bar).to_contain_text(re.compile(told), timeout=_PATIENCE * 1000)
    assert re.search(told, served(who, "help"))
    assert re.search(told, served(who, "status"))
    assert re.search(told, served(who, "next", rc=None))
    assert not re.search(told, served(who, "status", "--json"))
    lost = _row(served, who)["lost"]
    assert (lost["node"], lost["minutes"] >= 1) == (node.name, True)
    assert f"{who} lost up to {lost['minutes']} minute" in served.swarm("class", "status").stdout
    for each in page.locator(".q-notification").get_by_role("button", name="Close").all():
        each.click()
    bar.get_by_label("Close what is said of the server").click()
    expect(bar).to_be_hidden()
    assert not re.search(told, served(who, "help"))
    node.start()
    time.sleep(1)


def _row(served: Served, who: str) -> Any:
    return next(row for row in served.swarm.json("class", "status")["students"] if row["student"] == who)
