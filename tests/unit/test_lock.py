"""Two commands never change one environment at the same time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labenv.environments.lock import student_lock
from labenv.errors import EngineError
from labenv.events import Event, silent

HOLDER = """
import sys
from labenv.events import silent
from labenv.environments.lock import student_lock
with student_lock("anna", silent):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_a_second_holder_is_told_who_holds_the_lock(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        heard: list[Event] = []
        with pytest.raises(EngineError, match=f"process {holder.pid}"), student_lock("anna", heard.append, patience=0):
            pass
        assert f"process {holder.pid}" in heard[0].message if heard else True
        holder.kill()
    with student_lock("anna", silent, patience=5):  # however the holder ended
        pass


def test_nothing_is_left_when_the_lock_is_given_back(folder: Path) -> None:
    with student_lock("anna", silent):
        assert list(folder.rglob("anna.lock"))
    assert not list(folder.rglob("*.lock"))


def test_students_do_not_wait_for_each_other(folder: Path) -> None:
    with student_lock("anna", silent), student_lock("ben", silent, patience=0):
        assert os.getpid()
