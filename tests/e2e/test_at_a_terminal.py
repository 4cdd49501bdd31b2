"""A person at a terminal: the course's packages, yum's questions, manual pages, completion, editors.

Nothing here uses labenv's internals: it types into `labenv shell` and reads the screen.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Cli
from tests.e2e.terminal import CTRL_C, ESCAPE, Open


@pytest.fixture(scope="module")
def fresh(cli: Cli, new_student: Callable[[], str]) -> Iterator[dict[str, Any]]:
    """An environment where the sheet starts."""
    name = new_student()
    yield cli.json("up", name, "--at", "lab4a", "--no-check")
    cli("down", "-s", name, rc=None)


COURSE = (
    [
        "bind-utils",
        "iptables-services",
        "telnet",
        "net-tools",
        "wget",
        "rsync",
        "lynx",
        "nc",
        "nano",
        "vim",
        "openssh-clients",
        "openssh-server",
    ],
    ["mailx", "postfix"],
)


@pytest.mark.parametrize(
    ("machine", "there"), [("host", [*COURSE[0], "bind"]), ("vm2", COURSE[0] + COURSE[1])], ids=["host", "vm2"]
)
def test_yum_answers_for_every_package_of_the_course(
    cli: Cli, fresh: dict[str, Any], machine: str, there: list[str]
) -> None:
    said = cli("exec", "-s", fresh["student"], machine, "--", "yum", "-y", "install", *there).stdout
    assert len(re.findall(r"^Package \S+ already installed and latest version$", said, re.MULTILINE)) == len(there)
    assert said.endswith("Nothing to do\n")
    absent = ["thunderbird", "httpd", "dovecot-lda", "nosuchthing"]
    done = cli("exec", "-s", fresh["student"], machine, "--", "yum", "-y", "install", *absent, rc=1)
    for name in absent:
        assert re.search(rf"^No package {name} available\. .*\.$", done.stderr, re.MULTILINE), "a reason and a way out"
    assert done.stderr.endswith("Error: Nothing to do\n")


def test_yum_asks_and_takes_no_for_an_answer_and_removes_what_it_installed(
    fresh: dict[str, Any], terminal: Open
) -> None:
    vm2 = terminal(fresh["student"], "vm2")
    for answer in ("n", ""):
        assert "Exiting on user command" in vm2.type("yum install dovecot", (r"\[y/d/N\]: ", f"{answer}\r"))
    assert re.search(r"Available Packages\s+dovecot\.\S+ .* labenv\s", vm2.type("yum list dovecot"))
    assert "No package nosuchthing" in vm2.type("yum -y install dovecot nosuchthing")
    assert "already installed and latest version" in vm2.type("yum install dovecot")
    removed = vm2.type("yum remove dovecot", (r"\[y/N\]: ", "y\r"))
    assert "Complete!" in removed
    assert "not installed" not in removed
    assert "could not be found" in vm2.type("systemctl status dovecot")
    assert "Available Packages" in vm2.type("yum list dovecot")
    assert "No packages marked for update" in vm2.type("yum update")


def test_what_is_typed_is_in_the_history_at_once(cli: Cli, fresh: dict[str, Any], terminal: Open) -> None:
    terminal(fresh["student"], "host").type("dig MX example.com")
    assert "dig MX example.com\n" in cli.inside(fresh["student"], "host", "cat /root/.bash_history")


def test_ssh_and_rsync_reach_the_machines_with_the_labs_password(fresh: dict[str, Any], terminal: Open) -> None:
    host = terminal(fresh["student"], "host")
    password = ("password: ", f"{fresh['password']}\r")
    said = host.type("ssh root@vm3 hostname", (r"\(yes/no", "yes\r"), password)
    assert f"vm3.{fresh['domain']}\n" in said
    host.type("rsync -a root@vm3:/etc/postfix /backup/", password)
    assert "main.cf" in host.type("ls /backup/postfix")


def test_manual_pages_open_and_can_be_searched(fresh: dict[str, Any], terminal: Open) -> None:
    vm2 = terminal(fresh["student"], "vm2")
    vm2.type("man 5 postconf", ("Postfix configuration parameters", "q"))
    assert int(vm2.type("man 5 postconf | grep -c mydestination").splitlines()[1]) > 5
    for page in ("mail", "iptables", "ss", "nc", "dig", "useradd", "systemctl", "aliases"):
        assert "(" in vm2.type(f"man {page} | head -1").splitlines()[1]
    assert "No manual entry for nosuchthing" in vm2.type("man nosuchthing")


def test_a_machine_tells_where_it_can_be_rebooted_and_stays_up(fresh: dict[str, Any], terminal: Open) -> None:
    vm3 = terminal(fresh["student"], "vm3")
    for command in ("reboot", "shutdown -r now", "poweroff"):
        assert "labenv reboot vm3" in vm3.type(command)
    assert f"vm3.{fresh['domain']}" in vm3.type("hostnamectl")
    assert "labenv reboot vm3" in vm3.type("hostnamectl set-hostname other")
    vm3.type(f"hostnamectl set-hostname vm3.{fresh['domain']}")


def test_a_user_has_the_courses_shell_and_commands(fresh: dict[str, Any], terminal: Open) -> None:
    vm2 = terminal(fresh["student"], "vm2")
    assert f"[{fresh['student']}@vm2 ~]$ " in vm2.type(f"su - {fresh['student']}")
    for command in ("ifconfig", "iptables", "sendmail", "ss"):
        assert f"/{command}" in vm2.type(f"type {command}")
    assert "You need to be root" in vm2.type("yum install dovecot")


def test_tab_completes_verbs_units_options_and_packages(fresh: dict[str, Any], terminal: Open) -> None:
    vm2 = terminal(fresh["student"], "vm2")
    for begun, whole in (
        ("systemctl resta", "rt "),
        ("systemctl status crond.s", "ervice "),
        ("iptables --line-n", "umbers "),
        ("yum repol", "ist "),
    ):
        vm2.screen.send(f"{begun}\t")
        vm2.until(re.escape(begun) + "\x07?" + whole)
        vm2.screen.send(CTRL_C)
        vm2.until(vm2.prompt)


def test_crontab_opens_vi_and_installs_what_was_written(cli: Cli, fresh: dict[str, Any], terminal: Open) -> None:
    vm2 = terminal(fresh["student"], "vm2")
    vm2.screen.send("crontab -e\r")
    vm2.until(r'"\S+" \d+L')
    # crontab(1) tells by the second whether the file was changed: nobody else types as fast as a test.
    vm2.screen.send(f"O5 4 * * * /root/backup.sh\r{ESCAPE}:sleep 1\r:wq\r")
    vm2.until("installing new crontab")
    assert "5 4 * * * /root/backup.sh\n" in cli.inside(fresh["student"], "vm2", "crontab -l; crontab -r")


def test_vi_takes_arrow_keys_and_backspace_while_text_is_typed(fresh: dict[str, Any], terminal: Open) -> None:
    vm2 = terminal(fresh["student"], "vm2")
    vm2.type("echo one > /tmp/text")
    vm2.vi("/tmp/text", "one", f"A twx{chr(0x7F)}o{ESCAPE}[D{ESCAPE}[D")
    assert vm2.type("cat /tmp/text").splitlines()[1] == "one two"
