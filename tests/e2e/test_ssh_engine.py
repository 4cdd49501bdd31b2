"""An engine that is reached over ssh: a real SSH server on 127.0.0.1 in front of the engine here."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labenv.engine import Engine
from labenv.engine.endpoint import Endpoint
from labenv.engine.find import reconnect
from labenv.engine.road import Road, keyed
from labenv.errors import EngineError
from tests.e2e.conftest import Cli
from tests.e2e.sshd import SSHD, Node, key
from tests.e2e.sshd import node as served
from tests.e2e.test_distant_engine import computer


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """The engine's computer, and a folder of sockets of this module's own for labenv, with a path as short as a real one."""
    if not SSHD:
        pytest.skip("OpenSSH's server is not installed (openssh-server).")
    folder = Path(tempfile.mkdtemp(prefix="ssh-"))
    with pytest.MonkeyPatch.context() as patch, served(folder) as there:
        (folder / "run").mkdir(0o700)
        patch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        patch.setenv("XDG_RUNTIME_DIR", f"{folder}/run")
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield there
        for process in masters(there):
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def url(node: Node, engine: Engine) -> str:
    """The engine's address over ssh."""
    assert engine.endpoint.socket
    return f"ssh://127.0.0.1:{node.port}{engine.endpoint.socket}"


@pytest.fixture(scope="module")
def far(cli: Cli, url: str) -> Cli:
    """The command line, with the engine over ssh."""
    return Cli(cli.environ | {"DOCKER_HOST": url})


@pytest.fixture
def cut(node: Node) -> Iterator[None]:
    """A test that begins, and whatever it does to the server ends, without a road."""
    lose(node)
    yield
    if node.process is None:
        node.start()
    lose(node)


def masters(node: Node) -> list[int]:
    """The processes of ssh that hold roads to the node."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = each.read_bytes().split(b"\0")
            if words[0].endswith(b"ssh") and b"-M" in words and f"{node.folder}/ssh_config".encode() in words:
                found.append(int(each.parent.name))
    return found


def lose(node: Node) -> None:
    """Kill what holds the road, as a crash does: the files of its sockets stay."""
    there = set(masters(node))
    for process in there:
        os.kill(process, signal.SIGKILL)
    until(lambda: not there & set(masters(node)))  # whoever is in need has another one by now


def until(happens: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def running(far: Cli, *arguments: str) -> "subprocess.Popen[str]":
    environ = os.environ | far.environ | {"NO_COLOR": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "labenv", *arguments], stdin=-1, stdout=-1, stderr=-1, text=True, env=environ
    )


# -- what is done with an engine ---------------------------------------------------------------------------------------


def test_an_environment_is_made_used_and_kept_over_ssh(far: Cli, student: str, tmp_path: Path) -> None:
    assert {machine["state"] for machine in far.json("up", student)["machines"]} == {"running"}
    assert far.json("check", "-s", student)["summary"]["failed"] == 0
    assert "vm3\n" in far("shell", "vm3", "-s", student, stdin="hostname -s\n").stdout  # it ends with its input
    assert far("exec", "-s", student, "vm3", "--", "wc", "-c", stdin="a word\n" * 100_000).stdout == "700000\n"
    assert far("exec", "-s", student, "vm3", "--", "sh", "-c", "exit 7", rc=7).stdout == ""
    assert "vm3" in far("logs", "vm3", "-s", student).stdout
    far("exec", "-s", student, "vm3", "--", "touch", "/root/kept")
    far("save", "kept", "-s", student)
    far("exec", "-s", student, "vm3", "--", "rm", "/root/kept")
    far("restore", "kept", "-s", student)
    assert far.inside(student, "vm3", "ls /root/kept") == "/root/kept\n"
    archive = tmp_path / f"{student}.labenv"
    far("export", str(archive), "-s", student)
    far("down", "-s", student)
    far("import", str(archive))
    assert far.inside(student, "vm3", "ls /root/kept") == "/root/kept\n"


@pytest.mark.usefixtures("cut")
def test_commands_at_once_open_one_road(far: Cli, node: Node) -> None:
    before = node.logins
    there = [running(far, "status", "--json") for _ in range(4)]
    assert [process.wait() for process in there] == [0] * 4
    assert node.logins == before + 1
    for process in there:
        process.communicate()


@pytest.mark.usefixtures("cli")  # its images
def test_a_lock_holds_for_another_computer_and_ends_with_its_holder(
    engine: Engine, url: str, node: Node, student: str
) -> None:
    with computer(url, node.folder / "one", student, 0) as one:
        assert one.stdout
        assert one.stdout.readline() == "held\n"
        with computer(url, node.folder / "two", student, 0) as two:
            said, _ = two.communicate()
            assert f"{student}'s environment has been locked by process {one.pid} of " in said
        one.kill()
    until(lambda: not engine.api.containers(all=True, filters={"name": f"labenv-lock-{student}"}))
    with computer(url, node.folder / "three", student, 0) as three:
        assert three.communicate()[0] == "held\n"


def test_what_the_engine_publishes_answers_here(url: str) -> None:
    there = Engine(reconnect(Endpoint(url, "the node", chosen=True)))
    with socket.create_server(("127.0.0.1", 0)) as page:  # such as a desktop's
        port = page.getsockname()[1]
        here = there.here(port)
        assert here != port, "it is taken here"
        assert there.here(port) == here
        with socket.create_connection(("127.0.0.1", here)) as caller, page.accept()[0] as called:
            caller.sendall(b"hello")
            caller.shutdown(socket.SHUT_WR)
            assert called.recv(9) + called.recv(9) == b"hello"
            called.sendall(b"you")
            assert caller.recv(9) == b"you"


# -- when the road is lost ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cut")
def test_a_command_whose_road_is_lost_says_so_and_the_next_one_works(far: Cli, node: Node, student: str) -> None:
    assert f"To reach them from here: labenv tunnel -s {student}" in far("up", student).stdout
    with running(far, "exec", "-s", student, "vm3", "--", "sh", "-c", "echo begun; sleep 600") as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        lose(node)
        _, said = process.communicate()
        assert process.returncode == 3
        assert "The connection was lost while running sh in" in said
    assert far.inside(student, "vm3", "echo again") == "again\n"


@pytest.mark.usefixtures("cut")
def test_a_process_that_lives_long_finds_its_engine_again(url: str, node: Node) -> None:
    there = Engine(reconnect(Endpoint(url, "the node", chosen=True)))
    there.environments()
    lose(node)
    there.environments()
    node.stop()
    lose(node)
    with pytest.raises(EngineError, match="runs no SSH server on that port: connection refused"):
        there.environments()
    node.start()
    there.environments()


@pytest.mark.usefixtures("cut")
def test_a_road_ends_when_it_is_not_used(url: str, node: Node) -> None:
    endpoint = Endpoint(url, "the node", chosen=True, ssh=("ControlPersist=1",))
    client = reconnect(endpoint).client
    stream = client.api.events()  # a request that lasts
    time.sleep(2.5)
    assert masters(node)
    stream.close()
    client.close()
    until(lambda: not masters(node))
    reconnect(endpoint).client.close()


@pytest.mark.usefixtures("cut")
def test_a_road_over_which_nothing_comes_any_more_is_opened_again(url: str, node: Node) -> None:
    endpoint = Endpoint(url, "the node", chosen=True, ssh=("ServerAliveInterval=1", "ServerAliveCountMax=2"))
    reconnect(endpoint).client.close()
    (old,) = masters(node)
    for session in node.sessions():
        os.kill(session, signal.SIGSTOP)
    reconnect(endpoint).client.close()
    (new,) = masters(node)
    assert new != old


# -- what is said when there is none -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("cut")
def test_without_a_server_there_is_a_sentence(far: Cli, node: Node) -> None:
    node.stop()
    done = far("status", rc=3)
    assert done.stderr == (
        f"labenv: The engine that you chose, DOCKER_HOST={far.environ['DOCKER_HOST']}, runs no SSH server on that port: "
        f"connection refused.\nThis has to work: ssh -o BatchMode=yes -p {node.port} 127.0.0.1 true\n"
    )


@pytest.fixture
def other(node: Node) -> Iterator[Callable[[str, str], None]]:
    """Give a file of the client or the server another text during the test."""
    before: dict[Path, str] = {}

    def put(name: str, text: str) -> None:
        before.setdefault(node.folder / name, (node.folder / name).read_text())
        (node.folder / name).write_text(text)

    yield put
    for file, text in before.items():
        file.write_text(text)


@pytest.mark.usefixtures("cut")
def test_another_host_key_is_not_believed(far: Cli, node: Node, other: Callable[[str, str], None]) -> None:
    other("known_hosts", f"[127.0.0.1]:{node.port} {key(node.folder / 'another_key')}")
    said = far("status", rc=3).stderr
    assert "has another host key than before." in said
    assert f"ssh-keygen -R '[127.0.0.1]:{node.port}' -f {node.folder}/known_hosts" in said


@pytest.mark.usefixtures("cut")
def test_a_host_key_that_nobody_knows_is_not_believed(far: Cli, other: Callable[[str, str], None]) -> None:
    other("known_hosts", "")
    assert "has a host key that this computer does not know.\nLog in once" in far("status", rc=3).stderr


@pytest.mark.usefixtures("cut")
def test_without_a_key_there_is_a_sentence(far: Cli, other: Callable[[str, str], None]) -> None:
    other("authorized_keys", "")
    said = far("status", rc=3).stderr
    assert "does not let you in with an SSH key of yours." in said
    assert "ssh-copy-id -p" in said


@pytest.mark.usefixtures("cut")
def test_a_computer_without_docker_is_told_so(node: Node, far: Cli) -> None:
    there = Cli({"DOCKER_HOST": f"ssh://127.0.0.1:{node.port}/nowhere/docker.sock"})
    assert "has no engine's socket /nowhere/docker.sock." in there("status", rc=3).stderr
    far("status")  # what it notes may be of another test


@pytest.mark.usefixtures("cut")
def test_a_server_that_forwards_no_sockets_is_told_so(node: Node, far: Cli) -> None:
    node.stop()
    node.start("AllowStreamLocalForwarding no")
    said = far("status", rc=3).stderr
    assert "lets you in, but no engine answers on" in said
    assert "AllowStreamLocalForwarding in sshd_config(5)" in said
    node.stop()


@pytest.mark.usefixtures("cut")
def test_labenv_has_a_key_and_known_hosts_of_its_own(
    url: str, node: Node, tmp_path: Path, other: Callable[[str, str], None]
) -> None:
    folder = tmp_path / "with a blank and 100%"
    folder.mkdir()
    other("authorized_keys", key(folder / "id_ed25519"))
    endpoint = Endpoint(url.replace("127.0.0.1", "localhost"), "the node n2", chosen=True, ssh=keyed(folder))
    reconnect(endpoint).client.close()
    assert f"[localhost]:{node.port} " in (folder / "known_hosts").read_text()
    lose(node)
    (folder / "known_hosts").write_text(f"[localhost]:{node.port} {key(folder / 'another')}")
    with pytest.raises(EngineError, match=r"^The node n2 has another host key than before") as caught:
        reconnect(endpoint)
    assert "Log in once" not in str(caught.value)
    assert Road(endpoint.url, endpoint.ssh) == endpoint.road
