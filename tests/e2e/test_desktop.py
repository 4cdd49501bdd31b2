"""Host's desktop as a person uses it: on a page in the browser, with the real Thunderbird on it."""

import json
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from labenv.engine import Engine
from labenv.engine.images import Images
from labenv.engine.labels import LABEL
from labenv.lab import labs, topology
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
    assert "desktop: it ends with host, and is started again" in desk.cli("reboot", "host", "-s", desk.student).stderr
    goes_on = "return !!document.querySelector('#screen canvas:not(#before)')?.width"
    until("the page goes on by itself", lambda: browser.run(goes_on))
    until("Thunderbird is there again", browser.sees_thunderbird)
    engine.api.restart(f"labenv-{desk.student}-host")  # as an engine does after its own restart
    again = desk.show()
    assert again["changes"] == ["restarted desktop"]
    assert again["port"] == shown["port"]
    assert desk.inside("ls /home/$STUDENT/kept")[0] == 0
    test_its_connections_come_from_hosts_address(desk)
    browser.enter(again["url"])


def test_after_a_reset_and_a_restore_the_page_goes_on_by_itself_with_thunderbird_and_all_files(
    desk: "Desk", browser: "Page"
) -> None:
    shown = desk.show()
    browser.enter(shown["url"])
    desk.inside("/usr/lib/labenv/as-student touch /home/$STUDENT/kept")
    for words in (("reset", "host"), ("restore", "before-reset-1")):
        browser.run("document.querySelector('#screen canvas').id = 'before'")
        said = desk.cli(*words, "-s", desk.student).stderr
        assert "desktop: it ends with host, and is started again" in said
        goes_on = "return !!document.querySelector('#screen canvas:not(#before)')?.width"
        until("the page goes on by itself", lambda: browser.run(goes_on))  # noqa: B023  # it is called here
        until("Thunderbird is there again", browser.sees_thunderbird)
        assert desk.inside("ls /home/$STUDENT/kept")[0] == 0
        test_its_terminal_is_roots_on_host(desk)
    again = desk.show()
    assert (again["changes"], again["port"]) == ([], shown["port"])
    desk.cli("desktop", "--stop", "-s", desk.student)
    assert "desktop" not in desk.cli("restore", "before-reset-1", "-s", desk.student).stderr, "nobody uses it"
    assert desk.show()["changes"] == ["made desktop"]
    assert desk.inside("ls /home/$STUDENT/kept")[0] == 0
    saves = [save["name"] for save in desk.cli.json("saves", "-s", desk.student)["saves"]]
    mine = [name for name in saves if name.startswith(("before-reset", "before-restore"))]
    desk.cli("saves", *(word for name in mine for word in ("--remove", name)), "-s", desk.student)


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


def ask(port: int, *headers: str) -> str:
    """The first line of the page's answer to a request with these headers."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join(["GET / HTTP/1.1", *headers, "", ""]).encode())
        return connection.makefile("rb").readline().decode()


def test_it_answers_only_to_its_own_page_on_this_computer(desk: "Desk") -> None:
    port = desk.show()["port"]
    here, own = f"Host: 127.0.0.1:{port}", f"Origin: http://127.0.0.1:{port}"
    key = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + 22 * "A" + "==",
    ]
    for headers in ([here], [f"Host: localhost:{port}"], [here, own]):
        assert " 200 " in ask(port, *headers)
    assert " 101 " in ask(port, here, own, *key)
    for headers in (
        [f"Host: evil.test:{port}"],  # a name of somebody else's that leads here
        ["Host: 127.0.0.1.evil.test"],
        [],
        [here, "Origin: http://evil.test"],
        [here, *key],
        [here, "Origin: http://evil.test", *key],
        [here, "Origin: null", *key],
        [here, "Origin: http://127.0.0.1:9", *key],  # another page on this computer
        [f"Host: evil.test:{port}", f"Origin: http://evil.test:{port}", *key],
    ):
        assert " 403 " in ask(port, *headers), headers


def test_its_page_has_no_road_to_anywhere(desk: "Desk") -> None:
    desk.show()
    screen = f"labenv-{desk.student}-screen"
    [gateway] = [there["Gateway"] for there in inspected(desk, screen)["NetworkSettings"]["Networks"].values()]
    heard = set()
    with socket.create_server(("0.0.0.0", 0)) as computer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.connect(("198.51.100.1", 9))  # sends nothing; finds this computer's address
        computer.settimeout(10)
        port = computer.getsockname()[1]
        targets = [(gateway, port), (trial.getsockname()[0], port), ("1.1.1.1", 443)]
        script = f"import socket, sys\nfor to in {targets}:\n try: socket.create_connection(to, 2); print(to)\n except OSError: pass"
        made = desk.engine.api.exec_create(screen, ["python3", "-c", script])["Id"]
        assert desk.engine.api.exec_start(made).decode() == ""
        with socket.create_connection(("127.0.0.1", port)) as control:
            while control.getsockname() not in heard:
                heard.add(computer.accept()[1])
    assert len(heard) == 1


def inspected(desk: "Desk", container: str) -> dict[str, Any]:
    """A container, as the engine describes it."""
    found: dict[str, Any] = desk.engine.api.inspect_container(container)
    return found


def test_a_page_of_an_earlier_version_is_replaced_in_its_place(desk: "Desk") -> None:
    """Its image had another name, and it was on the engine's own network, which leads to the Internet."""
    before, name, api = desk.show(), f"labenv-{desk.student}-screen", desk.engine.api
    there = inspected(desk, name)
    api.remove_container(name, force=True)
    settings = api.create_host_config(
        binds=there["HostConfig"]["Binds"], port_bindings={6080: ("127.0.0.1", before["port"])}
    )
    old = {"environment": there["Config"]["Env"], "labels": there["Config"]["Labels"], "ports": [6080]}
    api.create_container(there["Image"], there["Config"]["Cmd"], name=name, host_config=settings, **old)
    api.start(name)
    assert desk.show()["port"] == before["port"]
    assert list(inspected(desk, name)["NetworkSettings"]["Networks"]) == [f"labenv-{desk.student}.screen"]


def test_after_ten_wrong_passwords_it_waits(desk: "Desk", browser: "Page") -> None:
    browser.open("about:blank")  # a page of another test would try its old password
    desk.cli("desktop", "--stop", "-s", desk.student)  # the server counts from its start
    address = desk.show()["url"].partition("#")[0]
    browser.open(f"{address}#wrong")
    for number in range(2, 12):
        why = until("the page refuses", lambda: browser.run(_WHY))
        assert "does not open the desktop" in why, f"after {number - 1} wrong passwords"
        browser.run(
            "document.getElementById('why').textContent = '';"
            "document.getElementById('password').value = arguments[0];document.querySelector('#ask button').click();",
            f"wrong{number}",
        )
    assert "Wait a minute" in until("the page refuses", lambda: browser.run(_WHY))
    desk.cli("desktop", "--stop", "-s", desk.student)


# A browser that notes its arguments and what its address answers: to another path, to another user (if root runs it), to it,
# and to it once more.
BROWSER = """
import json, os, socket, sys
address, notes = sys.argv[1:]
host, _, path = address.removeprefix("http://").partition("/")
def answer(path):
    try: connection = socket.create_connection(host.split(":"), 5)
    except OSError: return ["closed"]
    connection.sendall(f"GET /{path} HTTP/1.0\\r\\n\\r\\n".encode())
    return connection.makefile().read().split()
def somebody_else(path):
    inward, outward = os.pipe()
    if not os.fork():
        if os.getuid() == 0: os.setuid(65534)
        else: path = "guessed"
        os.write(outward, json.dumps(answer(path)).encode())
        os._exit(0)
    return json.loads(os.read(inward, 9999))
json.dump([sys.argv, answer(""), somebody_else(path), answer(path), answer(path)], open(notes, "w"))
"""


def test_the_address_with_the_password_is_told_to_the_users_browser_alone(desk: "Desk", tmp_path: Path) -> None:
    (tmp_path / "browser").write_text(BROWSER)
    command = f"{sys.executable} {tmp_path}/browser %s {tmp_path}/notes"
    done = Cli({"BROWSER": command, "DISPLAY": "", "WAYLAND_DISPLAY": ""})("desktop", "-s", desk.student)
    address = done.stdout.strip()
    assert "No browser" not in done.stderr
    arguments, stranger, other_user, first, second = json.loads((tmp_path / "notes").read_text())
    assert address.partition("#")[2] not in " ".join(arguments)
    assert first[1] == "303"
    assert address in first
    for answer in (stranger, other_user, second):
        assert answer[0] == "closed" or answer[1] == "404"
        assert address not in answer


def test_without_a_browser_the_address_is_printed(desk: "Desk") -> None:
    bare = Cli({"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""})
    done = bare("desktop", "-s", desk.student)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#\w{8}\n", done.stdout)
    assert "No browser could be opened" in done.stderr


def test_a_taken_port_and_a_lab_without_outside_are_said_and_it_comes_all_the_same(
    cli: Cli, engine: Engine, student: str, tmp_path: Path
) -> None:
    tree = yaml.safe_load(topology.file_of(labs.load("lab4b")).read_text())
    del tree["include"], tree["services"]["host"]["x-labenv"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    made = cli.json("up", student, "--at", "lab4a", "--no-check", "--topology", str(tmp_path / "mine.yaml"))
    usual = 20000 + 10 * int(made["network"].split(".")[2]) + 9
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", usual))
        other.listen()
        done = cli("desktop", "-s", student, "--json")
    assert f"port {usual} of 127.0.0.1 is in use" in done.stderr
    assert "has no machine with the profile 'outside'" in done.stderr
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
