"""What the sheets of Labs 6 and 7 do in Firefox and in Thunderbird on host's desktop, done with both."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labenv.engine import Engine
from tests.e2e.conftest import Cli
from tests.e2e.desk import Desk
from tests.e2e.firefox import Firefox
from tests.e2e.roundcube import Roundcube
from tests.e2e.thunderbird import Thunderbird
from tests.e2e.webdriver import until

pytest_plugins = ["tests.e2e.desk"]

# What the installer's second page is told (sheet of Lab 6, Investigation 3, 6).
_CONFIG = {
    "[name='_dbhost']": "localhost",
    "[name='_dbname']": "roundcubemail",
    "[name='_dbuser']": "roundcube",
    "[name='_dbpass']": "{password}",
    "[name='_imap_host[]']": "vm3.{domain}:143",
    "[name='_smtp_host']": "vm2.{domain}:25",
    "[name='_smtp_user']": "",
    "[name='_smtp_pass']": "",
}
_SELF_SIGNED = "MOZILLA_PKIX_ERROR_SELF_SIGNED_CERT"


@pytest.fixture(scope="module")
def lab6(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Desk:
    """A desktop in Lab 6 where Roundcube is unpacked, and not installed yet."""
    made = cli.json("up", new_student(), "--lab", "lab6", "--at", "unpacked", "--outside", "--no-check")
    return Desk(cli, engine, made)


@pytest.fixture(scope="module")
def lab7(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Desk:
    """A desktop in a finished Lab 7, which was open before at its beginning: the settings of Thunderbird go along with the stage."""
    made = cli.json("up", new_student(), "--lab", "lab7", "--at", "lab6", "--outside", "--no-check")
    Desk(cli, engine, made).show("--configured")
    return Desk(cli, engine, cli.json("reset", "--at", "done", "--yes", "-s", made["student"]))


def _judged(desk: Desk, *steps: str) -> dict[str, set[str]]:
    """The checks' results for steps."""
    found: dict[str, set[str]] = {}
    for result in desk.cli.json("check", "-s", desk.student, *steps, rc=None)["results"]:
        found.setdefault(result["step"], set()).add(result["status"])
    return found


def _log(desk: Desk, machine: str) -> str:
    """What a machine's log says about mail."""
    return desk.cli.inside(desk.student, machine, "cat /var/log/maillog")


def test_in_lab_6_firefox_installs_roundcube_and_mail_is_sent_and_read_there(lab6: Desk, pictures: Path) -> None:
    student, domain, password = lab6.student, lab6.environment["domain"], lab6.environment["password"]
    me = f"{student}@{domain}"
    lab6.show("--configured")
    firefox = Firefox(lab6.engine, lab6.container)
    firefox.open(f"vm1.{domain}/webmail/installer")
    firefox.shows("Checking PHP version")
    assert "NOT OK" not in firefox.text()
    firefox.screenshot(pictures / "installer-1.png")
    firefox.click("input[type=submit]")
    for field, value in _CONFIG.items():
        firefox.type(field, value.format(domain=domain, password=password))
    firefox.click("[name='_smtp_user_u']")
    firefox.screenshot(pictures / "installer-2.png")
    firefox.click("input[type=submit]")
    firefox.click("input[value=Download]")
    _copy(lab6, f"Downloads/config.inc.php root@vm1.{domain}:/var/www/html/webmail/config/")
    firefox.screenshot(pictures / "installer-3.png")
    firefox.click("input[value=CONTINUE]")
    firefox.shows("Check DB config")
    assert "NOT OK" not in firefox.text()
    firefox.type("[name=_from]", me)
    firefox.type("[name=_to]", me)
    firefox.click("[name=sendmail]")
    firefox.shows("SMTP send: OK")
    firefox.type("[name=_user]", student)
    firefox.type("[name=_pass]", password)
    firefox.click("[name=imaptest]")
    firefox.shows("IMAP connect: OK")
    firefox.run("document.querySelector('[name=imaptest]').scrollIntoView()")
    firefox.screenshot(pictures / "installer-4.png")

    webmail = Roundcube(firefox)
    firefox.open(f"vm1.{domain}/webmail")
    webmail.log_in(student, password, pictures / "webmail-login.png")
    until("the installer's message is there", lambda: "Test message from Roundcube" in webmail.subjects())
    webmail.send(me, "Written in a browser", "From vm1 through vm2 to vm3.", pictures / "webmail-compose.png")
    assert webmail.read("Written in a browser") == "From vm1 through vm2 to vm3."
    firefox.screenshot(pictures / "webmail.png")
    firefox.close()
    assert f"client=vm1.{domain}" in _log(lab6, "vm2")
    steps = ("43", "44", "48", "49", "50")
    assert _judged(lab6, *steps) == {step: {"pass"} for step in steps}


def _copy(desk: Desk, what: str) -> None:
    """Copy a file in the desktop's second terminal, once the browser has it there; scp asks for the password of a machine."""
    file = what.partition(" ")[0]
    ask = f"printf '#!/bin/sh\necho {desk.environment['password']}\n' >/tmp/ask; chmod 755 /tmp/ask"
    until(f"the desktop has {file}", lambda: desk.inside(f"ls /home/$STUDENT/{file}")[0] == 0)
    assert desk.inside(ask) == (0, "")
    options = "-o StrictHostKeyChecking=accept-new"
    copy = f"env SSH_ASKPASS=/tmp/ask SSH_ASKPASS_REQUIRE=force scp {options} {what}"
    status, said = desk.inside(f"cd /home/$STUDENT && /usr/lib/labenv/as-student {copy}")
    assert status == 0, said


def test_in_lab_7_firefox_warns_of_the_self_signed_certificate_and_then_mail_is_sent_and_read_over_tls(
    lab7: Desk, pictures: Path
) -> None:
    student, domain = lab7.student, lab7.environment["domain"]
    me = f"{student}@{domain}"
    lab7.show("--configured")
    firefox = Firefox(lab7.engine, lab7.container)
    firefox.open(f"https://vm1.{domain}/webmail")
    assert firefox.trust(pictures / "https-warning.png") == _SELF_SIGNED
    webmail = Roundcube(firefox)
    webmail.log_in(student, lab7.environment["password"], pictures / "https-login.png")
    webmail.send(me, "Written over https", "From vm1 through vm2 to vm3.", pictures / "https-compose.png")
    assert webmail.read("Written over https") == "From vm1 through vm2 to vm3."
    firefox.screenshot(pictures / "https-webmail.png")
    assert firefox.address.startswith(f"https://vm1.{domain}/webmail/?_task=mail")
    firefox.close()
    assert f"TLS connection established from vm1.{domain}" in _log(lab7, "vm2")
    assert _judged(lab7, "17", "22", "23") == {step: {"pass"} for step in ("17", "22", "23")}


def test_in_lab_7_thunderbird_warns_of_both_certificates_and_then_reads_and_sends_over_tls(
    lab7: Desk, pictures: Path
) -> None:
    student, domain = lab7.student, lab7.environment["domain"]
    me, untrusted = f"{student}@{domain}", "hasn’t been verified as issued by a trusted authority"
    lab7.show("--configured")
    thunderbird = Thunderbird(lab7.engine, lab7.container, "configured", lab7.environment["password"])
    thunderbird.open_folder(f"imap://{student}@vm3.{domain}/INBOX")
    whose, wrong = thunderbird.trust(pictures / "imaps-warning.png")
    assert whose == f"vm3.{domain}:993"
    assert untrusted in wrong
    thunderbird.get_messages()
    until("it has logged in, and seen the folders of both accounts", lambda: thunderbird.folders().count("Trash") >= 2)
    thunderbird.write(me, "Over TLS", "With STARTTLS to vm2.", pictures / "starttls-write.png")
    thunderbird.press_send()
    whose, wrong = thunderbird.trust(pictures / "starttls-warning.png")
    assert whose == f"vm2.{domain}:25"
    assert untrusted in wrong
    thunderbird.send_it("Over TLS")
    until("the message is in the inbox", lambda: "Over TLS" in thunderbird.subjects())
    assert "With STARTTLS to vm2." in thunderbird.read("Over TLS")
    thunderbird.screenshot(pictures / "imaps.png")
    thunderbird.close()
    host = next(machine["address"] for machine in lab7.environment["machines"] if machine["name"] == "host")
    assert f"TLS connection established from host.{domain}[{host}]" in _log(lab7, "vm2")
    logins = [line for line in _log(lab7, "vm3").splitlines() if f"Login: user=<{student}>" in line]
    assert [line for line in logins if f"rip={host}, " in line and ", TLS," in line]
    assert _judged(lab7, "4", "6", "13") == {step: {"pass"} for step in ("4", "6", "13")}


@pytest.mark.soak
def test_an_open_desktop_has_firefox_after_the_way_to_a_lab_about_the_web(
    cli: Cli, engine: Engine, student: str
) -> None:
    desk = Desk(cli, engine, cli.json("up", student, "--lab", "lab4b", "--no-check"))
    desk.show("--configured")
    assert desk.inside("command -v firefox-esr")[0] != 0
    cli("advance", "lab6", "-s", student)
    assert desk.inside("command -v firefox-esr")[0] == 0
    assert desk.show("--configured")["changes"] == []
