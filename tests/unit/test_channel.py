"""The shell that stays open and the sockets from inside a machine, against a stand-in for the engine's exec calls."""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import docker
import docker.errors
import pytest

from labenv.engine import dial as dialling
from labenv.engine.channel import Channel, Result
from labenv.engine.dial import Switchboard, dial
from labenv.engine.patience import Patience
from labenv.errors import EngineError


class LocalExec:
    """The four calls of docker.APIClient that a channel makes, with processes of this computer instead of a container's.

    Their output is framed as the engine frames it (Engine API, "Attach to a container").
    """

    def __init__(self, path: str) -> None:
        self.environment = {"PATH": path, "HOME": "/"}
        self.state = {"Status": "running", "ExitCode": 0}
        self.started = 0
        self.closed = threading.Event()  # set when the engine has closed a connection
        self.processes: list[subprocess.Popen[bytes]] = []
        self._argv: dict[str, list[str]] = {}

    def exec_create(self, container: str, argv: list[str], **_: Any) -> dict[str, str]:
        if self.state["Status"] != "running":
            raise docker.errors.APIError(f"Container {container} is not running")
        self._argv[str(len(self._argv))] = argv
        return {"Id": str(len(self._argv) - 1)}

    def exec_start(self, ident: str, **options: Any) -> Any:
        self.started += 1
        if "socket" not in options:
            return subprocess.run(self._argv[ident], env=self.environment, check=False)
        ours, theirs = socket.socketpair()
        process = subprocess.Popen(
            self._argv[ident],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        self.processes.append(process)
        threading.Thread(target=self._engine, args=(process, theirs), daemon=True).start()
        return ours

    def inspect_container(self, _: str) -> dict[str, Any]:
        return {"State": self.state}

    def _engine(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        lock = threading.Lock()
        outputs = [
            threading.Thread(target=self._frames, args=(kind, pipe, connection, lock), daemon=True)
            for kind, pipe in ((1, process.stdout), (2, process.stderr))
        ]
        for output in outputs:
            output.start()
        threading.Thread(target=self._input, args=(process, connection), daemon=True).start()
        process.wait()
        for output in outputs:
            output.join(1)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        self.closed.set()

    @staticmethod
    def _frames(kind: int, pipe: Any, connection: socket.socket, lock: threading.Lock) -> None:
        while data := pipe.read(4096):
            with lock, contextlib.suppress(OSError):  # nobody listens any more
                connection.sendall(struct.pack(">BxxxI", kind, len(data)) + data)

    @staticmethod
    def _input(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        assert process.stdin is not None
        try:
            while data := connection.recv(4096):
                process.stdin.write(data)
        except OSError:
            pass
        process.stdin.close()


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer that has nothing else to do, whatever runs beside these tests."""
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalExec]:
    local = LocalExec(f"{tmp_path}:{os.environ['PATH']}")
    yield local
    for process in local.processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What labenv puts into a machine, as far as a channel needs it: bash under the name of sh, kill, setsid, a switchboard."""
    folder = tmp_path / "tools" / "bin"
    folder.mkdir(parents=True)
    (folder / "sh").symlink_to(shutil.which("bash") or "/bin/bash")
    program("busybox", 'case $1 in setsid) exec "$@" ;; kill) shift 3; kill -s KILL -- "$@" ;; esac', folder)
    program("board", f"exec perl {Path(dialling.__file__).with_suffix('.pl')}", folder)  # it does what board.c does
    monkeypatch.setattr("labenv.engine.channel.TOOLS", str(folder.parent))
    monkeypatch.setattr("labenv.engine.dial.TOOLS", str(folder.parent))


@pytest.fixture(params=["own exec", "over a switchboard", "no tools"])
def channel(engine: LocalExec, tools: None, request: pytest.FixtureRequest) -> Iterator[Channel]:
    api, has_tools = cast(docker.APIClient, engine), request.param != "no tools"
    board = Switchboard(api, "labenv-anna-vm3", has_tools=True)
    over = board if request.param == "over a switchboard" else None
    opened = Channel(api, "labenv-anna-vm3", has_tools=has_tools, reads=True, over=over)
    yield opened
    opened.close()
    board.close()


def program(name: str, does: str, folder: Path) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


def test_status_and_both_outputs(channel: Channel) -> None:
    assert channel.run("echo out; echo err >&2; exit 3") == Result(3, b"out\n", b"err\n")


def test_output_without_a_newline_and_none_at_all(channel: Channel) -> None:
    assert channel.run("printf x; printf y >&2") == Result(0, b"x", b"y")
    assert channel.run(":") == Result(0, b"", b"")


def test_one_shell_serves_all_commands(channel: Channel, engine: LocalExec) -> None:
    for _ in range(5):
        channel.run("true")
    assert engine.started == 1


def test_binary_and_large_output(channel: Channel, tmp_path: Path) -> None:
    blob = os.urandom(1_000_000)
    (tmp_path / "blob").write_bytes(blob)
    assert channel.run(f"cat {tmp_path}/blob; cat {tmp_path}/blob >&2") == Result(0, blob, blob)


def test_quotes_newlines_and_unicode_in_a_command(channel: Channel) -> None:
    assert channel.run("printf '%s\n' \"it's ü\"\nprintf %s '$HOME'").stdout == "it's ü\n$HOME".encode()


def test_a_syntax_error_is_the_commands_own(channel: Channel) -> None:
    assert channel.run("echo 'never ends").rc == 2
    assert channel.run("echo on").stdout == b"on\n"


def test_a_command_has_nothing_to_read(channel: Channel) -> None:
    assert channel.run("cat; read -r line || echo none").stdout == b"none\n"


def test_nobody_can_imitate_the_mark(channel: Channel) -> None:
    """A token that was seen once is useless later."""
    shell = channel.run("cat /proc/$$/cmdline /proc/$(exec sh -c 'echo $PPID')/cmdline").stdout
    assert not re.search(rb"[0-9a-f]{32}", shell)
    text = "printf '\\0000123456789abcdef0123456789abcdef0\\n'"
    assert channel.run(f"{text}; {text} >&2; echo after").stdout.endswith(b"\nafter\n")


def test_what_an_earlier_command_left_behind_is_not_mixed_in(channel: Channel, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    channel.run(f"(cat {tmp_path}/go >/dev/null; echo late; echo late >&2; : >{tmp_path}/said) &")
    (tmp_path / "go").write_text("now")
    while not (tmp_path / "said").exists():
        pass
    assert channel.run("echo mine") == Result(0, b"mine\n", b"")


def test_a_command_that_takes_too_long_is_killed(channel: Channel, tmp_path: Path) -> None:
    words = r"On labenv-anna-vm3 a command did not end within 0\.3 s and was stopped: sleep 60 & echo"
    with pytest.raises(EngineError, match=words):
        channel.run(f"sleep 60 & echo $! >{tmp_path}/pid; wait", timeout=0.3)
    child = Path("/proc", (tmp_path / "pid").read_text().strip(), "cmdline")

    def runs() -> bool:
        try:
            return bool(child.read_bytes())
        except (FileNotFoundError, ProcessLookupError):  # it may go while it is read
            return False

    deadline = time.monotonic() + 5
    while runs() and time.monotonic() < deadline:
        pass
    assert not runs()
    assert channel.run("echo again").stdout == b"again\n"


def test_a_command_stands_in_no_processs_arguments(channel: Channel) -> None:
    word = uuid.uuid4().hex  # no other process of this computer says it
    said = channel.run(f": {word}; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '").stdout
    assert b"cat /proc/" in said
    assert word.encode() not in said


def test_a_secret_is_told_and_stands_in_no_processs_arguments(channel: Channel) -> None:
    seen = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"
    word = f"{uuid.uuid4().hex}-'$(x)'"
    result = channel.run(f"read -r word; echo $word | md5sum; {seen}", told=word)
    assert result.stdout.startswith(hashlib.md5(f"{word}\n".encode()).hexdigest().encode())
    assert word[:32].encode() not in result.stdout
    assert channel.run("cat").stdout == b""


def test_a_command_that_prints_without_end_is_stopped(channel: Channel) -> None:
    began = time.monotonic()
    with pytest.raises(EngineError, match="printed more than 4000000 bytes and was stopped: yes"):
        channel.run("yes")
    assert time.monotonic() - began < 10
    assert channel.run("echo again").stdout == b"again\n"
    assert len(channel.run("head -c 4000000 /dev/zero").stdout) == 4_000_000


def test_what_is_left_behind_and_never_stops_writing_holds_nobody_up(channel: Channel) -> None:
    channel.run("(sleep 0.2; exec yes) >&2 & sleep 0.1")
    time.sleep(0.5)  # until the noise has begun
    heard = []
    for _ in range(3):
        with contextlib.suppress(EngineError):  # heard as the command's own, the noise ends with the command
            heard.append(channel.run("echo mine").stdout)
    assert heard[-1] == b"mine\n"


def test_a_machine_that_kept_a_command_waiting_is_not_asked_again_over_any_channel(
    engine: LocalExec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labenv.engine.patience._ONE", 1.5)
    patience = Patience()
    with Channel(cast(docker.APIClient, engine), "labenv-anna-vm3", patience) as channel:
        channel.run("sleep 0.4")
        with pytest.raises(EngineError, match=r"did not end within 1[.][0-9] s and was stopped"):
            channel.run("sleep 60")
    with Channel(cast(docker.APIClient, engine), "labenv-anna-vm3", patience) as channel:
        with pytest.raises(EngineError, match="did not answer in time before, so it was not asked again: echo me"):
            channel.run("echo me")
        assert channel.run("echo work", timeout=5).stdout == b"work\n", "what may take long has a time of its own"


def test_a_command_that_runs_long_has_patience_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labenv.engine.patience._ONE", 1.1)
    monkeypatch.setattr("labenv.engine.patience._SHARE", 0.5)
    patience = Patience()
    with patience.waiting("vm3"):
        time.sleep(0.4)
    assert patience.left("vm3") == 0
    assert patience.left("vm2")
    time.sleep(0.5)
    assert patience.left("vm3")


@pytest.mark.parametrize(("load", "longer"), [(0.5, 1.0), (1.0, 1.0), (2.5, 2.5), (50.0, 3.0)])
def test_a_computer_that_is_short_of_processor_time_gets_more_of_it(
    monkeypatch: pytest.MonkeyPatch, load: float, longer: float
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (2 * load, 0.0, 0.0))
    assert Patience().left("vm3") == pytest.approx(20 * longer, abs=0.1)
    monkeypatch.setattr("labenv.engine.patience._QUESTION", 1000)
    assert Patience().left("vm3") == pytest.approx(30 * longer, abs=0.1)


def test_a_kernel_that_tells_no_load_counts_as_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr("os.getloadavg", unknown)
    assert Patience().left("vm3") == pytest.approx(20, abs=0.1)


def test_many_slow_machines_keep_a_command_waiting_no_longer_than_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labenv.engine.patience._ALL", 1.5)
    patience = Patience()
    with patience.waiting("vm1"), patience.waiting("vm2"):
        time.sleep(0.3)
    assert patience.left("vm3"), "both at the same time count once"
    with patience.waiting("vm1"):
        time.sleep(0.4)
    assert patience.left("vm3") == 0


def test_a_shell_that_died_between_two_commands_is_opened_again(channel: Channel, engine: LocalExec) -> None:
    channel.run("true")
    engine.processes[0].kill()
    engine.closed.wait(5)
    assert channel.run("echo again").stdout == b"again\n"


@pytest.mark.usefixtures("tools")
def test_what_is_opened_while_another_exec_still_ends_goes_on(engine: LocalExec) -> None:
    api = cast(docker.APIClient, engine)
    board = Switchboard(api, "labenv-anna-vm3", has_tools=True)
    for _ in range(20):
        with Channel(api, "labenv-anna-vm3", has_tools=True, over=board) as channel:
            assert channel.run("sleep 0.02; echo again").stdout == b"again\n"
        board.close()


def test_a_machine_that_dies_under_a_command_is_named_with_its_state(channel: Channel, engine: LocalExec) -> None:
    def die() -> None:
        os.killpg(engine.processes[0].pid, signal.SIGKILL)
        engine.closed.wait(5)
        engine.state = {"Status": "exited", "ExitCode": 137}  # the engine notices after the shell's end

    channel.run("true")
    threading.Timer(0.1, die).start()
    with pytest.raises(EngineError, match="The machine labenv-anna-vm3 is switched off, since a moment ago"):
        channel.run("sleep 30")


def test_a_shell_that_ends_in_a_living_machine(channel: Channel) -> None:
    with pytest.raises(EngineError, match=r"labenv-anna-vm3 is running, but its shell ended during: kill"):
        channel.run("kill -KILL $$")


def test_a_machine_that_does_not_run(channel: Channel, engine: LocalExec) -> None:
    engine.state = {"Status": "exited", "ExitCode": 0}
    with pytest.raises(EngineError, match=r"labenv-anna-vm3 is switched off, so no command can run there\."):
        channel.run("true")


def test_threads_share_a_channel(channel: Channel) -> None:
    wrong: list[str] = []

    def work(name: str) -> None:
        wrong.extend(name for n in range(20) if channel.run(f"echo {name} {n}").stdout != f"{name} {n}\n".encode())

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# A stand-in for nc: it prints what the real one prints, then echoes its input.
_NC = """#!/bin/sh
for port; do :; done
case $port in
    25) echo "Connection to $* succeeded!" >&2; echo "220 hello"; exec cat ;;
    26) echo "nc: connect to 192.0.2.1 port 26 (tcp) failed: Connection refused" >&2 ;;
    27) echo 'nc: getaddrinfo for host "vm33" port 27: Name or service not known' >&2 ;;
    28) echo "nc: connect to 192.0.2.1 port 28 (tcp) failed: No route to host" >&2 ;;
    29) exec sleep 60 ;;
    32) echo "no answer yet" >&2; sleep 0.2; echo "Connection to $* succeeded!" >&2; echo "220 late"; exec cat ;;
    30) echo "Connection to $* succeeded!" >&2; while printf x; do sleep 0.05; done ;;
    31) echo "Connection to $* succeeded!" >&2; exec yes ;;
esac
exit 1
"""


@pytest.fixture(params=["an exec for each", "one exec for all"])
def connect(
    request: pytest.FixtureRequest, engine: LocalExec, tmp_path: Path
) -> Iterator[Callable[..., socket.socket]]:
    """Both ways to connect from inside a machine."""
    nc = tmp_path / "nc"
    nc.write_text(_NC)
    nc.chmod(0o755)
    api = cast(docker.APIClient, engine)
    board = Switchboard(api, "labenv-anna-host")
    yield board.dial if request.param == "one exec for all" else functools.partial(dial, api, "labenv-anna-host")
    board.close()


def test_dial_speaks_both_ways(connect: Callable[..., socket.socket]) -> None:
    with connect("192.0.2.1", 25) as connection:
        file = connection.makefile("rwb")
        assert file.readline() == b"220 hello\n"
        blob = os.urandom(300_000)
        file.write(blob)
        file.flush()
        assert file.read(len(blob)) == blob


def test_dial_ends_when_our_end_does(connect: Callable[..., socket.socket]) -> None:
    connection = connect("192.0.2.1", 25)
    connection.recv(100)
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(100) == b""
    connection.close()


@pytest.mark.parametrize(
    ("host", "port", "error", "words"),
    [
        ("192.0.2.1", 26, ConnectionRefusedError, "Connection refused"),
        ("vm33", 27, socket.gaierror, "Name or service not known"),
        ("192.0.2.1", 28, OSError, "No route to host"),
        ("192.0.2.1", 29, TimeoutError, "connect to 192.0.2.1 port 29 timed out"),
    ],
)
def test_dial_tells_why_there_is_no_connection(
    connect: Callable[..., socket.socket], host: str, port: int, error: type[OSError], words: str
) -> None:
    with pytest.raises(error, match=words):
        connect(host, port, patience=0.3)


def test_who_knows_that_no_answer_will_come_need_not_wait_for_one(board: Switchboard) -> None:
    asked: list[bool] = []

    def says(hopeless: bool) -> Callable[[], bool]:
        def ask() -> bool:
            asked.append(hopeless)
            return hopeless

        return ask

    with pytest.raises(TimeoutError, match="port 32 timed out"):
        board.dial("192.0.2.1", 32, hopeless=says(True))
    with board.dial("192.0.2.1", 32, hopeless=says(False)) as connection:
        assert connection.recv(100) == b"220 late\n"
    board.dial("192.0.2.1", 25, hopeless=says(True)).close()  # answered at once: nobody is asked
    assert asked == [True, False]


def test_many_connections_go_over_one_exec(engine: LocalExec, connect: Callable[..., socket.socket]) -> None:
    connections = [connect("192.0.2.1", 25) for _ in range(5)]
    for number, connection in enumerate(connections):
        connection.sendall(f"{number}\n".encode())
    for number, connection in enumerate(connections):
        assert connection.makefile("rb").read(len("220 hello\n0\n")) == f"220 hello\n{number}\n".encode()
        connection.close()
    assert engine.started in (1, 5)


@pytest.fixture
def board(engine: LocalExec) -> Iterator[Switchboard]:
    """Connections over one exec, with the stand-in for nc."""
    nc = Path(engine.environment["PATH"].partition(":")[0]) / "nc"
    nc.write_text(_NC)
    nc.chmod(0o755)
    board = Switchboard(cast(docker.APIClient, engine), "labenv-anna-host")
    yield board
    board.close()


def test_a_server_that_says_one_byte_at_a_time_is_not_heard_for_ever(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labenv.engine.dial._RUN", 3.0)
    began = time.monotonic()
    with board.dial("192.0.2.1", 30, timeout=10) as connection:
        assert connection.makefile("rb").read().strip(b"x") == b""
    assert time.monotonic() - began < 9
    with pytest.raises(TimeoutError):
        board.dial("192.0.2.1", 30)


def test_a_server_that_never_stops_talking_fills_no_memory(board: Switchboard) -> None:
    with board.dial("192.0.2.1", 31) as connection:
        assert len(connection.makefile("rb").read()) <= 4_000_000
    assert board.dial("192.0.2.1", 25).recv(100) == b"220 hello\n"


def test_a_machine_whose_perl_is_another_program_fills_no_memory(engine: LocalExec, board: Switchboard) -> None:
    perl = Path(engine.environment["PATH"].partition(":")[0]) / "perl"
    perl.write_text("#!/bin/sh\nprintf '\\000\\000\\000\\001\\001\\377\\377\\377\\377'; exec yes\n")
    perl.chmod(0o755)
    with pytest.raises(OSError, match=r"nc ended without a word|the machine has stopped"):
        board.dial("192.0.2.1", 25)


def test_connections_end_with_their_machine_and_the_next_begins_again(engine: LocalExec, board: Switchboard) -> None:
    connection = board.dial("192.0.2.1", 25)
    connection.recv(100)
    os.killpg(engine.processes[0].pid, signal.SIGKILL)
    assert connection.recv(100) == b""
    engine.state = {"Status": "exited", "ExitCode": 137}
    with pytest.raises(EngineError, match="switched off, so no command can run there"):
        board.dial("192.0.2.1", 25)
    engine.state = {"Status": "running", "ExitCode": 0}
    assert board.dial("192.0.2.1", 25).recv(100) == b"220 hello\n"
