"""Who has an environment: one node at a time, whoever comes late changes nothing, and a student is told what was lost."""

import json
import stat
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labenv.errors import LabenvError, UsageError
from labenv.swarm import leases
from labenv.swarm.leases import Gone, Leases, Move

FIRST, SECOND, THIRD = (f"20261129T120{number}00000000-0000000{number}" for number in range(3))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    return tmp_path / "labenv" / "swarm" / "leases"


@pytest.fixture
def held() -> Leases:
    return Leases()


def began(held: Leases, node: str = "id1", student: str = "anna", of: str = "ops") -> leases.Lease:
    return held.begin(student, of, node, node.replace("id", "n"))[0]


def at(student: str = "anna") -> leases.Lease:
    return leases.read(student) or pytest.fail("there is no lease")


def test_a_node_has_an_environment_from_when_it_begins_until_it_ends(held: Leases) -> None:
    assert leases.read("anna") is None
    lease, is_stale = held.begin("anna", "ops", "id1", "n1")
    assert (lease.generation, lease.node, lease.name, is_stale, lease.is_up) == (1, "id1", "n1", False, False)
    held.came_up("anna", 1, {"up": 2.5})
    assert at().is_up
    assert at().parts == {"up": 2.5}
    held.end("anna", 1)
    assert (at().node, at().name, at().is_up, at().moves) == ("", "n1", False, ())
    assert leases.everything() == {"anna": at()}
    assert (leases.everything("ops"), leases.everything("other")) == ({"anna": at()}, {})


def test_a_task_that_begins_again_on_its_node_moves_nothing(held: Leases) -> None:
    began(held)
    lease, is_stale = held.begin("anna", "ops", "id1", "n1")
    assert (lease.generation, is_stale, lease.moves) == (2, False, ())


def test_what_went_on_elsewhere_after_an_end_lost_nothing(held: Leases) -> None:
    held.pushed("anna", began(held).generation, FIRST)
    pushed = at().pushed
    held.end("anna", 1)
    lease, is_stale = held.begin("anna", "ops", "id2", "n2")
    assert is_stale, "nothing should be there any more; what is must be looked at"
    [move] = lease.moves
    assert (move.source, move.target, move.lost, move.pushed) == ("n1", "n2", False, pushed)
    assert lease.stamp == FIRST
    assert list(leases.told(lease)) == []
    assert leases.news(lease) is None


def test_what_comes_back_to_the_node_where_it_ended_did_not_move(held: Leases) -> None:
    held.end("anna", began(held).generation)
    assert began(held).moves == ()


def test_what_went_on_elsewhere_without_an_end_was_lost(held: Leases) -> None:
    held.pushed("anna", began(held).generation, FIRST)
    held.heard("id1")
    lease = began(held, "id2")
    [move] = lease.moves
    assert (move.source, move.target, move.lost) == ("n1", "n2", True)
    assert move.seen >= move.pushed
    assert leases.news(lease) == move
    old = replace(move, at=(datetime.now(UTC) - timedelta(hours=13)).isoformat())
    assert leases.news(replace(lease, moves=(old,))) is None


def test_what_is_stale_stays_so_until_it_comes_up(held: Leases) -> None:
    began(held)
    for generation in (2, 3):
        lease, is_stale = held.begin("anna", "ops", "id2", "n2")
        assert (lease.generation, is_stale, len(lease.moves)) == (generation, True, 1)
    held.came_up("anna", 3, {})
    assert not held.begin("anna", "ops", "id2", "n2")[1]


def test_whoever_had_it_before_changes_nothing(held: Leases) -> None:
    began(held)
    began(held, "id2")
    before = at()
    for late in (
        lambda: held.pushed("anna", 1, FIRST),
        lambda: held.came_up("anna", 1, {}),
        lambda: held.failed("anna", 1, "no"),
        lambda: held.end("anna", 1),
        lambda: held.check("anna", 1),
    ):
        with pytest.raises(Gone, match="anna's environment is on n2 now"):
            late()
    assert at() == before


def test_a_push_that_comes_after_the_end_does_not_count(held: Leases) -> None:
    held.pushed("anna", began(held).generation, SECOND)
    held.end("anna", 1)
    with pytest.raises(Gone, match="was ended"):
        held.pushed("anna", 1, THIRD)
    assert at().stamp == SECOND
    held.end("anna", 1)  # told twice, because the first answer was lost


def test_of_two_pushes_the_one_counts_that_was_made_later(held: Leases) -> None:
    generation = began(held).generation
    held.pushed("anna", generation, SECOND)
    assert held.pushed("anna", generation, FIRST).stamp == SECOND
    assert at().stamp == SECOND
    assert held.pushed("anna", generation, THIRD).stamp == THIRD


def test_a_node_whose_clock_is_behind_pushes_nevertheless(held: Leases) -> None:
    held.pushed("anna", began(held).generation, SECOND)
    time.sleep(0.002)
    assert held.pushed("anna", began(held, "id2").generation, FIRST).stamp == FIRST


def test_what_has_no_copy_any_more_begins_again(held: Leases) -> None:
    held.pushed("anna", began(held).generation, FIRST)
    lease, _ = held.begin("anna", "ops", "id2", "n2", lambda stamp: stamp != FIRST)
    assert (lease.stamp, lease.pushed, lease.moves[-1].pushed) == ("", "", "")
    assert "It began again from the start" in " ".join(leases.told(lease))


def test_another_class_waits_until_nobody_has_it(held: Leases) -> None:
    held.pushed("anna", began(held).generation, FIRST)
    with pytest.raises(UsageError, match="anna has an environment of the class ops") as error:
        began(held, "id2", of="other")
    assert not isinstance(error.value, Gone)
    held.end("anna", 1)
    lease = began(held, "id2", of="other")
    assert (lease.class_id, lease.generation, lease.stamp, lease.moves) == ("other", 2, "", ())


def test_what_was_removed_for_good_is_forgotten_but_for_its_generation(held: Leases) -> None:
    assert held.forget("anna") == ""
    assert leases.read("anna") is None
    held.pushed("anna", began(held).generation, FIRST)
    assert held.forget("anna") == FIRST
    assert at().is_over
    assert (at().generation, at().node, at().stamp) == (2, "", "")
    with pytest.raises(Gone):
        held.pushed("anna", 1, SECOND)
    lease, is_stale = held.begin("anna", "ops", "id1", "n1")
    assert (lease.generation, lease.stamp, is_stale) == (3, "", True)
    assert lease.moves == ()


def test_what_was_found_later_is_told_with_the_move_that_lost_it(held: Leases) -> None:
    held.kept_aside("anna", "n1", "aside-n1")
    assert leases.read("anna") is None
    began(held)
    began(held, "id2")
    held.kept_aside("anna", "n3", "aside-n3")
    assert at().moves[-1].aside == ""
    held.kept_aside("anna", "n1", "aside-n1")
    assert at().moves[-1].aside == "aside-n1"
    held.kept_aside("anna", "n1", "later")
    assert at().moves[-1].aside == "aside-n1"


def test_why_it_did_not_come_up_is_told_until_it_does(held: Leases) -> None:
    generation = began(held).generation
    held.failed("anna", generation, "no\x1b[31m\nroom" + "!" * 2000)
    assert at().failed.startswith("no\\x1b[31m room!")
    assert len(at().failed) == 1000
    held.came_up("anna", generation, {})
    assert at().failed == ""


def test_only_the_last_moves_are_kept(held: Leases) -> None:
    for number in range(30):
        began(held, f"id{number}")
    assert len(at().moves) == 20
    assert at().moves[-1].target == "n29"


def told(**more: str) -> str:
    move = Move("n1", "n2", "2026-11-29T12:10:00.000+00:00", "2026-11-29T12:00:00.000+00:00", lost=True)
    return " ".join(leases.told(leases.Lease("anna", "ops", moves=(replace(move, **more),))))  # type: ignore[arg-type]


def test_a_student_is_told_what_was_lost_and_when() -> None:
    assert told() == (
        "The server n1 was lost, and your environment went on on n2 at 2026-11-29 12:10. "
        "It is as it was at 2026-11-29 12:00: up to 10 minutes of your work may be missing. "
        "If n1 comes back, what was there is kept as a save."
    )
    said = told(seen="2026-11-29T12:03:10.000+00:00", aside="aside-n1-2026")
    assert "was lost at about 2026-11-29 12:03, and" in said
    assert "up to 4 minutes of your work" in said
    assert said.endswith("what was there is kept as a save. To go back to it: labenv restore aside-n1-2026")
    assert "up to 1 minute of your work" in told(seen="2026-11-29T12:00:01.000+00:00")
    assert "up to 1 minute of your work" in told(seen="2026-11-29T11:59:00.000+00:00")
    assert "It began again from the start, because there was no copy of it." in told(pushed="")
    assert list(leases.told(leases.Lease("anna", "ops"))) == []


def test_a_time_of_today_is_told_without_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leases.clock("2026-11-29T12:10:00+00:00") == "2026-11-29 12:10"
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert leases.clock("2026-11-29T12:10:00+00:00") == "2026-11-29 21:10"
    assert len(leases.clock(leases.now())) == len("21:10")


def test_many_that_begin_at_once_get_generations_of_their_own(held: Leases) -> None:
    found: list[int] = []
    start = threading.Barrier(24)

    def begin(number: int) -> None:
        start.wait()
        found.append(began(held, f"id{number % 5}", f"s{number % 3}").generation)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(number // 3 + 1 for number in range(24))
    assert {lease.generation for lease in leases.everything().values()} == {8}


@pytest.mark.parametrize(
    "harm",
    [
        "",
        "{",
        "[]",
        "null",
        '{"student": "anna"}',
        '{"student": "anna", "class_id": "ops", "moves": [{"from": "n1"}]}',
        '{"student": "anna", "class_id": "ops", "moves": [], "generation": "1"}',
        '{"student": "anna", "class_id": "ops", "moves": [], "generation": true}',
        '{"student": "anna", "class_id": "ops", "moves": [], "node": 1}',
        '{"student": "anna", "class_id": "ops", "moves": [], "pushed": "noon"}',
        '{"student": "anna", "class_id": "ops", "moves": [], "later": 1}',
    ],
)
def test_a_damaged_lease_is_none_and_is_made_again(folder: Path, held: Leases, harm: str) -> None:
    began(held)
    (folder / "anna.json").write_text(harm)
    assert leases.read("anna") is None
    assert leases.everything() == {}
    with pytest.raises(Gone, match="on no node now"):
        held.came_up("anna", 1, {})
    assert began(held).generation == 1


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_an_id_is_never_a_path(folder: Path, text: str) -> None:
    leases.read(text)
    leases.read(f"../{text}")
    assert not folder.parent.exists()


@pytest.mark.parametrize("student", ["../x", "", "Anna", "root", "a/b", "a\0b"])
def test_only_a_student_gets_a_lease(folder: Path, held: Leases, student: str) -> None:
    folder.mkdir(parents=True)
    (folder.parent / "x.json").write_text('{"student": "x", "class_id": "", "moves": []}')
    assert leases.read(student) is None
    with pytest.raises(UsageError):
        held.begin(student, "ops", "id1", "n1")
    with pytest.raises(UsageError):
        held.forget(student)
    assert list(folder.iterdir()) == []


def test_a_name_of_a_node_cannot_move_a_cursor(held: Leases) -> None:
    lease, _ = held.begin("anna", "ops", "id1", "n1\x1b[2J\n" + "x" * 500)
    assert lease.name.startswith("n1\\x1b[2J x")
    assert len(lease.name) == 100


def test_a_lease_is_for_its_user_alone_and_whole_at_any_time(folder: Path, held: Leases) -> None:
    began(held)
    assert stat.S_IMODE((folder / "anna.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "anna.part").write_text("{")  # of a keeper that was killed
    began(held)
    assert json.loads((folder / "anna.json").read_text())["generation"] == 2
    assert not (folder / "anna.part").exists()


def test_a_folder_that_cannot_be_written_is_named_and_lets_the_next_one_in(folder: Path, held: Leases) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file")
    with pytest.raises(LabenvError, match=r"anna\.json cannot be written"):
        began(held)
    folder.unlink()
    assert began(held).generation == 1
