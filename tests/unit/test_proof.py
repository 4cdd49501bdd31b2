"""The parts of a proof that need no engine: what differs from what a lab says, what is judged, and what need not be judged again."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labenv import resources
from labenv.checks.results import CheckResult, Status
from labenv.errors import EngineError, UsageError
from labenv.lab import labs, marks, model
from labenv.lab.model import Lab
from labenv.lab.mutations import Mutation
from labenv.proof import crew, names, verdict, whole
from labenv.proof.book import Book
from labenv.proof.crew import Crew
from labenv.proof.force import Facts
from labenv.proof.rows import Outcome, Row, chosen, rows

LAB = labs.load("lab4b")
FAULT = Mutation("typo", "A typo", "17", ("vm2",), "true", trips=("17/has_a_relay",), warns=(), says=("vm33",))
VARIANT = replace(FAULT, trips=(), says=(), warns=("9/origin",))


def result(check: str, status: Status, said: str = "seen", machine: str = "vm2") -> CheckResult:
    step, name = check.split("/")
    return CheckResult(step, name, machine, "", status, said, "")


@pytest.mark.parametrize(
    ("mutation", "results", "said"),
    [
        (FAULT, [result("17/has_a_relay", "fail", "vm33"), result("9/origin", "warn")], []),
        (FAULT, [result("17/has_a_relay", "pass", "vm33 vm33")], ["did not fail", "nothing says 'vm33'"]),
        (
            FAULT,
            [result("17/has_a_relay", "fail", "vm33"), result("9/origin", "fail", "why")],
            ["9/origin failed: why"],
        ),
        (replace(FAULT, trips=("17",)), [result("17/other", "fail", "vm33")], []),
        (
            replace(FAULT, trips=("9/origin@vm3",), says=()),
            [result("9/origin", "fail", machine=name) for name in ("vm2", "vm3")],
            ["9/origin@vm2 failed"],
        ),
        (
            replace(FAULT, says=(), waits=("9/origin", "9/other")),
            [
                result("17/x_relay", "pass"),
                result("17/has_a_relay", "fail"),
                result("9/origin", "skip"),
                result("9/other", "pass"),
            ],
            ["9/other did not wait"],
        ),
        (VARIANT, [result("9/origin", "warn")], []),
        (
            VARIANT,
            [result("9/origin", "pass"), result("17/x", "warn", "why")],
            ["17/x warned: why", "9/origin did not"],
        ),
    ],
)
def test_what_the_checks_say_is_compared_with_what_a_mutation_says(
    mutation: Mutation, results: list[CheckResult], said: list[str]
) -> None:
    found = verdict.of_mutation(mutation, tuple(results))
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))


def at(stage: str, **other: Status) -> list[CheckResult]:
    """Results as they are at a stage, but for a check of these steps (named s17)."""

    def one(step: model.Step) -> CheckResult:
        status: Status = "pass" if LAB.reached(step.stage, stage) or step.is_for_a_person else "fail"
        return result(f"{step.id}/check", other.get(f"s{step.id}", status))

    return [one(step) for step in LAB.steps.values()]


def test_exactly_the_steps_of_later_stages_do_not_pass_at_a_stage() -> None:
    def said(results: list[CheckResult]) -> str:
        return "\n".join(verdict.of_stage(LAB, "relay", tuple(results)))

    assert said(at("relay")) == ""
    assert said(at("relay", s17="fail")) == "17/check@vm2 fails (seen), but stage relay has step 17"
    early = "step 31 passes already, but it belongs to the later stage imap"
    assert said(at("relay", s31="pass")).startswith(f"{early}, and step 29, which it needs, fails.")
    assert 'it must wait: raise Waits("29")' in said(at("relay", s31="pass"))
    assert early in said(at("relay", s29="pass", s31="pass")).splitlines()
    assert "31/check@vm2 waits (seen), and that step does not fail itself" in said(at("relay", s31="skip"))
    waiting = [replace(r, status="skip", evidence="waits for step 29: …") if r.step == "31" else r for r in at("relay")]
    assert said(waiting) == ""
    assert "only a person can judge" in said(at("relay", s5="fail"))
    assert said(at("relay")[1:]) == "step 0 has no result"
    crashed = [replace(one, evidence="Traceback") if one.step == "0" else one for one in at("relay")]
    assert said(crashed) == "0/check@vm2 crashed: Traceback"
    silent = [replace(one, evidence="") if one.step == "0" else one for one in at("relay")]
    assert said(silent) == "0/check@vm2 says nothing about what it saw"


def test_rows_are_chosen_by_kind_and_by_name() -> None:
    every = rows(LAB)
    assert {row.kind for row in every} == {"stage", "solution", "fault", "variant", "drill"}
    assert len({row.id for row in every}) == len(every)
    assert chosen(every, (), ()) == every
    assert {row.kind for row in chosen(every, ["mutations", "stages"], ())} == {"fault", "variant", "stage"}
    assert [row.id for row in chosen(every, ["stages"], ["relay$", "^stage/lda"])] == ["stage/relay", "stage/lda"]
    for what, only, said in (
        (["steps"], [], "Choose among: stages"),
        ([], ["("], "not a valid regular expression"),
        (["drills"], ["stage/"], "no row of drills matches stage/"),
    ):
        with pytest.raises(UsageError, match=said):
            chosen(every, what, only)


def test_a_check_that_no_row_saw_failing_never_fails() -> None:
    every = {f"{step}/{name}" for step, checks in marks.checks(LAB.folder).items() for name in checks}
    gone = "17/vm2_has_a_relay_host"
    assert gone in every
    assert whole.never_failing(LAB, [Outcome("stage/lab4a", failed=tuple(every))]) == []
    [said] = whole.never_failing(LAB, [Outcome("stage/lab4a", failed=tuple(every - {gone}))])
    assert said.startswith("step 17: the check vm2_has_a_relay_host never fails")
    assert whole.without_fault(LAB) == []


def test_a_check_that_only_warns_is_of_use_if_a_variant_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "mylab"
    shutil.copytree(resources.labs() / "lab4b", folder, ignore=shutil.ignore_patterns("__pycache__"))
    gone = "17/vm2_has_a_relay_host"
    tree = model.parsed(folder / "mutations.yaml")
    for fault in tree["faults"]:
        fault["trips"] = [check for check in fault["trips"] if check.partition("@")[0] not in (gone, "17")] or ["9"]
    (folder / "mutations.yaml").write_text(json.dumps(tree))
    lab = model.read(folder)
    every = {f"{step}/{name}" for step, checks in marks.checks(folder).items() for name in checks}
    assert any(gone in variant["warns"] for variant in tree["variants"] if "warns" in variant)
    assert whole.never_failing(lab, [Outcome("stage/lab4a", failed=tuple(every - {gone}))]) == []
    assert not any("vm2_has_a_relay_host" in note for note in whole.without_fault(lab))


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Book]:
    """The book of a copy of a lab, read again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shutil.copytree(resources.labs() / "lab4b", tmp_path / "mylab", ignore=shutil.ignore_patterns("__pycache__"))
    return lambda: Book(model.read(tmp_path / "mylab"), ["labenv/base:1"])


def test_what_passed_counts_until_something_about_it_changes(book: Callable[[], Book], tmp_path: Path) -> None:
    kept = ("stage/relay", "fault/postfix-stopped", "fault/postfix-disabled", "drill/home-is-closed")
    for row in kept:
        book().keep(Outcome(row, failed=("0/x",), notes=("said",), seconds=1.5, tries=2))
    assert set(book().passed()) == set(kept)
    assert book().passed()["stage/relay"] == Outcome(
        "stage/relay", failed=("0/x",), notes=("said",), seconds=1.5, tries=2, earlier=True
    )

    def change(file: str, old: str, new: str) -> set[str]:
        path = tmp_path / "mylab" / file
        path.write_text(path.read_text().replace(old, new, 1))
        return set(kept) - set(book().passed())

    assert change("steps.fr.yaml", "vm2", "vm3") == set()
    assert change("mutations.yaml", "do: systemctl stop postfix", "do: systemctl kill postfix") == {kept[1]}
    assert change("drills/home-is-closed.yaml", "level: 2", "level: 3") == {kept[1], kept[3]}
    book().forget([Row("fault", "postfix-disabled", "")])
    assert set(book().passed()) == {kept[0]}
    assert change("checks/common.py", "", "# looks elsewhere\n") == set(kept)


def test_a_line_of_a_killed_run_and_a_strange_one_are_no_outcomes(book: Callable[[], Book], tmp_path: Path) -> None:
    book().keep(Outcome("stage/relay"))
    [file] = (tmp_path / "state/labenv/proofs").iterdir()
    line = file.read_text()
    file.write_text(f'{line[:-20]}\n{line}[]\n{{"digest": 1}}\n')
    assert set(book().passed()) == {"stage/relay"}


def test_a_run_holds_its_names_until_it_ends() -> None:
    with names.claimed() as claim:
        run = claim.prefix.split("-")[2]
        assert names._is_held(names._lock(run))
        assert claim.student() != claim.student()
    assert not names._is_held(names._lock(run))


def test_as_many_environments_as_there_is_room_for() -> None:
    assert crew.size(4, 7) == 7
    assert 1 <= crew.size(4, None) <= 2 * (os.cpu_count() or 1)
    assert crew.size(10**6, None) == 1


def test_processes_that_die_at_once_end_the_proof_with_their_last_words() -> None:
    heard: list[Outcome] = []
    todo = [Row("stage", f"{number}", "") for number in range(5)]
    with names.claimed() as claim, pytest.raises(EngineError, match="There is no lab 'nowhere'"):
        Crew("nowhere", claim).judge(todo, 1, heard.append)
    assert [one.row for one in heard] == ["stage/0", "stage/1"]


def test_what_is_in_force_is_compared_line_by_line() -> None:
    one = Facts({"vm2": ("a", "b", "b"), "vm3": ("c",)})
    assert one.differences(one) == []
    assert one.differences(Facts({"vm2": ("a", "x"), "vm3": ("c",)})) == [
        "on vm2 is missing: b",
        "on vm2 is too much: x",
    ]
    assert one.differences(Facts({"vm2": ("a", "b"), "vm3": ("c",)})) == [
        "on vm2 some lines are there more often than in the other"
    ]
    many = Facts({"vm2": tuple(map(str, range(9)))})
    assert many.differences(Facts({"vm2": ()}))[-1] == "on vm2 4 more lines differ"


def test_a_lab_without_mutations_and_drills_has_rows_for_its_stages(tmp_path: Path) -> None:
    shutil.copytree(resources.labs() / "lab4b", tmp_path / "mylab", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mylab/mutations.yaml").unlink()
    shutil.rmtree(tmp_path / "mylab/drills")
    lab: Lab = model.read(tmp_path / "mylab")
    assert {row.kind for row in rows(lab)} == {"stage", "solution"}
    assert len(whole.without_fault(lab)) > 10
