"""`check`, `next` and `hint` as a student uses them: what fails, what to do next, and hints that are counted."""

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pexpect
import pytest

from labenv.engine import Engine, records
from labenv.lab import labs
from tests.e2e.conftest import Cli


@pytest.fixture
def typo(cli: Cli, engine: Engine, finished: dict[str, Any]) -> Iterator[str]:
    """The finished lab with a typo in step 17, and back again."""
    name = finished["student"]
    change = "postconf -e 'relayhost = vm3.{}' && systemctl restart postfix"
    cli.inside(name, "vm2", change.format(finished["domain"].replace("t-", "t_", 1).replace(".ops", ".osp")))
    yield name
    cli.inside(name, "vm2", change.format(finished["domain"]))
    cli.inside(name, "host", "rm -rf /var/lib/labenv")
    records.remove(engine, name, "hints")


def test_a_typo_in_step_17_gets_one_sentence_that_names_it_and_the_right_value(
    cli: Cli, finished: dict[str, Any], typo: str
) -> None:
    wrong = cli.inside(typo, "vm2", "postconf -h relayhost").strip()
    said = cli("next", "-s", typo, rc=1).stdout.strip()
    assert len(said.splitlines()) == 1
    assert said.startswith('Step 17 on vm2 (sheet: "Investigation 2: Relay Email Through Another Server", 2): ')
    assert wrong in said
    assert f"vm3.{finished['domain']}" in said
    document = cli.json("next", "-s", typo, rc=1)
    assert (document["step"], document["machine"], document["sentence"]) == ("17", "vm2", said)


def test_check_all_ends_with_that_sentence_and_sends_dependants_to_it_in_a_line_each(cli: Cli, typo: str) -> None:
    done = cli("check", "--all", "-s", typo, rc=1)
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[-1].startswith("Next: Step 17 on vm2 ")
    assert len([line for line in lines if line.startswith("✗")]) == 1
    assert any(line.startswith("- ") and line.endswith("(waits for step 17)") for line in lines)
    assert any(re.match(r"·\s+1\s+1\.\s+host .*\(for you\)", line) for line in lines)
    assert "relayhost" not in done.stderr  # progress does not repeat what stdout says


def test_check_says_what_fails_and_what_waits_and_next_looks_no_further(cli: Cli, typo: str) -> None:
    lines = cli("check", "-s", typo, rc=1).stdout.splitlines()
    assert lines[0] == "✓ Overview: 1 step"
    assert "✗   17  vm2: vm2 has vm3 as its relay host" in lines
    assert any(line.startswith("- ") and line.endswith("(for step 17)") for line in lines)
    assert lines[-1].startswith("Next: Step 17 on vm2 ")
    found = cli.json("next", "-s", typo, rc=1)
    assert (found["step"], found["machine"]) == ("17", "vm2")
    judged = {r["step"]: r["status"] for r in cli.json("check", "-s", typo, rc=1)["results"]}
    own = {step.id for step in labs.load("lab4b").steps.values() if step.is_for_a_person}
    assert found["left"] == [step for step, status in judged.items() if step in own and status == "skip"]


def test_check_fits_a_terminal_of_24_lines_with_its_command_and_the_next_prompt(typo: str) -> None:
    command = [sys.executable, "-m", "labenv", "check", "-s", typo]
    child = pexpect.spawn(shlex.join(command), dimensions=(24, 80), encoding="utf-8", timeout=120)
    child.expect("✓ Overview: 1 step")
    child.expect(pexpect.EOF)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before or "").split("\r\n")
    assert len(shown) <= 21
    assert max(map(len, shown)) <= 80
    child.close()
    assert child.exitstatus == 1


def test_hints_go_further_each_time_and_are_written_down(cli: Cli, engine: Engine, typo: str) -> None:
    first, second, third, fourth = (cli.json("hint", "17", "-s", typo) for _ in range(4))
    assert [len(hint["help"]) for hint in (first, second, third, fourth)] == [1, 2, 3, 3]
    assert first["help"] == third["help"][:1]
    assert "relayhost on vm2 is vm3." in first["wrong"][0]  # the actual value, not a prepared sentence
    kept = records.read(engine, typo, "hints")
    assert [(ask["step"], ask["level"]) for ask in kept] == [("17", level) for level in (1, 2, 3, 3)]
    for kind in ("--html", "--markdown", "--junit"):
        assert cli("check", "17", "-s", typo, kind, "-", rc=1).stdout.count(kept[0]["time"]) >= 1


def test_titles_and_hints_are_in_the_language_that_the_environment_asks_for(cli: Cli, typo: str) -> None:
    french = replace(cli, environ={"LANGUAGE": "fr_CA:fr"})
    title = "Step 17: vm2 a vm3 comme relais"
    said = french("hint", "17", "--level", "3", "-s", typo).stdout
    assert said.startswith(title)
    assert "La valeur est le nom complet de vm3" in said
    assert " vm2 a vm3 comme relais\n" in french("check", "17", "-s", typo, rc=1).stdout
    assert title in french("solve", "17", "--dry-run", "-s", typo).stdout
    # The sentence of `next` has no text of the lab but a note; JSON is the same for everybody.
    assert french("next", "-s", typo, rc=1).stdout == cli("next", "-s", typo, rc=1).stdout
    for command in (["hint", "17", "--level", "3"], ["check", "17"]):
        rc = int(command[0] == "check")
        assert french.json(*command, "-s", typo, rc=rc) == cli.json(*command, "-s", typo, rc=rc)
    assert "relais" not in replace(cli, environ={"LANGUAGE": "fr", "LC_ALL": "C"})("hint", "17", "-s", typo).stdout


def test_hints_are_counted_whatever_is_done_in_the_machines(cli: Cli, typo: str) -> None:
    assert len(cli.json("hint", "17", "-s", typo)["help"]) == 1
    for machine in ("host", "vm2", "vm3"):
        cli.inside(typo, machine, "rm -rf /var/lib/labenv; : >/var/lib/labenv")
    assert len(cli.json("hint", "17", "-s", typo)["help"]) == 2


def test_hints_that_the_version_before_recorded_on_host_still_count(cli: Cli, typo: str) -> None:
    said = '{"time": "2026-11-22T10:00:00+00:00", "step": "17", "level": 1}'
    cli.inside(typo, "host", f"mkdir -p /var/lib/labenv; echo '{said}' >/var/lib/labenv/hints.jsonl")
    assert len(cli.json("hint", "17", "-s", typo)["help"]) == 2


def test_a_hint_without_a_step_is_for_the_next_one_that_fails(cli: Cli, typo: str) -> None:
    assert cli.json("hint", "-s", typo)["step"] == cli.json("next", "-s", typo, rc=1)["step"] == "17"


def test_a_hint_about_a_step_that_waits_is_about_the_one_to_mend_first(cli: Cli, typo: str) -> None:
    said = cli("hint", "18", "--level", "2", "-s", typo).stdout
    assert said.startswith("Step 18 waits for step 17: fix that first.")
    assert "what is wrong" in said
    assert "where to look" in said
    assert "the idea" not in said


def test_there_is_nothing_to_hint_at_when_a_step_holds(cli: Cli, engine: Engine, finished: dict[str, Any]) -> None:
    name = finished["student"]
    assert cli("hint", "19", "-s", name).stdout == "Step 19 passes, so there is no hint.\n"
    assert "No check fails" in cli("hint", "-s", name, rc=2).stderr
    assert not records.read(engine, name, "hints")


def test_a_login_that_failed_is_told_until_the_client_gets_in(cli: Cli, finished: dict[str, Any]) -> None:
    name, password = finished["student"], finished["password"]

    def client(user: str, then: str = "") -> None:
        """Log in from host, as a mail client that stays until it has read a header."""
        typed = f"(echo 'a LOGIN {user} {password}'; sleep 0.5; printf '{then}z LOGOUT\\r\\n'; sleep 0.2)"
        cli.inside(name, "host", f"{typed} | nc -q 3 -w 5 vm3.{finished['domain']} 143")

    cli.inside(name, "vm3", f"echo hello | mail -s hello {name}")
    client(f"{name}@{finished['domain']}")
    wrong = f"tried to log in as {name}@{finished['domain']} at "
    why = f" and was refused: the user name on vm3 is {name}, without the domain"
    for _ in range(2):  # labenv's own login, which works, is no answer to that
        [result] = cli.json("check", "37", "-s", name)["results"]
        assert (result["status"], wrong in result["evidence"], why in result["evidence"]) == ("warn", True, True)
    said = cli.json("next", "-s", name)
    assert (said["step"], len(said["attempts"])) == ("", 1)
    assert why in said["attempts"][0]
    assert why in cli("next", "-s", name).stdout.replace("\n", " ")
    hint = cli.json("hint", "37", "-s", name)
    assert (hint["level"], why in hint["wrong"][0]) == (0, True)
    assert "Step 37 passes, with a warning:" in cli("hint", "37", "-s", name).stdout
    assert why in cli("hint", "-s", name).stdout.replace("\n", " ")
    client(name, "b SELECT INBOX\\r\\nc FETCH 1 BODY.PEEK[HEADER]\\r\\n")
    [result] = cli.json("check", "37", "-s", name)["results"]
    assert (result["status"], result["evidence"].startswith("a client")) == ("pass", False)
    assert cli("hint", "37", "-s", name).stdout == "Step 37 passes, so there is no hint.\n"


def test_a_hint_about_a_persons_step_or_none_is_refused(cli: Cli, finished: dict[str, Any]) -> None:
    name = finished["student"]
    assert "it has no check" in cli("hint", "44", "-s", name, rc=2).stderr
    assert "has no step 99" in cli("hint", "99", "-s", name, rc=2).stderr


def test_nothing_is_left_to_mend_at_the_end_of_the_sheet(cli: Cli, finished: dict[str, Any]) -> None:
    document = cli.json("next", "-s", finished["student"])
    assert document["step"] == document["machine"] == ""
    assert "All checks pass" in document["sentence"]
    assert "32" in document["left"]
