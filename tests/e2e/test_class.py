"""Several students at once, as a teacher brings up a class."""

from collections.abc import Callable

from tests.e2e.conftest import Cli


def test_several_students_come_up_together_on_networks_of_their_own(cli: Cli, new_student: Callable[[], str]) -> None:
    names = [new_student() for _ in range(3)]
    there = cli.json("up", *names, "--no-check")["environments"]
    assert [environment["student"] for environment in there] == names
    assert len({environment["network"] for environment in there}) == 3
    assert all(machine["state"] == "running" for environment in there for machine in environment["machines"])
    again = cli.json("up", *names, "--no-check")["environments"]
    assert [environment["changes"] for environment in again] == [[], [], []]


def test_a_student_who_cannot_come_up_does_not_hold_back_the_others(cli: Cli, new_student: Callable[[], str]) -> None:
    there, other = new_student(), new_student()
    cli("up", there, "--no-check", "--at", "lab4a")
    done = cli("up", there, other, "--no-check", "--at", "relay", rc=2)
    assert f"labenv: {there}: " in done.stderr
    assert f"{other}'s lab is up" in done.stdout


def test_what_is_one_students_own_is_refused_for_several(cli: Cli) -> None:
    assert "cannot be combined with several students" in cli("up", "anna1", "bert1", "--net", "90", rc=2).stderr
