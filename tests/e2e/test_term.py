"""One student goes through the term: from Lab 3 on in one environment, with what each sheet leads to."""

from itertools import pairwise

from labenv.lab import labs
from tests.e2e.conftest import Cli

TERM = [lab.id for lab in labs.load("lab7").course]


def test_one_environment_goes_through_all_labs_and_keeps_what_was_done_in_each(cli: Cli, student: str) -> None:
    cli("up", student, "--lab", TERM[0], "--at", "lab2b", "--no-check")
    cli.inside(student, "vm1", "echo mine > /root/begun")
    for lab, following in pairwise([*TERM, ""]):
        if labs.load(lab).profiles:
            cli("up", student, "--outside", "--no-check")
        cli("solve", "--all", "-s", student)
        judged = cli.json("check", "-s", student)
        assert (judged["lab"], judged["summary"]["failed"]) == (lab, 0)
        for machine in ("vm2", "vm3"):
            cli.inside(student, machine, f"echo {lab} >> /root/diary")
        if following:
            assert cli.json("advance", "-s", student)["lab"] == following

    [there] = cli.json("status", "-s", student)["environments"]
    assert [past["lab"] for past in there["past"]] == TERM[:-1]
    assert all(past["passed"] for past in there["past"])
    for machine in ("vm2", "vm3"):
        assert cli.inside(student, machine, "cat /root/diary").split() == TERM
    assert cli.inside(student, "vm1", "cat /root/begun") == "mine\n", "idle since Lab 3, and the web server of Lab 6"
    books = cli.inside(student, "host", "ls /root/logbook-*.md").split()
    assert books == [f"/root/logbook-{lab}.md" for lab in TERM[:-1]]
    letters = cli.inside(student, "vm2", "grep ^From: /var/spool/mail/root")
    assert f"root@vm3.{student}.ops" in letters, "a message of Lab 4a"

    save = next(s["name"] for s in cli.json("saves", "-s", student)["saves"] if s["name"] == "before-advance-2")
    cli("restore", save, "-s", student)
    [there] = cli.json("status", "-s", student)["environments"]
    assert (there["lab"], [past["lab"] for past in there["past"]]) == ("lab4a", ["lab3"])
