"""One student goes through the term: from Lab 3 on in one environment, with every command of all sheets; and each sheet by itself."""

from itertools import pairwise
from typing import Any

import pytest

from labenv.lab import labs
from tests.e2e.conftest import Cli
from tests.e2e.sheets import lab3, lab4a, lab4b, lab6, lab7
from tests.e2e.sheets.sitting import Sitting
from tests.e2e.terminal import Open

SHEETS = {"lab3": lab3, "lab4a": lab4a, "lab4b": lab4b, "lab6": lab6, "lab7": lab7}
# The steps that pass in the end, and what may be said besides: of Lab 4b a message may still be on its way to the world outside.
PASSING = {"lab3": 25, "lab4a": 29, "lab4b": 33, "lab6": 26, "lab7": 19}


def test_one_environment_goes_through_all_sheets_as_typed_and_keeps_what_was_done_in_each(
    cli: Cli, student: str, terminal: Open
) -> None:
    course = [lab.id for lab in labs.load("lab7").course]
    assert course == list(SHEETS)
    cli("up", student, "--lab", course[0], "--at", lab3.FROM, "--first", "anna", "--no-check")
    cli.inside(student, "vm1", "echo mine > /root/begun")
    for lab, following in pairwise([*course, ""]):
        if lab == "lab6":
            cli("up", student, "--outside", "--no-check")
        _typed(cli, student, terminal, lab)
        for machine in ("vm2", "vm3"):
            cli.inside(student, machine, f"echo {lab} >> /root/diary")
        if following:
            assert cli.json("advance", "-s", student)["lab"] == following
    cli("reboot", "--all", "-s", student)
    assert not _failing(cli.json("check", "-s", student, rc=None)["results"])

    [there] = cli.json("status", "-s", student)["environments"]
    assert [past["lab"] for past in there["past"]] == course[:-1]
    assert all(past["passed"] for past in there["past"])
    for machine in ("vm2", "vm3"):
        assert cli.inside(student, machine, "cat /root/diary").split() == course
    assert cli.inside(student, "vm1", "cat /root/begun") == "mine\n", "idle since Lab 3, and the web server of Lab 6"
    books = cli.inside(student, "host", "ls /root/logbook-*.md").split()
    assert books == [f"/root/logbook-{lab}.md" for lab in course[:-1]]
    letters = cli.inside(student, "vm2", "grep ^From: /var/spool/mail/root")
    assert f"root@vm3.{student}.ops" in letters, "a message of Lab 4a"

    save = next(s["name"] for s in cli.json("saves", "-s", student)["saves"] if s["name"] == "before-advance-2")
    cli("restore", save, "-s", student)
    [there] = cli.json("status", "-s", student)["environments"]
    assert (there["lab"], [past["lab"] for past in there["past"]]) == ("lab4a", ["lab3"])


@pytest.mark.soak
@pytest.mark.parametrize("lab", SHEETS)
def test_a_sheet_typed_word_by_word_passes_every_check(cli: Cli, student: str, terminal: Open, lab: str) -> None:
    outside = ["--outside"] if lab == "lab6" else []
    cli("up", student, "--lab", lab, "--at", SHEETS[lab].FROM, "--first", "anna", "--no-check", *outside)
    _typed(cli, student, terminal, lab)
    cli("reboot", "--all", "-s", student)
    assert not _failing(cli.json("check", "-s", student, rc=None)["results"])


def _typed(cli: Cli, student: str, terminal: Open, lab: str) -> None:
    """Type a lab's sheet; all that can be checked passes, and nothing in the machines is other than labenv knows it."""
    SHEETS[lab].typed(Sitting(cli, terminal, student))
    visits = "cat /var/log/httpd/*access_log /var/log/httpd/ssl_request_log 2>/dev/null; true"
    noted = cli.inside(student, "vm1", visits) if lab in ("lab6", "lab7") else ""
    assert "not from the image" not in cli("check", "-s", student, rc=None).stdout
    results = cli.json("check", "-s", student, rc=None)["results"]
    assert not _failing(results)
    if noted:
        assert cli.inside(student, "vm1", visits) == noted, "a check leaves no visit behind"
    assert len({result["step"] for result in results if result["status"] == "pass"}) >= PASSING[lab]


def _failing(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [result for result in results if result["status"] not in ("pass", "skip", "warn")]
