"""A lab outside the checkout: begun by `lab new`, with an image of its own, through the commands that a student uses."""

import shutil
from pathlib import Path

import pytest

from labenv.engine import Engine
from labenv.engine.images import Images
from tests.e2e.conftest import Cli


@pytest.fixture
def lab(cli: Cli, tmp_path: Path) -> Path:
    """A new lab, whose server has an image of the lab's own."""
    cli("lab", "new", "t-greet", str(tmp_path / "greet"))
    image = tmp_path / "greet" / "images" / "server"
    (image / "root" / "etc").mkdir(parents=True)
    (image / "root" / "etc" / "own").write_text("made for this lab\n")
    (image / "Dockerfile").write_text("ARG BASE=labenv/base\nFROM ${BASE}\nCOPY root/ /\n")
    topology = tmp_path / "greet" / "topology.yaml"
    topology.write_text(topology.read_text().replace("image: base #", "image: server #", 1))
    return tmp_path / "greet"


def test_a_lab_of_ones_own_goes_through_all_that_a_student_does(
    cli: Cli, engine: Engine, student: str, lab: Path, tmp_path: Path
) -> None:
    assert cli("lab", "lint", str(lab)).stdout == "greet: no errors\n"
    made = cli.json("up", student, "--lab", str(lab), "--at", "start")
    try:
        assert (made["lab"], made["stage"]) == ("t-greet", "start")
        assert cli.inside(student, "server", "cat /etc/own") == "made for this lab\n"
        judged = cli.json("check", "-s", student, rc=1)
        assert {row["check"]: row["status"] for row in judged["results"]} == {
            "answers": "fail",
            "starts_at_boot": "fail",
            "names_the_domain": "skip",
            "finds_server": "fail",
        }
        assert "not from the image" not in cli("check", "-s", student, rc=1).stdout
        assert "nothing waits for callers on server" in cli("hint", "1", "-s", student).stdout
        cli("save", "begun", "-s", student)
        cli("solve", "--all", "-s", student)
        assert cli.json("check", "-s", student)["summary"]["failed"] == 0
        cli("restore", "begun", "-s", student)
        assert cli.json("check", "1", "-s", student, rc=1)["results"][0]["status"] == "fail"
        assert [entry["name"] for entry in cli.json("images", "list")["images"] if entry["name"] == "t-greet-server"]
        assert "t-greet-server" not in cli("images", "remove", "--old", "--dry-run").stdout

        described = lab / "lab.yaml"
        described.write_text(described.read_text() + "# changed\n")
        cli("lab", "trust", str(lab))
        assert (
            f"To make all machines again, after a save: labenv reset -s {student}"
            in cli("up", student, "--no-check").stderr
        )
        described.write_text(described.read_text() + "# and again, which nobody has agreed to\n")
        away = shutil.move(lab, tmp_path / "away")
        gone = cli("check", "-s", student, rc=2).stderr
        assert f"of the lab 't-greet', whose folder {lab} is gone. Put the lab there again" in gone
        assert cli("exec", "-s", student, "server", "--", "hostname").stdout == f"server.{student}.ops\n"
        cli("status", "-s", student)
        cli("save", "alone", "-s", student)
        elsewhere = Cli({"LABENV_LABS": str(away)})
        assert "is not a part of labenv. A lab is a program:" in elsewhere("check", "-s", student, rc=2).stderr
        elsewhere("lab", "trust", "t-greet")
        assert elsewhere.json("check", "1", "-s", student, rc=1)["lab"] == "t-greet"
    finally:
        for save in cli.json("saves", "-s", student)["saves"]:
            cli("saves", "--remove", save["name"], "-s", student)
        cli("down", "-s", student, rc=None)
        Images(engine).remove_tagged(("labenv/t-greet-",))
