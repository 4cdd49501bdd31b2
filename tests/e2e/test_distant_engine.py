"""An engine that is reached over a network, from several computers."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labenv.engine import Engine
from tests.e2e.conftest import Cli

HOLD = """
import sys
from labenv.engine import Engine
from tests.e2e.conftest import Cli
from labenv.engine.find import connect
from labenv.environments.lock import locked
from labenv.errors import EngineError
from labenv.events import silent
try:
    with locked(Engine(connect(silent)), sys.argv[1], silent, patience=float(sys.argv[2])):
        print("held", flush=True)
        sys.stdin.read()
except EngineError as error:
    print(error, flush=True)
"""


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(scope="module")
def distant(engine: Engine) -> Iterator[str]:
    """The engine's address over TCP."""
    path = engine._connection.endpoint.socket
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                caller, _ = server.accept()
            except OSError:
                return
            behind = socket.socket(socket.AF_UNIX)
            behind.connect(str(path))
            for pair in ((caller, behind), (behind, caller)):
                threading.Thread(target=_copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
    server.close()


def computer(distant: str, folder: Path, student: str, patience: float) -> "subprocess.Popen[str]":
    """A command on a computer of its own (with a folder of locks of its own) that holds the student's environment."""
    folder.mkdir(mode=0o700)
    environ = os.environ | {"DOCKER_HOST": distant, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, student, str(patience)], stdin=-1, stdout=-1, text=True, env=environ
    )


@pytest.mark.usefixtures("cli")  # its images
def test_commands_on_two_computers_wait_for_each_other_and_a_dead_one_is_not_waited_for(
    engine: Engine, distant: str, student: str, tmp_path: Path
) -> None:
    def there() -> int:
        return len(engine.api.containers(all=True, filters={"name": f"labenv-lock-{student}"}))

    with computer(distant, tmp_path / "one", student, 0) as one:
        assert one.stdout
        assert one.stdout.readline() == "held\n"
        with computer(distant, tmp_path / "two", student, 0) as two:
            said, _ = two.communicate()
            assert f"{student}'s environment has been locked by process {one.pid} of " in said
        with computer(distant, tmp_path / "three", student, 60) as three:
            assert three.stdout
            assert there() == 1
            one.kill()
            assert three.stdout.readline() == "held\n"
            three.communicate()
    assert there() == 0, "nothing is left of the lock"


def test_packets_come_from_a_distant_engine(cli: Cli, distant: str, student: str) -> None:
    cli("up", student, "--no-check")
    far = Cli({"DOCKER_HOST": distant})
    asks = threading.Timer(3, lambda: cli.inside(student, "vm2", "(sleep 1; echo QUIT) | nc -w 3 vm3 25"))
    asks.start()
    document = far.json("capture", "vm3", "-s", student, "--port", "25", "--for", "9s")
    asks.join()
    assert any(line.startswith("220 vm3") for turn in document["turns"] for line in turn["says"]), document
