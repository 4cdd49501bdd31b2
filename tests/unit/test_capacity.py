"""How many servers a class needs: the plan, and how far the model behind it knows what was measured."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from labenv.classroom.capacity import asked, need, predicted
from labenv.classroom.capacity.figures import FIGURES, RECORDED, Recorded
from labenv.classroom.capacity.hour import Hour
from labenv.classroom.capacity.need import Need
from labenv.classroom.capacity.plan import Plan, plan
from labenv.classroom.capacity.size import Size, read
from labenv.classroom.folder import load
from labenv.cli.app import app
from labenv.errors import UsageError
from labenv.lab import labs

GIB = 1 << 30
USUAL = Need(machines=3, networks=1, links=0, memory=200 << 20)
SIZES = st.builds(Size, st.integers(1, 16), st.integers(2, 64).map(lambda gib: gib * GIB))


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["class", "plan", *words])
    said = f"{done.exception}" if isinstance(done.exception, UsageError) else ""
    return done.exit_code, done.output + said


def planned(*words: str) -> list[dict[str, object]]:
    code, said = run(*words, "--json")
    assert code == 0, said
    plans: list[dict[str, object]] = json.loads(said)["plans"]
    return plans


# -- what was measured ---------------------------------------------------------------------------------------------------------------


FITTED = [there for there in RECORDED if there.fitted]
PREDICTED = [there for there in RECORDED if not there.fitted]
LARGEST = max(FITTED, key=lambda there: there.environments)


def named(there: Recorded) -> str:
    return f"{there.environments} with {there.machines} machines"


@pytest.mark.parametrize("there", PREDICTED, ids=named)
def test_the_model_predicts_what_it_was_not_fitted_to_within_a_fifth(there: Recorded) -> None:
    assert predicted.of(there) == pytest.approx(there.seconds, rel=0.2)


def test_classes_of_12_and_30_are_among_what_it_was_not_fitted_to() -> None:
    assert {12, 30} <= {there.environments for there in PREDICTED} - {there.environments for there in FITTED}


@pytest.mark.parametrize("there", FITTED, ids=named)
def test_the_model_knows_what_it_was_fitted_to(there: Recorded) -> None:
    assert predicted.of(there) == pytest.approx(there.seconds, rel=0.1)


def test_how_much_slower_a_full_engine_is_follows_from_the_largest_class_that_was_measured() -> None:
    low, high = 0.0, 0.1
    for _ in range(20):
        growth = (low + high) / 2
        takes = predicted.of(LARGEST, replace(FIGURES, up_growth=growth))
        low, high = (growth, high) if takes < LARGEST.seconds else (low, growth)
    assert low == pytest.approx(FIGURES.up_growth, rel=0.15)


def test_without_that_growth_the_largest_class_would_be_predicted_too_early() -> None:
    flat = replace(FIGURES, up_growth=0.0, up_engine_growth=0.0)
    assert predicted.of(LARGEST, flat) < 0.85 * LARGEST.seconds


# -- the plan --------------------------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(SIZES, st.integers(1, 1000), st.integers(1, 256))
def test_more_memory_never_needs_more_servers(size: Size, students: int, more: int) -> None:
    larger = replace(size, memory=size.memory + more * GIB)
    assert plan(students, larger, USUAL).servers <= plan(students, size, USUAL).servers


@settings(max_examples=15, deadline=None)
@given(SIZES, st.integers(1, 1000), st.integers(1, 500))
def test_more_students_never_need_fewer_servers(size: Size, students: int, more: int) -> None:
    assert plan(students + more, size, USUAL).servers >= plan(students, size, USUAL).servers


@settings(max_examples=15, deadline=None)
@given(SIZES, st.integers(1, 1000))
def test_when_one_server_fails_the_others_have_enough_of_everything(size: Size, students: int) -> None:
    there = plan(students, size, USUAL)
    assert there.servers >= 2
    assert there.each_after_failure <= min(there.most.values())
    assert there.each_after_failure * USUAL.memory <= size.room


def test_who_comes_all_at_once_needs_more_servers_than_who_comes_one_by_one() -> None:
    size = Size(8, 512 * GIB)

    def servers(hour: Hour) -> int:
        return plan(1000, size, USUAL, hour, patience=30).servers

    assert servers(Hour(within=0)) > servers(Hour(within=600))


def test_what_runs_out_first_is_named() -> None:
    assert plan(300, Size(16, 8 * GIB), USUAL).binds == "memory"
    assert plan(300, Size(1, 512 * GIB), USUAL).binds == "arrivals"
    assert plan(300, Size(64, 512 * GIB), replace(USUAL, links=8)).binds == "links"


def test_the_limits_of_the_kernel_are_raised_where_they_are_too_small_only() -> None:
    few = plan(6, Size(2, 8 * GIB), USUAL)
    assert few.sysctls == {}
    many = plan(300, Size(16, 64 * GIB), USUAL)
    machines = 3 * many.each_after_failure
    assert many.sysctls["fs.inotify.max_user_instances"] >= 3 * machines
    assert all(value & (value - 1) == 0 for value in many.sysctls.values())


def test_each_wait_of_a_plan_is_within_what_was_asked_for() -> None:
    there: Plan = plan(500, Size(4, 64 * GIB), USUAL, patience=20)
    assert there.wait.most <= 20


@pytest.mark.parametrize(
    "text", ["", "8", "8x", "x32g", "8x32", "0x32g", "8x0g", "-8x32g", "8x32k", "8 x 32g", "８x32g", "8x32gg"]
)
def test_what_is_no_size_of_a_server_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="8x32g"):
        read(text)


@given(st.integers(1, 9999), st.integers(1, 99_999))
def test_a_size_is_written_as_it_is_read(processors: int, gib: int) -> None:
    size = Size(processors, gib * GIB)
    assert read(str(size)) == size
    assert read(f"{processors}X{gib}GiB") == size


def test_students_come_on_average_as_they_are_drawn() -> None:
    hour, chance = Hour(), Random(3)
    drawn = sorted(hour.arrival(chance) for _ in range(20_000))
    for place, expected in enumerate(hour.expected(20)):
        assert drawn[1000 * place + 500] == pytest.approx(expected, abs=25)


# -- what an environment takes -----------------------------------------------------------------------------------------------------


def test_the_world_outside_is_one_more_machine_on_one_more_network() -> None:
    lab = labs.load(labs.default())
    usual, with_it = need.of(lab), need.of(lab, ["outside"])
    assert (with_it.machines, with_it.networks, with_it.links) == (usual.machines + 1, usual.networks + 1, 1)
    assert with_it.memory > usual.memory


def test_a_desktop_brings_what_it_needs_for_those_who_open_one() -> None:
    lab = labs.load(labs.default())
    usual, some, all_ = need.of(lab), need.of(lab, desktops=0.5), need.of(lab, desktops=1)
    assert usual.memory < some.memory < all_.memory
    assert all_.machines == usual.machines + 1, "and the world outside"
    assert all_.networks == usual.networks + 2, "its page has one of its own"
    assert some.machines == usual.machines + 0.5


def test_a_lab_without_a_desktop_has_none_to_open() -> None:
    lab = labs.load("lab3")
    assert need.of(lab, desktops=1) == need.of(lab)


# -- the class ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"student{number}\n" for number in range(40))
    (tmp_path / "roster.csv").write_text(f"id\n{rows}", encoding="utf-8")
    (tmp_path / "class.yaml").write_text(
        "labs:\n  - lab: lab4b\n  - lab: lab3\n    with: [outside]\n", encoding="utf-8"
    )
    return tmp_path


def test_the_class_at_hand_is_planned_for_with_the_lab_that_needs_most(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    code, said = run()
    assert code == 0
    assert "40 students of lab3. An environment has 5 machines on 2 networks" in said
    assert "40 students of lab4b" in run("--lab", "lab4b")[1]
    assert "7 students of lab3" in run("-c", ".", "--students", "7")[1]
    assert "7 students of lab4b" in run("--students", "7")[1], "of no class"


def test_a_class_of_which_fewer_may_run_at_once_needs_servers_for_those(folder: Path) -> None:
    with (folder / "class.yaml").open("a", encoding="utf-8") as file:
        file.write("limits:\n  at once: 25\n")
    assert asked.of_class(load.load(folder), None, None, False, 0.0).students == 25


def test_a_plan_is_a_table_and_says_what_to_raise() -> None:
    code, said = run("--students", "300", "--outside", "--node", "8x32g")
    assert code == 0
    assert "300 students of lab4b. An environment has 4 machines on 2 networks" in said
    assert "8x32g" in said
    assert "On each server, as root: sysctl -w fs.inotify.max_user_instances=" in said


def test_a_plan_as_json_has_the_same_for_each_size() -> None:
    small, large = planned("--students", "300", "--node", "4x16g", "--node", "8x32g")
    assert (small["size"], large["size"]) == ("4x16g", "8x32g")
    assert (
        small.keys()
        == large.keys()
        == {
            *("size", "servers", "binds", "most", "each", "each_after_failure", "wait", "sysctls"),
        }
    )


def test_a_simulated_hour_stands_beside_the_plan() -> None:
    code, said = run("--students", "60", "--node", "4x16g", "--simulate", "--json")
    document = json.loads(said)
    assert code == 0
    assert {there["environments"] for there in document["model"]} == {12, 30}
    assert document["model"][0].keys() == {"environments", "machines", "processors", "predicted", "measured"}
    assert document["plans"][0]["hour"]["students"] == 60
    code, said = run("--students", "60", "--node", "4x16g", "--simulate")
    assert code == 0
    assert "A server is drained after 25 minutes; one fails after 45." in said
    assert "The same model, held against measurements" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--students 0", "0 is no number of students"),
        ("--students -3", "-3 is no number of students"),
        ("--students 100001", "from 1 to 100000"),
        ("--students 3 --node large", "is no size of a server"),
        ("--students 3 --node 2x1g", "has no room for one environment"),
        ("--students 3 --wait 1", "even a single student waits for longer than 1 s"),
        ("--students 3 --wait 0", "is no time to wait"),
        ("--students 3 --wait nan", "is no time to wait"),
        ("--students 3 --desktop-share 1.5", "is no part of the students"),
        ("--students 3 --desktop-share nan", "is no part of the students"),
        ("--students 3 --within soon", "is no span of time"),
        ("--students 3 --within 2h", "Give at most 1h"),
        ("--students 3 --lab nosuch", "There is no lab 'nosuch'"),
        ("", "For how many students?"),
        ("-c nosuch", "is not the folder of a class"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_a_sentence(
    words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["class", "plan", *words.split()])
    assert isinstance(done.exception, UsageError), done.output
    assert done.exception.exit_code == 2
    assert said in str(done.exception)
