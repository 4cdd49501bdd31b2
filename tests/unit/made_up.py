"""Computers made up for a test, below a folder of its own, and what they refuse."""

import stat
from pathlib import Path
from typing import Any

import pytest

from labenv.computer import Computer
from labenv.engine.find import connect
from labenv.errors import EngineError
from labenv.events import silent


def computer_at(root: Path, *, uid: int = 0, platform: str = "linux", **environ: str) -> Computer:
    return Computer(root, {"PATH": "/usr/bin", "HOME": str(root / "home"), **environ}, uid, platform)


def socket_of(root: Path) -> Path:
    return root / "var/run/docker.sock"


def refused(computer: Computer, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        connect(silent, computer=computer, **options)
    assert caught.value.exit_code == 3
    return caught.value


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def debian(root: Path) -> None:
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n')
