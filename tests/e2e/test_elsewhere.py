"""labenv where its surroundings are not the usual ones: a container, another user, folders and tools that are not there."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.engine.image_sources import wanted
from tests.e2e.conftest import Cli

ROOT = Path(__file__).parents[2]
LABENV = [sys.executable, "-m", "labenv"]
Inside = Callable[..., tuple[int, str]]


@pytest.fixture
def container(engine: Engine, student: str) -> Iterator[Any]:
    """A container with the engine's socket, labenv and its Python: this computer's files, but a network of its own."""
    made = engine.api.create_container(
        wanted()["base"].tag,
        entrypoint=["sleep", "600"],
        name=f"{student}-job",
        host_config=engine.api.create_host_config(binds=["/:/rootfs"]),
    )["Id"]
    engine.api.start(made)

    def run(*words: str) -> tuple[int, str]:
        settings = ("COLUMNS=200", f"XDG_STATE_HOME={os.environ['XDG_STATE_HOME']}")
        command = ["chroot", "/rootfs", "env", f"--chdir={ROOT}", *settings, *words]
        made_exec = engine.api.exec_create(made, command)["Id"]
        said = engine.api.exec_start(made_exec).decode()
        return engine.api.exec_inspect(made_exec)["ExitCode"], said

    run.id = made  # type: ignore[attr-defined]
    yield run
    engine.api.remove_container(made, force=True)


def test_in_a_container_labenv_works_and_tells_the_addresses_that_answer_there(
    cli: Cli, engine: Engine, student: str, container: Any
) -> None:
    status, said = container(*LABENV, "up", student)
    assert status == 0, said
    assert "checks passed" in said
    assert "127.0.0.1 here means the engine's computer" in said
    assert "labenv's commands work" in container(*LABENV, "status", "-s", student)[1]
    note = container(*LABENV, "client", "-s", student)[1]
    way_out = re.search(
        r"docker network connect (\S+) (\S+)|ssh -L", note
    )  # the second where these files lack Docker's sign
    assert way_out, note
    network, own = way_out.groups()
    engine.api.connect_container_to_network(
        own or container.id, network or engine.environments(student)[0].network_name
    )
    account = json.loads(container(*LABENV, "client", "-s", student, "--json")[1].partition("\n")[2])["account"]
    for service, greeting in (("smtp", "b'220"), ("imap", "b'* OK")):
        host, port = account[service]["host"], account[service]["port"]
        assert (host.startswith("192.168."), port) == (True, {"smtp": 25, "imap": 143}[service])
        code = f"import socket; print(socket.create_connection(({host!r}, {port}), 5).recv(99))"
        assert container(sys.executable, "-c", code)[1].startswith(greeting)
    assert cli.json("client", "-s", student)["account"]["smtp"]["host"] == "127.0.0.1", "here they are published"
    cli("down", "-s", student, "--yes")
    assert not engine.environments(student), "although a container was in its network"


def as_nobody(engine: Engine, home: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """labenv as a user without rights who may use the engine, with that home."""
    user = ["setpriv", "--reuid=65534", "--regid=65534", f"--groups={engine.group}"]
    kept = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
    return subprocess.run(
        [*user, *LABENV, *words],
        env=kept | {"HOME": str(home), "COLUMNS": "200"} | settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def home(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of that user, in a place that they can reach."""
    if os.geteuid() or not engine.group:
        pytest.skip("It takes root to become another user, and a group that may use the engine.")
    if subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", *LABENV, "--version"], check=False, cwd=ROOT
    ).returncode:
        pytest.skip("Another user cannot read this checkout.")
    folder = Path("/tmp") / tmp_path_factory.mktemp("home").name / str(os.getpid())
    folder.mkdir(parents=True)
    os.chown(folder, 65534, 65534)
    yield folder
    subprocess.run(["rm", "-r", str(folder.parent)], check=True)


def test_with_sudo_once_and_without_it_after(cli: Cli, engine: Engine, student: str, home: Path) -> None:
    cli("up", student, "--no-check")
    mine = {name: str(home / folder) for name, folder in {"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache"}.items()}
    sudo = Cli({"HOME": str(home), **mine})  # one that keeps the user's settings
    sudo("check", "17", "-s", student)
    files = [path for path in home.rglob("*") if path.stat().st_uid == 0]
    assert not files, "root leaves nothing in the user's home"
    done = as_nobody(engine, home, "check", "17", "-s", student)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    sudo("check", "17", "-s", student)

    # What another program, or an earlier labenv, left there.
    subprocess.run(["chown", "-R", "0:0", str(home / ".local"), str(home / ".cache")], check=True)
    subprocess.run(["chmod", "-R", "go-rwx", str(home / ".local"), str(home / ".cache")], check=True)
    done = as_nobody(engine, home, "check", "17", "-s", student)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert f"sudo chown -R 65534 {home}/.local" in done.stderr
    done = as_nobody(engine, home, "history", "-s", student)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert f"sudo chown -R 65534 {home}/.local" in done.stderr
    sudo("down", "-s", student)  # forgets what it has recorded in root's own home


def test_without_a_home_everything_but_the_history_works(engine: Engine, finished: dict[str, Any], home: Path) -> None:
    for settings in (
        {"HOME": "/nonexistent"},
        {"HOME": "/root"},
        {"HOME": "/dev/null"},
        {"HOME": ""},
        {"HOME": "/proc"},
    ):
        done = as_nobody(engine, home, "check", "17", "-s", finished["student"], **settings)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (settings, done.stderr)


@pytest.mark.parametrize("home", ["/etc/passwd", "/dev/full", "/proc"])
def test_a_state_folder_that_cannot_be_is_a_note(finished: dict[str, Any], home: str) -> None:
    strange = Cli({"XDG_STATE_HOME": home, "XDG_CACHE_HOME": home, "XDG_CONFIG_HOME": home, "XDG_RUNTIME_DIR": home})
    strange("up", finished["student"], "--no-check")
    assert "history" in strange("history", "-s", finished["student"], rc=3).stderr


def test_without_git_everything_but_the_history_works(finished: dict[str, Any], tmp_path: Path) -> None:
    without = Cli({"PATH": str(tmp_path), "LABENV_STUDENT": finished["student"]})
    without("check", "17")
    without("exec", "vm2", "--", "true")
    without("submit", str(tmp_path / "x.tar.gz"))
    assert "Install git" in without("history", rc=3).stderr
    assert "Install git" in without("when", "17", rc=3).stderr


@pytest.mark.parametrize(
    ("editor", "said"),
    [
        ("nosuch", "cannot be started"),
        ("/tmp", "cannot be started"),
        ('"', "EDITOR cannot be understood"),
        ("", "There is no terminal for an editor"),
        ("  ", "There is no terminal for an editor"),
    ],
)
def test_an_editor_that_is_not_there_is_told(finished: dict[str, Any], editor: str, said: str) -> None:
    alone = Cli({"EDITOR": editor, "VISUAL": "", "LABENV_STUDENT": finished["student"]})
    assert said in alone("logbook", "--edit", rc=2).stderr


def test_an_editor_that_fails_or_empties_the_book_changes_nothing(finished: dict[str, Any], tmp_path: Path) -> None:
    for editor, said in (("false", "ended with status 1"), ("sh -c ': > $0'", "You saved an empty file")):
        own = Cli({"EDITOR": editor, "VISUAL": "", "LABENV_STUDENT": finished["student"], "TMPDIR": str(tmp_path)})
        before = own("logbook").stdout
        assert said in own("logbook", "--edit", rc=2).stderr
        assert own("logbook").stdout == before
    assert list(tmp_path.iterdir()) == [], "a copy without new text is not kept"


@pytest.mark.parametrize(
    "settings",
    [
        {"TMPDIR": 120 * "x"},
        {"TMPDIR": "/nonexistent"},
        {"COLUMNS": "0", "LINES": "0"},
        {"COLUMNS": "-3"},
        {"COLUMNS": "many"},
        {"COLUMNS": "40", "TERM": "dumb"},
        {"LC_ALL": "xx_YY.nowhere", "LANG": "C", "TZ": "Nowhere/At_All"},
    ],
    ids=str,
)
def test_settings_that_say_nothing_useful_hinder_nothing(
    finished: dict[str, Any], settings: dict[str, str], tmp_path: Path
) -> None:
    if (name := settings.get("TMPDIR", "/")).startswith("x"):
        (tmp_path / name).mkdir()
        settings = {"TMPDIR": str(tmp_path / name)}
    odd = Cli({**settings, "LABENV_STUDENT": finished["student"], "EDITOR": "true"})
    odd("check", "17", "19")
    odd("logbook", "--edit")
    odd("status")


def test_a_folder_that_was_removed_is_told(finished: dict[str, Any], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    command = shlex.join([*LABENV, "check", "17", "-s", finished["student"]])
    script = f"mkdir {gone}; cd {gone}; rmdir {gone}; PYTHONPATH={shlex.quote(str(ROOT))} {command}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "labenv: The folder that you are in was removed. Go to another one, such as: cd\n",
    )


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        ("1</dev/null", 3, "cannot be written"),
        ("2>/dev/full", 0, ""),
        (">/dev/full", 3, "The disk is full"),
        ("<&- 2>&-", 0, ""),
        ("| head -n 1", 0, ""),
    ],
)
def test_streams_that_cannot_be_used_cost_no_work(finished: dict[str, Any], streams: str, code: int, said: str) -> None:
    for command in (["up", "--no-check"], ["status"], ["exec", "vm2", "--", "echo", "hello"]):
        script = f"{shlex.join([*LABENV, *command])} {streams}"
        done = subprocess.run(
            ["sh", "-c", script],
            env=os.environ | {"LABENV_STUDENT": finished["student"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (command, done.stderr)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
