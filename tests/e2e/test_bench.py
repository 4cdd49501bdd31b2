"""The benchmark is a command of the project, and cleans up after itself."""

import pytest
from playwright.sync_api import Browser

from labenv.engine import Engine, save_store
from tests.e2e.conftest import Cli

pytest_plugins = ["tests.e2e.pages"]


@pytest.mark.soak
def test_bench_measures_and_leaves_nothing(cli: Cli, engine: Engine) -> None:
    document = cli.json("bench", "--runs", "1", "--no-cold", "--labs", "2")
    rows = {row["name"]: row for row in document["rows"]}
    assert rows["labenv --help"]["median"] > 0
    assert rows["warm up, until all services answer"]["values"]
    assert rows["check, all at stage done"]["unit"] == "s"
    assert rows["save"]["target"] == 2
    assert rows["restore, with the save before it"]["median"] > 0
    assert rows["added to a warm up by the world outside"]["target"] == 0.3
    assert rows["image of the desktop"]["median"] > 100
    assert rows["labenv desktop, until Thunderbird's window"]["median"] > 0
    assert not [e for e in engine.environments() if e.student.id.startswith("bench-")]
    assert not [save for save in save_store.found(engine) if save.student_id.startswith("bench-")]
    tags = [tag for image in engine.api.images() for tag in image["RepoTags"] or []]
    assert not [tag for tag in tags if tag.startswith("labenv-bench")]


@pytest.mark.soak
def test_a_class_is_measured_from_the_first_evening_to_its_grades(cli: Cli, engine: Engine) -> None:
    rows = cli.json("bench", "--class", "1", "--runs", "1")["rows"]
    assert {row["unit"] for row in rows} == {"s", "MiB"}
    assert [row["name"] for row in rows][-1] == "class grade --replay of the same"
    assert all(row["median"] > 0 for row in rows if row["unit"] == "s")
    assert not [e for e in engine.environments() if e.student.id.startswith("bench-")]


@pytest.mark.soak
def test_pages_of_a_class_are_measured_in_a_real_browser(cli: Cli, engine: Engine, chromium: Browser) -> None:
    del chromium  # it is there
    rows = cli.json("bench", "--pages", "2", "--runs", "1")["rows"]
    assert [(row["unit"], row["target"]) for row in rows] == [("s", 1), ("ms", 50), ("s", 2), ("s", 3), ("MB", 400)]
    assert all(row["median"] > 0 for row in rows)
    assert len(rows[0]["values"]) == 2
    assert not [e for e in engine.environments() if e.student.id.startswith("bench-")]
