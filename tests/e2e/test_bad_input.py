"""Bad input gets a sentence and its exit code, and nothing half done stays."""

from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.engine.labels import LABEL
from labenv.lab import labs, topology
from tests.e2e.conftest import Cli

WRONG: list[tuple[tuple[str, ...], str]] = [
    (("up", "ASmith"), "upper-case"),
    (("up", "a b"), "contains ' '"),
    (("up", "$(touch x)"), "contains '$'"),
    (("up", "{{ 7 * 7 }}"), "cannot be used"),
    (("up", "a\nb"), "cannot be used"),
    (("up", "x" * 64), "64 characters"),
    (("up", ""), "is empty"),
    (("up", "ünal"), "outside ASCII"),
    (("up", "root"), "reserved"),
    (("up", "tt", "--net", "256"), "outside 0-255"),
    (("up", "tt", "--net", "-1"), "outside 0-255"),
    (("up", "tt", "--net", "ninety"), "not a valid int"),
    (("up", "tt", "--first", "tt"), "the same as the student id"),
    (("up", "tt", "--first", "Zoé"), "outside ASCII"),
    (("up", "tt", "--at", "lunch"), "no stage 'lunch'"),
    (("up", "tt", "--lab", "lab99"), "no lab 'lab99'"),
    (("up", "tt", "--topology", "/nowhere.yaml"), "cannot be read"),
    (("render", "/proc/nope", "-s", "tt"), "cannot be written"),
    (("images", "import", "/nowhere.tar.gz"), "no file"),
    (("down", "asmith15"), "down does not take 'asmith15'. If it is a student's id, type -s before it: -s asmith15"),
    (("drill", "report", "x"), "drill report does not take 'x'. If it is a student's id, type -s before it: -s x"),
    (("down", "a", "b"), "Got unexpected extra argument(s) (a b)"),
    (("images", "list", "x"), "Got unexpected extra argument(s) (x)"),
    (("when",), "when needs CHECK (a step, such as 17, or a check's name from --json). Example: labenv when 17"),
    (("exec", "vm2"), "exec needs -- CMD… (the command and its arguments, after `--`). Example: labenv exec vm3"),
    (
        ("drill", "diagnose"),
        "drill diagnose needs LAYER (a layer that `labenv drill status` lists)",
    ),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(map(ascii, a)) for a, _ in WRONG])
def test_a_wrong_word_is_refused_and_nothing_made(
    cli: Cli, engine: Engine, arguments: tuple[str, ...], said: str
) -> None:
    done = cli(*arguments, rc=2)
    assert said in done.stderr
    assert done.stdout == ""
    assert not engine.api.containers(all=True, filters={"label": f"{LABEL}=tt"})
    assert not engine.api.networks(filters={"label": f"{LABEL}=tt"})


def test_a_hand_edited_topology_with_an_unknown_key_is_refused(cli: Cli, engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        topology.file_of(labs.load("lab4b"))
        .read_text()
        .replace("    image: host\n", "    image: host\n    privileged: true\n")
    )
    said = cli("up", "tt", "--topology", str(file), rc=2).stderr
    assert "privileged" in said
    assert str(file) in said
    assert not engine.api.networks(filters={"label": f"{LABEL}=tt"})


def test_an_unknown_machine_or_step_is_named_with_those_there_are(cli: Cli, finished: dict[str, Any]) -> None:
    student = finished["student"]
    assert "host, vm2, vm3" in cli("exec", "-s", student, "vm9", "--", "true", rc=2).stderr
    assert "11b" in cli("check", "-s", student, "999", rc=2).stderr


def test_a_student_without_an_environment_is_told_how_to_make_one(cli: Cli) -> None:
    assert "labenv up" in cli("check", "-s", "nobody-here", rc=3).stderr


def test_a_folder_with_somebodys_files_is_not_rendered_into(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    assert "not an empty folder" in cli("render", str(tmp_path), "-s", "tt", rc=2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_engine_that_is_not_there_is_named(cli: Cli) -> None:
    nowhere = Cli({"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    for command in (("up", "tt"), ("status",), ("down", "-s", "tt"), ("images", "list")):
        assert "/nowhere/docker.sock" in nowhere(*command, rc=3).stderr


def test_a_broken_bundle_is_refused_before_the_engine_sees_it(cli: Cli, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"\x1f\x8b\x08" + b"nonsense" * 100)
    assert "not a complete labenv bundle" in cli("images", "import", str(broken), rc=2).stderr
