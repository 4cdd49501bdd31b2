"""The parts of the sheet that are done in Thunderbird, done with Thunderbird: steps 3 and 4, 36 to 40, and 43."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labenv.engine import Engine
from tests.e2e.thunderbird import Thunderbird
from tests.e2e.webdriver import until

if TYPE_CHECKING:
    from tests.e2e.desk import Desk, Page

pytest_plugins = ["tests.e2e.desk"]


@pytest.fixture
def thunderbird(request: pytest.FixtureRequest, desk: "Desk", engine: Engine) -> Iterator[Thunderbird]:
    """Thunderbird with the profile that the test names."""
    driven = Thunderbird(engine, desk.container, request.param, desk.environment["password"])
    yield driven
    driven.close()


def _newest(desk: "Desk", account: str) -> str:
    """All messages in an account's Maildir on vm3."""
    return desk.cli.inside(
        desk.student, "vm3", f"cat /home/{account}/Maildir/new/* /home/{account}/Maildir/cur/* 2>&1; true"
    )


def _as_before_the_sheet(desk: "Desk") -> None:
    """Undo what a mail client did in a finished environment: nothing is fetched, read or sent."""
    account = f"/var/mail/myseneca.ca/{desk.student}"
    desk.cli.inside(desk.student, "outside", f"rm /var/mail/example.com/everybody/new/1.reply.{desk.student}")
    desk.cli.inside(
        desk.student,
        "outside",
        f"cd {account} && install -d -o vmail -g vmail new && for file in cur/*; do mv $file new/$(basename ${{file%%:*}}); done",
    )
    desk.cli.inside(desk.student, "vm3", f"rm -r /home/{desk.student}/Maildir/.Trash")


def _judged(desk: "Desk", rc: int, *steps: str) -> dict[str, set[str]]:
    """The checks' results for steps that a mail client does."""
    found: dict[str, set[str]] = {}
    for result in desk.cli.json("check", "-s", desk.student, *steps, rc=rc)["results"]:
        found.setdefault(result["step"], set()).add(result["status"])
    return found


@pytest.mark.parametrize("thunderbird", ["configured"], indirect=True)
def test_it_finds_the_settings_that_labenv_client_wrote(thunderbird: Thunderbird, desk: "Desk", tmp_path: Path) -> None:
    domain = desk.environment["domain"]
    told = desk.cli.json("client", "-s", desk.student, "--write", str(tmp_path / "files"))["account"]
    written = base64.b64encode((tmp_path / "files" / f"{domain}.xml").read_bytes()).decode()
    there = f"/usr/lib/thunderbird/isp/{domain}.xml"
    assert desk.inside(f"echo {written} | base64 -d >{there}") == (0, "")
    found = thunderbird.configuration(domain)
    assert desk.inside(f"rm {there}") == (0, "")  # the account dialog would find it
    imap, smtp = told["imap"], told["smtp"]
    # socketType 0 is no encryption; auth 3 is a password in clear text, 1 none (nsMsgSocketType, nsMsgAuthMethod).
    assert found["incoming"] == {
        "type": "imap",
        "hostname": imap["host"],
        "port": imap["port"],
        "socketType": 0,
        "auth": 3,
        "username": desk.student,
    }
    wanted = {"type": "smtp", "hostname": smtp["host"], "port": smtp["port"], "socketType": 0, "auth": 1}
    assert found["outgoing"].items() >= wanted.items()


@pytest.mark.parametrize("thunderbird", ["own"], indirect=True)
def test_continue_finds_the_sheets_table_at_myseneca_and_for_the_own_domain_says_that_it_finds_nothing(
    thunderbird: Thunderbird, desk: "Desk"
) -> None:
    student, domain = desk.student, desk.environment["domain"]
    office, seneca = "outlook.office365.com", f"{student}@myseneca.ca"
    assert thunderbird.found(student, seneca) == {
        "incomingHost": office,
        "incomingPort": "993",
        "incomingSocketType": "SSL/TLS",
        "incomingUsername": seneca,
        "outgoingHost": office,
        "outgoingPort": "587",
        "outgoingSocketType": "STARTTLS",
        "outgoingUsername": seneca,
    }
    # The empty form: it has guessed names of servers, and there are none. The user name that it fills in is the one to correct (step 36).
    found = thunderbird.found(student, f"{student}@{domain}")
    assert (found["incomingHostname"], found["incomingUsername"]) == (f".{domain}", f"{student}@{domain}")


@pytest.mark.parametrize("thunderbird", ["own"], indirect=True)
def test_the_account_dialog_and_the_mailboxes_as_on_the_sheet(
    thunderbird: Thunderbird,
    desk: "Desk",
    browser: "Page",
    pictures: Path,
) -> None:
    student, domain = desk.student, desk.environment["domain"]
    password, first = desk.environment["password"], desk.environment["first"]
    seneca = f"{student}@myseneca.ca"
    _as_before_the_sheet(desk)
    assert _judged(desk, 1, "3", "4", "36", "38") == {"3": {"fail"}, "4": {"fail"}, "36": {"skip"}, "38": {"fail"}}

    # Step 3: the reference account; user name and servers as in the sheet's table.
    office = {"Hostname": "outlook.office365.com", "AuthMethodSelect": "3", "Username": seneca}
    thunderbird.set_up_account(
        student,
        seneca,
        {"Port": "993", "ConnectionSecuritySelect": "3", **office},
        {"Port": "587", "ConnectionSecuritySelect": "2", **office},
        password,
        pictures / "step-03.png",
    )
    # Step 36: the student's own account, over vm2 and vm3, without encryption.
    thunderbird.add_another()
    plain = {"ConnectionSecuritySelect": "0"}
    thunderbird.set_up_account(
        student,
        f"{student}@{domain}",
        {"Hostname": f"vm3.{domain}", "Port": "143", **plain, "AuthMethodSelect": "3", "Username": student},
        {"Hostname": f"vm2.{domain}", "Port": "25", **plain, "AuthMethodSelect": "1"},
        password,
        pictures / "step-36.png",
    )
    thunderbird.finish()

    # Step 4: existing mail can be read, new mail can be sent; here to the student's own domain, which the MX leads to.
    thunderbird.open_folder(f"imap://{student}%40myseneca.ca@outlook.office365.com/INBOX")
    until("the mail at myseneca.ca is listed", thunderbird.subjects)
    assert student in thunderbird.read("Your student mailbox")
    thunderbird.screenshot(pictures / "step-04.png")
    thunderbird.send(f"{student}@{domain}", "From the reference account", "Through outside.", pictures / "step-04b.png")
    until("it is in the mailbox on vm3", lambda: "From the reference account" in _newest(desk, student))

    # Steps 37 and 38: a click on the inbox logs in to vm3, and Trash appears.
    thunderbird.open_folder(f"imap://{student}@vm3.{domain}/INBOX")
    until("the message from outside is listed", lambda: "From the reference account" in thunderbird.subjects())
    until("both accounts have a Trash", lambda: thunderbird.folders().count("Trash") >= 2)
    log = desk.cli.inside(student, "vm3", "cat /var/log/maillog")
    [host] = [m["address"] for m in desk.environment["machines"] if m["name"] == "host"]
    login = [line for line in log.splitlines() if f"Login: user=<{student}>" in line and f"rip={host}" in line]
    assert login
    assert not [line for line in login if "TLS" in line]
    assert ".Trash" in desk.cli.inside(student, "vm3", f"ls -A /home/{student}/Maildir")

    # Steps 39 and 40: to the address at myseneca.ca, through vm2 and vm3.
    thunderbird.send(seneca, "To myseneca", "Through vm2 and vm3.", pictures / "step-39.png")
    # Step 43: to the account that exists only on vm3.
    thunderbird.send(f"{first}@{domain}", "Only on vm3", "Through vm2.", pictures / "step-43.png")
    until("it is in the new account's Maildir", lambda: "Only on vm3" in _newest(desk, first))
    assert "Only on vm3" in desk.cli.inside(student, "vm3", f"cat /home/{first}/Maildir/new/*")

    thunderbird.open_folder(f"imap://{student}%40myseneca.ca@outlook.office365.com/INBOX")
    until("the message is at myseneca.ca", lambda: "To myseneca" in thunderbird.subjects())
    assert "Through vm2 and vm3." in thunderbird.read("To myseneca")
    thunderbird.screenshot(pictures / "step-40.png")
    steps = ("3", "4", "36", "37", "38", "39", "40", "43")
    assert _judged(desk, 0, *steps) == {step: {"pass"} for step in steps}
    browser.enter(desk.show()["url"])
    browser.screenshot(pictures / "thunderbird.png")


@pytest.mark.parametrize("thunderbird", ["configured"], indirect=True)
def test_configured_it_has_both_accounts_and_they_work(thunderbird: Thunderbird, desk: "Desk", pictures: Path) -> None:
    student, domain = desk.student, desk.environment["domain"]
    listed = until("both accounts are listed", lambda: [n for n in thunderbird.folders() if "@" in n])
    assert {f"{student}@myseneca.ca", f"{student}@{domain}"} <= set(listed)
    thunderbird.open_folder(f"imap://{student}%40myseneca.ca@outlook.office365.com/INBOX")
    until("the mail at myseneca.ca is listed", thunderbird.subjects)
    thunderbird.send(f"{student}@{domain}", "Configured, from outside", "587", pictures / "configured.png")
    thunderbird.open_folder(f"imap://{student}@vm3.{domain}/INBOX")
    until("it is listed", lambda: "Configured, from outside" in thunderbird.subjects())
    thunderbird.send(f"{student}@{domain}", "Configured, from inside", "25", pictures / "configured.png")
    until("it is listed, too", lambda: "Configured, from inside" in thunderbird.subjects())

    # Checks send messages to this inbox. Thunderbird waits there for new ones (IDLE), and is not told of them.
    time.sleep(3)  # it looks for new mail as often as it was asked above
    unread, shown = thunderbird.unread(), thunderbird.folders()
    assert unread >= 2
    for _ in range(2):
        assert _judged(desk, 0, "10", "16", "24", "43") == {step: {"pass"} for step in ("10", "16", "24", "43")}
        time.sleep(1)
        assert (thunderbird.unread(), thunderbird.folders()) == (unread, shown)
    desk.cli.inside(student, "vm2", f"echo hello | mail -s 'After the checks' {student}@{domain}")
    until("it is told of what comes later", lambda: thunderbird.unread() == unread + 1)


_FIELD = "return document.getElementById('text').value"
_OPEN = "return document.getElementById('text').checkVisibility()"


@pytest.mark.parametrize("thunderbird", ["configured"], indirect=True)
def test_the_clipboard_goes_both_ways_when_asked_and_never_otherwise(
    thunderbird: Thunderbird, desk: "Desk", browser: "Page"
) -> None:
    browser.enter(desk.show()["url"])
    allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.devtools("Browser.grantPermissions", permissions=allowed, origin=browser.run("return location.origin"))
    browser.run("return navigator.clipboard.writeText('a secret of the user')")
    browser.run("window.dispatchEvent(new Event('focus'))")
    thunderbird.copy("from the desktop: ö")
    until("the page shows what the desktop copied", lambda: browser.run(_FIELD) == "from the desktop: ö")
    assert browser.run("return navigator.clipboard.readText()") == "a secret of the user"
    assert thunderbird.paste() == "from the desktop: ö"
    pasted = "const field = document.getElementById('text');field.value = arguments[0];field.dispatchEvent(new Event('input'));"
    browser.run(pasted, "from the browser: ä")
    until(
        "the desktop pastes what the user pasted into the field", lambda: thunderbird.paste() == "from the browser: ä"
    )
    browser.run("document.getElementById('clipboard').click()")
    assert browser.run(_OPEN) is True
    browser.run(
        "document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))"
    )
    assert browser.run(_OPEN) is False
