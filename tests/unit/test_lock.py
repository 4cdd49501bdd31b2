"""Two commands never change one environment at the same time."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from labenv import places
from labenv.computer import Computer
from labenv.engine import Engine
from labenv.engine.endpoint import Endpoint
from labenv.environments import lock
from labenv.environments.lock import _command_of_holder, locked, student_lock
from labenv.errors import EngineError
from labenv.events import Event, silent

HOLDER = """
import os, sys
from pathlib import Path
from labenv import places
from labenv.computer import Computer
from labenv.environments import lock
from labenv.errors import EngineError
from labenv.events import silent
from labenv.environments.lock import student_lock
folder, user, group = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
if user:
    os.setgroups([group])
    os.setgid(user)
    os.setuid(user)
try:
    with student_lock(places.shared(group) if group else folder, "anna", silent, patience=0):
        print("held", flush=True)
        sys.stdin.read()
except EngineError as error:
    print(error, flush=True)
"""
NOBODY, GROUP = 65534, 100_000 + os.getpid()  # one of their own for tests that run side by side
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@contextmanager
def holder(folder: Path, user: int = 0, group: int = 0) -> Iterator[tuple[int, str]]:
    """Another process that tries to hold anna's lock, maybe of another user; `said` is what became of it."""
    argv = [sys.executable, "-c", HOLDER, str(folder), str(user), str(group)]
    with subprocess.Popen(argv, stdin=-1, stdout=-1, text=True) as held:
        assert held.stdout is not None
        try:
            yield held.pid, held.stdout.readline().strip()
        finally:
            held.kill()


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The lock folder of a group on this computer, removed afterwards."""
    path = next(place for place in places._PUBLIC if place.is_dir()) / f"labenv-{GROUP}"
    yield path
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink() if left.is_symlink() or left.is_file() else shutil.rmtree(left)


def test_a_second_holder_is_told_who_holds_the_lock(folder: Path) -> None:
    with holder(folder) as (process, said):
        assert said == "held"
        heard: list[Event] = []
        with (
            pytest.raises(EngineError, match=f"process {process} of "),
            student_lock(folder, "anna", heard.append, patience=0),
        ):
            pass
        assert not heard or f"process {process}" in heard[0].message
    with student_lock(folder, "anna", silent, patience=5):  # however the holder ended
        pass


def test_the_command_that_holds_a_lock_is_known_until_it_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["labenv", "restore", "good", "-s", "anna (a)"])
    path = folder / "anna.lock"
    assert _command_of_holder(path) == ""
    with student_lock(folder, "anna", silent):
        assert _command_of_holder(path) == "restore good -s 'anna (a)'"
    path.write_text("process 1 of root on here (down)")
    assert _command_of_holder(path) == "", "its holder was killed"


@as_root
def test_two_users_of_one_engine_exclude_each_other(folder: Path, public: Path) -> None:
    with (
        holder(folder, NOBODY, GROUP) as (process, _),
        pytest.raises(EngineError, match=f"process {process} of nobody"),
        student_lock(places.shared(GROUP), "anna", silent, patience=0),
    ):
        pass
    with student_lock(places.shared(GROUP), "anna", silent, patience=5), holder(folder, NOBODY, GROUP) as (_, said):
        assert f"locked by process {os.getpid()} of root" in said
    assert not list(public.iterdir())


@as_root
@pytest.mark.parametrize("trap", ["a link", "a folder", "a file"])
def test_what_another_user_laid_in_the_way_of_a_shared_lock_is_not_used(
    public: Path, tmp_path: Path, trap: str
) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    if trap == "a link":
        public.symlink_to(tmp_path)
    elif trap == "a folder":
        public.mkdir(mode=0o777)
        (public / "anna.lock").symlink_to(target)
    else:
        public.touch()
    os.chown(public, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(FileExistsError, match=f"{public.name} belongs to user {NOBODY}"):
        places.shared(GROUP)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe"])
def test_a_lock_that_is_no_file_of_its_own_is_refused(folder: Path, kind: str) -> None:
    target = folder / "precious"
    target.write_text("precious")
    lock = folder / "anna.lock"
    {
        "link": lambda: lock.symlink_to(target),
        "hard link": lambda: lock.hardlink_to(target),
        "pipe": lambda: os.mkfifo(lock),
    }[kind]()
    with pytest.raises(EngineError, match=re.escape(str(lock))), student_lock(folder, "anna", silent, patience=0):
        pass
    assert target.read_text() == "precious"


def test_a_private_folder_of_locks_that_others_can_use_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert places.runtime() == folder / "labenv"
    (folder / "labenv").chmod(0o777)
    with pytest.raises(EngineError, match="not a folder that only you can use"):
        places.runtime()
    (folder / "labenv").rmdir()
    (folder / "labenv").symlink_to(folder)
    with pytest.raises(EngineError, match="not a folder that only you can use"):
        places.runtime()


@as_root
def test_another_users_runtime_folder_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(folder, NOBODY, NOBODY)  # as `sudo -E` leaves it
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    assert not places.runtime().is_relative_to(folder)
    assert not places.state().is_relative_to(folder)


@as_root
def test_a_user_without_a_home_has_a_place_for_locks() -> None:
    code = (
        f"import os; from labenv import places; os.setgid({NOBODY}); os.setuid({NOBODY}); "
        "os.environ.update(HOME='/nonexistent'); os.environ.pop('XDG_RUNTIME_DIR', 0); print(places.runtime())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == f"/tmp/labenv-locks-{NOBODY}"
    Path(said).rmdir()


def test_nothing_is_left_when_the_lock_is_given_back(folder: Path) -> None:
    with student_lock(folder, "anna", silent):
        assert list(folder.rglob("anna.lock"))
    assert not list(folder.rglob("*.lock"))


def test_students_do_not_wait_for_each_other(folder: Path) -> None:
    with student_lock(folder, "anna", silent), student_lock(folder, "ben", silent, patience=0):
        assert os.getpid()


def test_a_folder_that_only_a_container_has_is_not_for_all_who_use_an_engine_of_its_computer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def at(sign: str) -> Computer:
        (tmp_path / sign).parent.mkdir(exist_ok=True)
        (tmp_path / sign).touch()
        return Computer(root=tmp_path)

    def is_own(socket: str, folder: str = "/") -> bool:
        engine = cast(Engine, Somewhere(Endpoint(f"unix://{socket}", "a test")))
        return lock._is_containers_own(engine, Path(folder))

    assert not is_own("/proc/version") or Computer().is_container
    monkeypatch.setattr(lock, "Computer", lambda: at(".dockerenv"))
    assert is_own("/proc/version")
    assert not is_own("/proc/version", "/proc"), "another file system: bound from the computer"
    assert not is_own("/etc/passwd"), "the engine runs in the same container"
    (tmp_path / ".dockerenv").unlink()
    monkeypatch.setattr(lock, "Computer", lambda: at("run/.containerenv"))
    assert is_own("/proc/version")


@dataclass
class Somewhere:
    """As much of an engine as is asked of it where a file is the lock."""

    endpoint: Endpoint


def test_who_has_a_lock_has_it_already_and_only_that_thread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_folder_of", lambda _: (folder, True))
    one, other = (cast(Engine, Somewhere(Endpoint(url, "a test"))) for url in ("unix:///one", "unix:///other"))
    with ThreadPoolExecutor(1) as another:

        def is_free() -> bool:
            try:
                with locked(one, "anna", silent, patience=0):
                    return True
            except EngineError:
                return False

        with locked(one, "anna", silent):
            with locked(one, "anna", silent, patience=0):
                assert not another.submit(is_free).result()
            assert not another.submit(is_free).result(), "the inner block gives nothing back"
            with pytest.raises(EngineError, match="locked by process"), locked(other, "anna", silent, patience=0):
                pytest.fail("this is another engine's environment")
        assert another.submit(is_free).result()
