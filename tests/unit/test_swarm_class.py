"""A class that wants a swarm: what class.yaml may say of it, and what the commands say where there is none."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from labenv.classroom.folder import lint
from labenv.classroom.folder.model import InSwarm
from labenv.classroom.running import placed
from labenv.cli.app import app
from labenv.errors import UsageError
from labenv.swarm import leases, setup
from labenv.swarm.leases import Leases

LAB = "labs: [{lab: lab4b}]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = tmp_path / "Ops 345, 50%"
    made.mkdir()
    (made / "roster.csv").write_text("id,name\nann,Ann\nbob,Bob\n")
    return made


def looked(folder: Path, swarm: str, more: str = LAB) -> lint.Looked:
    (folder / "class.yaml").write_text(f"{more}swarm: {swarm}\n")
    return lint.lint(folder)


def wanted(folder: Path, swarm: str) -> InSwarm | None:
    found = looked(folder, swarm)
    assert found.findings == ()
    assert found.of
    return found.of.swarm


def test_what_a_class_wants_of_a_swarm(folder: Path) -> None:
    assert wanted(folder, "false") is None
    assert wanted(folder, "true") == wanted(folder, "{}") == InSwarm()
    text = "{place: 's3://bucket/labenv', settings file: keys/s3.json, every: 2m, memory: 300m, processors: 0.2}"
    assert wanted(folder, text) == InSwarm(
        "s3://bucket/labenv", folder / "keys/s3.json", timedelta(minutes=2), 300 << 20, 0.2
    )


def test_a_folder_as_a_place_is_seen_from_the_folder_of_the_class(folder: Path) -> None:
    assert wanted(folder, "{place: ../copies}") == InSwarm(f"file://{folder.parent}/copies")
    assert wanted(folder, "{place: copies}") == InSwarm(f"file://{folder}/copies")
    assert wanted(folder, "{place: /srv/labenv}") == InSwarm("file:///srv/labenv")
    assert wanted(folder, "{place: 'file:///srv/labenv'}") == InSwarm("file:///srv/labenv")


@pytest.mark.parametrize(
    ("swarm", "said"),
    [
        ("maybe", "class.yaml:2:1: swarm: expected true or false or a mapping, found text. Whether the environments"),
        ("[]", "class.yaml:2:1: swarm: expected true or false or a mapping, found a list."),
        ("{where: x}", "class.yaml:2:9: swarm: the key 'where' is unknown"),
        ("{every: soon}", "class.yaml:2:9: swarm every: 'soon' is not valid"),
        ("{every: 30}", "class.yaml:2:9: swarm every: "),
        ("{every: 0m}", "class.yaml:2:9: a push costs each environment"),
        ("{memory: lots}", "class.yaml:2:9: swarm memory: 'lots' is not valid"),
        ("{processors: -1}", "class.yaml:2:9: swarm processors: "),
        ("{processors: many}", "class.yaml:2:9: swarm processors: "),
        ("{place: ''}", "class.yaml:2:9: swarm place: "),
        ("{settings file: 1}", "class.yaml:2:9: swarm settings file: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(folder: Path, swarm: str, said: str) -> None:
    found = [str(each) for each in looked(folder, swarm).findings]
    assert any(each.startswith(said) for each in found), found


def test_what_cannot_be_on_a_swarm_is_said(folder: Path) -> None:
    [said] = map(str, looked(folder, "true", f"{LAB}federate: true\n").findings)
    assert "'swarm' cannot be combined with 'federate'" in said
    found = " ".join(map(str, looked(folder, "true", "labs: [{lab: ./mylab}]\n").findings))
    assert "mylab lies in a folder here, which no other node has" in found
    assert "no other node has" not in " ".join(map(str, looked(folder, "false", "labs: [{lab: ./mylab}]\n").findings))


def test_a_class_is_on_a_swarm_if_it_says_so_or_has_somebody_there(folder: Path) -> None:
    on, off = looked(folder, "true").of, looked(folder, "false").of
    assert on
    assert off
    assert placed.is_on_swarm(on)
    assert not placed.is_on_swarm(off)
    Leases().begin("ann", off.id, "id1", "n1")
    assert not placed.is_on_swarm(off), "of a swarm that is no more"
    setup.prepare("127.0.0.1")
    assert placed.is_on_swarm(off)
    assert list(leases.everything(off.id)) == ["ann"]


def test_a_student_of_another_class_is_not_taken_over(folder: Path) -> None:
    of = looked(folder, "true").of
    assert of
    placed._refuse_other("ann", of, of.id)
    with pytest.raises(
        UsageError, match=r"ann has an environment of the class sec in this swarm.* labenv class down --only ann"
    ):
        placed._refuse_other("ann", of, "sec")


# The commands.


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize("command", ["init", "join", "nodes", "images", "drain", "leave"])
def test_each_command_says_what_it_is_for_with_an_example(command: str) -> None:
    done = run("swarm", command, "--help")
    assert done.exit_code == 0
    assert f"labenv swarm {command}" in done.output.partition("Example")[2]


@pytest.mark.usefixtures("unconfigured")
def test_back_moves_nothing() -> None:
    done = run("swarm", "drain", "n1", "--back", "--dry-run")
    assert isinstance(done.exception, UsageError)
    assert "--back and --dry-run cannot be combined" in str(done.exception)


@pytest.mark.parametrize("words", [("drain",), ("join",), ("join", "SWMTKN-1")])
def test_what_is_missing_is_asked_for_with_an_example(words: tuple[str, ...]) -> None:
    error = run("swarm", *words).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(f"swarm {words[0]} needs ")
    assert f"Example: labenv swarm {words[0]} " in str(error)


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize(
    "words", [("init",), ("join", "SWMTKN-1", "192.0.2.1"), ("leave", "--yes")], ids=lambda words: words[0]
)
def test_a_swarm_is_not_made_over_the_network(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    done = run("swarm", *words)
    assert done.exception
    assert json.dumps(str(done.exception)).count("127.0.0.1:9"), "the engine is not there, which is said"
