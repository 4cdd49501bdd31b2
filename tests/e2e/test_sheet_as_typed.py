"""A person at a terminal: the whole sheet typed word by word, with editors, questions and answers; then all checks.

Nothing here uses labenv's internals: it types into `labenv shell` and reads the screen.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.conftest import Cli
from tests.e2e.terminal import CTRL_C, CTRL_D, ESCAPE, Open, Terminal


@dataclass(frozen=True)
class Sitting:
    """A student, with a terminal for each machine."""

    student: str
    domain: str
    network: str
    password: str
    host: Terminal
    vm2: Terminal
    vm3: Terminal


MAIN = "/etc/postfix/main.cf"


def test_the_sheet_typed_word_by_word_passes_every_check(cli: Cli, student: str, terminal: Open) -> None:
    made = cli.json("up", student, "--at", "lab4a", "--first", "anna", "--no-check")
    terminals = {machine: terminal(student, machine) for machine in ("host", "vm2", "vm3")}
    at = Sitting(student, made["domain"], made["network"], made["password"], **terminals)
    assert "on your own computer" in at.host.type("yum install thunderbird")
    _mail_of_the_domain(at)
    _domain(at)
    _relay(at)
    _delivery_agent(at)
    _imap(at)
    _plain_passwords(at)
    _new_user(at)
    for machine in (at.host, at.vm2, at.vm3):
        machine.type("mkdir /backup")
        machine.type("rsync -a /etc /backup")
        assert "sysconfig" in machine.type("ls /backup/etc")

    results = cli.json("check", "-s", student, rc=None)["results"]
    assert [result for result in results if result["status"] == "fail"] == []
    passed = {result["step"] for result in results if result["status"] == "pass"}
    by_person = {"27", "32", "36", "38"}
    assert {str(number) for number in range(8, 48)} - by_person - {"44", "45", "46"} <= passed


def _mail_of_the_domain(at: Sitting) -> None:
    for machine, other in ((at.vm2, "vm3"), (at.vm3, "vm2")):
        read = machine.type("mail", ("1 message", ""), ("& ", "1\r"), (f"root@{other}", ""), ("& ", "q\r"))
        assert f"From: root <root@{other}.{at.domain}>" in read
    at.vm2.vi(MAIN, "^myorigin", "ccmyorigin = $mydomain")
    at.vm3.nano(MAIN, "myorigin = $myhostname", "myorigin = $mydomain")
    for machine in (at.vm2, at.vm3):
        assert f"myorigin = {at.domain}" in machine.type("postconf -x myorigin")
        machine.type("systemctl restart postfix")
    at.vm2.mail(f"root@vm3.{at.domain}", "From vm2", "Who wrote this?")
    at.vm3.log(rf"to=<root@vm3\.{at.domain}>.*status=sent")
    read = at.vm3.type(
        "mail",
        ("From vm2", ""),
        ("& ", "2\r"),
        ("Who wrote this", ""),
        ("& ", "r 1\r"),
        ("wrote:", "Lab 4a works.\r.\r"),
        ("& ", "q\r"),
    )
    assert f"From: root <root@{at.domain}>" in read
    assert "Held 2 messages" in read
    at.vm2.log(rf"to=<root@vm2\.{at.domain}>.*status=sent")
    at.vm3.type(f"mail -s 'From vm3' -r root root@vm2.{at.domain}", ("To: ", f"Who wrote this?\r{CTRL_D}"))
    at.vm2.log(rf"from=<root@{at.domain}>(.|\n)*status=sent")
    assert "From vm3" in at.vm2.type("mail -H")


def _domain(at: Sitting) -> None:
    at.vm3.vi(MAIN, "^mydestination", "ccmydestination = $mydomain, $myhostname, localhost.$mydomain, localhost")
    at.vm3.type("systemctl restart postfix")  # the sheet forgets this, and labenv's note says so
    zone = f"/var/named/mydb-for-{at.student}-ops"
    at.host.vi(zone, "NS", f"o@       IN      MX      10 vm3.{at.domain}.")
    assert "OK" in at.host.type(f"named-checkzone {at.domain} {zone}")
    at.host.type("systemctl restart named")
    assert f"10 vm3.{at.domain}." in at.host.type(f"dig MX {at.domain}")
    assert "mail is handled by 10 vm3" in at.vm2.type(f"host -t mx {at.domain}")
    at.vm2.mail(f"root@{at.domain}", "To the domain", "Where does this go?")
    at.vm3.log(rf"to=<root@{at.domain}>.*status=sent")
    assert "To the domain" in at.vm3.type("mail -H")


def _relay(at: Sitting) -> None:
    at.vm2.nano(MAIN, "#relayhost = $mydomain", f"relayhost = vm3.{at.domain}")
    at.vm2.type("systemctl restart postfix")
    at.vm3.vi(MAIN, "^#mynetworks =", f"omynetworks = {at.network}")
    assert "Redirecting" in at.vm3.type("service postfix restart")


def _delivery_agent(at: Sitting) -> None:
    assert "Complete!" in at.vm3.type("yum install dovecot", (r"\[y/d/N\]: ", "y\r"))
    command = '/usr/libexec/dovecot/dovecot-lda -f "$SENDER" -a "$RECIPIENT"'
    at.vm3.vi(MAIN, "^#mailbox_command", f"omailbox_command = {command}")
    at.vm3.nano("/etc/dovecot/conf.d/10-mail.conf", "#mail_location", "mail_location = maildir:~/Maildir")
    at.vm3.type("systemctl restart postfix")
    at.vm2.mail(f"{at.student}@{at.domain}", "To a user", "Where does this lie?")
    at.vm3.log("saved mail to INBOX")
    at.vm3.type(f"su - {at.student}")
    read = at.vm3.type("mail -f ~/Maildir", ("1 message", ""), ("& ", "1\r"), ("& ", "q\r"))
    assert "Where does this lie?" in read
    at.vm3.type("exit")
    at.vm2.mail(f"root@{at.domain}", "To root", "Does this arrive?")
    at.vm3.log(r"lda\(root\).*Permission denied")
    assert f"root@{at.domain}" in at.vm3.type("mailq")


def _imap(at: Sitting) -> None:
    at.vm3.vi("/etc/dovecot/dovecot.conf", "^#protocols", "ccprotocols = imap")
    at.vm3.type("systemctl start dovecot")
    assert "Created symlink" in at.vm3.type("systemctl enable dovecot")
    assert "active (running)" in at.vm3.type("systemctl status dovecot")
    assert "0.0.0.0:143" in at.vm3.type("ss -atnp")
    assert "timed out" in at.host.type(f"nc vm3.{at.domain} 143")
    assert "policy DROP" in at.vm3.type("iptables -L -n -v")
    at.vm3.type(f"iptables -I INPUT -p tcp -s {at.network} --dport 143 -j ACCEPT")
    assert "OK" in at.vm3.type("service iptables save")
    at.vm3.type("iptables-save > /etc/sysconfig/iptables")
    said = at.host.type(f"nc vm3.{at.domain} 143", ("Dovecot", "a logout\r"), ("a OK", CTRL_C))
    assert "LOGINDISABLED" in said


def _plain_passwords(at: Sitting) -> None:
    at.vm3.vi("/etc/dovecot/conf.d/10-auth.conf", "^#disable_plaintext_auth", "ccdisable_plaintext_auth = no")
    at.vm3.nano("/etc/dovecot/conf.d/10-ssl.conf", "ssl = required", "ssl = yes")
    at.vm3.type("systemctl restart dovecot")
    said = at.host.type(
        f"nc vm3.{at.domain} 143",
        ("ready", f"a login {at.student} {at.password}\r"),
        ("a OK", "b create Trash\r"),
        ("b OK", "c logout\r"),
        ("c OK", CTRL_C),
    )
    assert "LOGINDISABLED" not in said


def _new_user(at: Sitting) -> None:
    """A new user on vm3; mail for that user, and for the outside, sent to vm2 like a mail program on host."""
    assert "0.0.0.0:25" in at.vm3.type("ss -atn")
    for name in ("vm2", "vm3"):
        assert "succeeded" in at.host.type(f"nc -zv {name}.{at.domain} 25")
    at.vm3.type("useradd anna")
    at.vm3.type("passwd anna", ("New password: ", f"{at.password}\r"), ("Retype new password: ", f"{at.password}\r"))
    sender = f"{at.student}@{at.domain}"
    for recipient in (f"anna@{at.domain}", f"{at.student}@myseneca.ca"):
        at.host.type(
            f"telnet vm2.{at.domain} 25",
            ("220 ", f"helo host.{at.domain}\r"),
            ("250 ", f"mail from:<{sender}>\r"),
            ("250 ", f"rcpt to:<{recipient}>\r"),
            ("250 ", "data\r"),
            ("354 ", f"From: {sender}\rTo: {recipient}\rSubject: From host\r\rHello.\r.\r"),
            ("250 ", "quit\r"),
        )
    at.vm2.log(rf"to=<{at.student}@myseneca.ca>, relay=vm3.*status=sent")
    at.vm3.log(r"lda\(anna\).*saved mail to INBOX")
    assert re.search(rf"\d+\.\S+\.vm3\.{at.domain}", at.vm3.type("ls /home/anna/Maildir/new/"))


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
