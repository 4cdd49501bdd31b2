"""Programs that labenv starts import nothing of the folder in which it runs: there may be what students have handed in."""

import subprocess
import sys
from pathlib import Path

import pytest

from labenv.gate.programs import labenv

CHECKER = """\
from labenv.classroom.running.checking import _Process

if __name__ == "__main__":
    process = _Process()
    process._pipe.close()
    process.end(30)
    raise SystemExit(process._process.exitcode)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "handed-in"
    folder.mkdir()
    for name in ("socket.py", "signal.py", "labenv.py"):
        (folder / name).write_text("open('ran', 'w').close()\nraise SystemExit(9)\n")
    return folder


def test_a_process_that_checks_imports_nothing_of_it(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "check.py"
    script.write_text(CHECKER)
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (folder / "ran").exists()


def test_a_command_of_a_student_imports_nothing_of_it(folder: Path) -> None:
    done = subprocess.run(labenv("--version"), cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout[:7]) == (0, "labenv ")
    assert not (folder / "ran").exists()
