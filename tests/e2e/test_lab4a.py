"""Lab 4a: its end is the beginning of Lab 4b, and the world outside knows a forged sender."""

import re

from labenv.engine import Engine
from labenv.lab import labs
from labenv.proof.force import in_force
from tests.e2e.conftest import Cli


def test_its_end_is_the_beginning_of_lab_4b(cli: Cli, engine: Engine, student: str) -> None:
    """What Lab 4b's own script prints on the machines of both, but for the serials of the zones, which grow with each edit."""
    lab4b = labs.load("lab4b")
    found = []
    for lab, stage in (("lab4a", "done"), ("lab4b", "lab4a")):
        cli("up", student, "--lab", lab, "--at", stage, "--no-check")
        [there] = engine.environments(student)
        facts = in_force(engine, lab4b, there)
        x = f"{there.student.x}"
        told = {name: [line for line in lines if " SOA " not in line] for name, lines in facts.of.items()}
        found.append(
            {
                name: sorted(re.sub(rf"192\.168\.{x}\b|\b{x}\.168\.192", "NET", line) for line in told[name])
                for name in told
            }
        )
        cli("down", "-s", student)
    assert found[0] == found[1]
    assert set(found[0]) == {"host", "vm2", "vm3"}


def test_the_world_outside_says_what_it_thinks_of_a_forged_sender(cli: Cli, student: str) -> None:
    cli("up", student, "--lab", "lab4a", "--at", "lab3", "--outside", "--no-check")
    cli("solve", "mua", "-s", student)
    inbox = f"/var/mail/myseneca.ca/{student}/new"
    cli.inside(student, "outside", f"timeout 20 sh -c 'until [ $(ls {inbox} | wc -l) = 2 ]; do sleep 0.1; done'")
    found = cli.inside(student, "outside", f"grep -rh '^Authentication-Results:' {inbox}").splitlines()
    assert sorted(re.sub(r".*; (spf=\w+) .*mailfrom=", r"\1 ", line) for line in found) == [
        "spf=fail hacker.com",
        f"spf=none vm2.{student}.ops",
    ]
    [fifth] = cli.json("check", "5", "-s", student)["results"]
    assert (fifth["status"], f"root@vm2.{student}.ops" in fifth["evidence"]) == ("pass", True)
