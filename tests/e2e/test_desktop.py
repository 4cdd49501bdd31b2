"""Host's desktop as a person uses it: on a page in the browser, with the real Thunderbird on it."""

import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from labenv.engine import LABEL, Engine
from labenv.engine.images import Images
from labenv.lab import topology
from tests.e2e.conftest import Cli
from tests.e2e.webdriver import until

if TYPE_CHECKING:
    from tests.e2e.desk import Desk, Page

pytest_plugins = ["tests.e2e.desk"]

_STATE = "return document.getElementById('state').textContent"
_WHY = "return document.getElementById('ask').hidden ? '' : document.getElementById('why').textContent"


def test_the_page_shows_thunderbirds_window(desk: "Desk", browser: "Page", pictures: Path) -> None:
    shown = desk.show()
    browser.enter(shown["url"])
    assert desk.environment["domain"] in browser.run("return document.title")
    assert shown["password"] not in browser.run("return location.href"), "no password stays in the address bar"
    browser.screenshot(pictures / "page.png")
    browser.reload()
    until("the page shows it again after a reload", browser.sees_thunderbird)


def test_a_wrong_password_gets_a_sentence_and_the_right_one_opens(
    desk: "Desk", browser: "Page", pictures: Path
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
    until("the right password opens it", browser.sees_thunderbird)


def test_asked_for_again_it_is_the_same_desktop_under_a_new_password(desk: "Desk", browser: "Page") -> None:
    first = desk.show()
    browser.enter(first["url"])
    second = desk.show()
    assert second["changes"] == []
    assert second["port"] == first["port"]
    assert second["password"] != first["password"]
    assert browser.run(_STATE) == "", "who is on the page stays"
    browser.reload()
    assert "does not open" in until("the old password opens nothing any more", lambda: browser.run(_WHY))


def test_its_terminal_is_roots_on_host(desk: "Desk") -> None:
    command = desk.inside("cat /usr/local/bin/open-terminal")[1]
    ssh = re.search(r"ssh [^\"]*root@localhost", command)
    assert ssh, command
    status, said = desk.inside(f"/usr/lib/labenv/as-student {ssh[0]} 'id -un; hostname; cat /etc/named.conf'")
    assert status == 0, said
    assert said.startswith(f"root\nhost.{desk.environment['domain']}\n")
    assert "zone" in said


def test_its_connections_come_from_hosts_address(desk: "Desk") -> None:
    vm3 = f"vm3.{desk.environment['domain']}"
    desk.inside(f"printf 'QUIT\\r\\n' | nc -w 5 {vm3} 25")
    host = next(m["address"] for m in desk.environment["machines"] if m["name"] == "host")
    until(
        "vm3 logs that host came",
        lambda: (
            f"connect from host.{desk.environment['domain']}[{host}]"
            in desk.cli.inside(desk.student, "vm3", "cat /var/log/maillog")
        ),
    )


def test_a_firewall_that_drops_all_does_not_cut_it_off(desk: "Desk", browser: "Page") -> None:
    desk.cli.inside(desk.student, "host", "iptables -I INPUT -j DROP; iptables -I OUTPUT -j DROP")
    try:
        browser.enter(desk.show()["url"])
    finally:
        desk.cli.inside(desk.student, "host", "iptables -D INPUT -j DROP; iptables -D OUTPUT -j DROP")


def test_host_booted_again_has_its_desktop_again_with_what_was_in_it(
    desk: "Desk", browser: "Page", engine: Engine
) -> None:
    shown = desk.show()
    browser.enter(shown["url"])
    desk.inside("/usr/lib/labenv/as-student touch /home/$STUDENT/kept")
    browser.run("document.querySelector('#screen canvas').id = 'before'")
    desk.cli("reboot", "host", "-s", desk.student)
    goes_on = "return !!document.querySelector('#screen canvas:not(#before)')?.width"
    until("the page goes on by itself", lambda: browser.run(goes_on))
    engine.api.restart(f"labenv-{desk.student}-host")  # as an engine does after its own restart
    again = desk.show()
    assert again["changes"] == ["restarted desktop"]
    assert again["port"] == shown["port"]
    assert desk.inside("ls /home/$STUDENT/kept")[0] == 0
    test_its_connections_come_from_hosts_address(desk)
    browser.enter(again["url"])


def test_what_is_on_it_outlives_a_reset_and_a_restore(desk: "Desk", browser: "Page") -> None:
    browser.enter(desk.show()["url"])
    desk.inside("/usr/lib/labenv/as-student touch /home/$STUDENT/kept")
    assert "its files are kept" in desk.cli("reset", "host", "-s", desk.student).stderr
    assert desk.show()["changes"] == ["made desktop"]
    assert desk.inside("ls /home/$STUDENT/kept")[0] == 0
    test_its_terminal_is_roots_on_host(desk)
    desk.cli("restore", "before-reset-1", "-s", desk.student)
    assert desk.show()["changes"] == ["made desktop"]
    assert desk.inside("ls /home/$STUDENT/kept")[0] == 0
    desk.cli("saves", "--remove", "before-reset-1", "--remove", "before-restore-1", "-s", desk.student)


def test_a_stopped_one_keeps_its_files_and_a_removed_one_does_not(desk: "Desk", browser: "Page") -> None:
    browser.enter(desk.show()["url"])
    desk.inside("/usr/lib/labenv/as-student touch /home/$STUDENT/kept")
    assert "stopped" in desk.cli("desktop", "--stop", "-s", desk.student).stderr
    said = until("the page says that it is gone", lambda: browser.run(_STATE))
    assert "labenv desktop" in said
    assert desk.show()["changes"] == ["started desktop"]
    assert desk.inside("ls /home/$STUDENT/kept")[0] == 0
    assert desk.cli.json("desktop", "--remove", "-s", desk.student)["changes"] == ["removed desktop"]
    assert desk.cli.json("desktop", "--remove", "-s", desk.student)["changes"] == []
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        said = desk.cli("desktop", "-s", desk.student, "--port", str(taken), rc=2).stderr
        assert f"Port {taken} of 127.0.0.1 is taken" in said
    assert desk.show()["changes"] == ["made desktop"]
    assert desk.inside("ls /home/$STUDENT/kept")[0] != 0
    said = desk.cli("desktop", "-s", desk.student, "--port", "1025", rc=2).stderr
    assert "already runs on port" in said


def test_without_a_browser_the_address_is_printed(desk: "Desk") -> None:
    bare = Cli({"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""})
    done = bare("desktop", "-s", desk.student)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#\w{8}\n", done.stdout)
    assert "No browser could be opened" in done.stderr


def test_a_taken_port_and_a_lab_without_outside_are_said_and_it_comes_all_the_same(
    cli: Cli, engine: Engine, student: str, tmp_path: Path
) -> None:
    tree = yaml.safe_load(topology.named("lab4b").read_text())
    del tree["services"]["outside"], tree["networks"]["wan"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    made = cli.json("up", student, "--at", "lab4a", "--no-check", "--topology", str(tmp_path / "mine.yaml"))
    usual = 20000 + 10 * int(made["network"].split(".")[2]) + 9
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", usual))
        other.listen()
        done = cli("desktop", "-s", student, "--json")
    assert f"port {usual} of 127.0.0.1 is in use" in done.stderr
    assert "has no machine 'outside'" in done.stderr
    cli("down", "-s", student)
    mine = {"label": f"{LABEL}={student}"}
    assert not engine.api.containers(all=True, filters=mine)
    assert not engine.api.volumes(filters=mine)["Volumes"]


def test_a_desktop_needs_host(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    engine.api.stop(f"labenv-{student}-host", timeout=1)
    assert f"labenv up {student}" in cli("desktop", "-s", student, rc=3).stderr


def test_its_image_is_built_only_when_asked_for(cli: Cli, engine: Engine) -> None:
    assert "All images are already built." in cli("images", "build").stdout
    assert [image.name for image in Images(engine).missing(["desktop"])] == []
    assert "There is no image 'destkop'" in cli("images", "build", "destkop", rc=2).stderr
