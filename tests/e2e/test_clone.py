"""A clone on somebody's computer: its path, its line ends, and the settings of their Python, as `make` meets them."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from labenv.computer import slowness
from labenv.engine import image_sources
from labenv.errors import EngineError

ROOT = Path(__file__).parents[2]
# A project as small as can be, whose backend needs no other package.
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "labenv"\nversion = "1"\n'
BACKEND = """
import os, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    info = {
        "labenv.pth": os.getcwd() + "\\n",
        "labenv-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: labenv\\nVersion: 1\\n",
        "labenv-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "labenv-1.dist-info/entry_points.txt": "[console_scripts]\\nlabenv = labenv:main\\n",
        "labenv-1.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(os.path.join(folder, "labenv-1-py3-none-any.whl"), "w") as wheel:
        for name, text in info.items():
            wheel.writestr(name, text)
    return "labenv-1-py3-none-any.whl"
"""


def small_clone(folder: Path) -> Path:
    """A clone with a small labenv, and one package that it needs, in a folder of wheels beside it."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    with zipfile.ZipFile(wheels / "needed-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("needed.py", "")
        wheel.writestr("needed-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: needed\nVersion: 1\n")
        wheel.writestr(
            "needed-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("needed-1.dist-info/RECORD", "")
    clone = folder / "clone"
    (clone / "labenv").mkdir(parents=True)
    shutil.copytree(ROOT / "tools", clone / "tools")
    shutil.copy(ROOT / "Makefile", clone)
    pinned = hashlib.sha256((wheels / "needed-1-py3-none-any.whl").read_bytes()).hexdigest()
    for name in ("requirements.txt", "requirements-dev.txt"):
        (clone / name).write_text(f"needed==1 --hash=sha256:{pinned}\n")
    (clone / "pyproject.toml").write_text(PYPROJECT)
    (clone / "backend.py").write_text(BACKEND)
    (clone / "labenv/__init__.py").write_text("def main():\n    import needed, sys; print('up', *sys.argv[1:])\n")
    return clone


def make(clone: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "MAKE"))}
    return subprocess.run(
        ["make", f"PYTHON={sys.executable}", *words],
        cwd=clone,
        env=clean | {"PIP_CONFIG_FILE": os.devnull} | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_make_needs_an_index_or_says_so_and_no_setting_of_the_users_python_leads_it_astray(tmp_path: Path) -> None:
    clone = small_clone(tmp_path / "it's Übung 'so so'")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/needed.py").write_text("raise ImportError('another one')")
    (tmp_path / "pip.conf").write_text(f"[install]\nuser = true\ntarget = {tmp_path}/target\n")
    hostile = {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_USER": "1",
        "PIP_TARGET": str(tmp_path / "target"),
        "PIP_PREFIX": str(tmp_path / "prefix"),
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONPATH": str(tmp_path / "theirs"),
        "PYTHONHOME": str(tmp_path / "theirs"),
        "CONDA_PREFIX": str(tmp_path / "conda"),
    }
    before = time.monotonic()
    done = make(clone, "lab", PIP_INDEX_URL="http://ann:secret@127.0.0.1:9/simple", **hostile)
    assert done.returncode == 2
    assert "could not be installed from http://127.0.0.1:9/simple" in done.stderr
    assert "secret" not in done.stderr.partition("could not be installed")[2]
    assert "PIP_NO_INDEX=1 PIP_FIND_LINKS=" in done.stderr
    assert time.monotonic() - before < 60 * slowness()

    without_network = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (clone.parent / "wheels").as_uri()}  # as it says
    done = make(clone, "lab", "STUDENT=ann", **hostile, **without_network)
    assert (done.returncode, done.stdout) == (0, "up up ann\n"), done.stderr
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "prefix").exists()

    (clone / ".venv/bin/python").unlink()
    (clone / ".venv/bin/python").symlink_to("/nowhere/python")  # it was a conda's, and is gone
    (clone / ".venv/run").unlink()
    done = make(clone, "lab", "STUDENT=ann", **without_network)
    assert (done.returncode, done.stdout) == (0, "up up ann\n"), done.stderr


@pytest.mark.parametrize("sign", ['"', "$", "`", "\\", ":"])
def test_a_path_in_which_no_script_of_pips_starts_is_told(tmp_path: Path, sign: str) -> None:
    clone = tmp_path / f"my {sign} folder"
    (clone / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/venv", clone / "tools")
    done = subprocess.run(
        ["tools/venv", sys.executable, ".venv", "x"], cwd=clone, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "Move the clone to another folder" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_clone_by_a_git_that_converts_line_ends_keeps_those_of_unix(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("these files are not a clone")
    with_setting = ["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "-c", "safe.directory=*"]
    subprocess.run(
        [*with_setting, "clone", "-q", "--no-local", "--depth=1", ROOT.as_uri(), tmp_path / "it"], check=True
    )
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=tmp_path / "it", capture_output=True, check=True).stdout
    files = [tmp_path / "it" / os.fsdecode(name) for name in listed.split(b"\0") if name]
    assert not [
        str(file)
        for file in files
        if file.is_file() and b"\r\n" in file.read_bytes() and file.suffix not in (".png", ".webp")
    ]
    assert image_sources.digest(tmp_path / "it/images/base", "below") == image_sources.digest(
        ROOT / "images/base", "below"
    )


def test_files_with_the_line_ends_of_windows_are_told_before_anything_is_built(tmp_path: Path) -> None:
    clone = small_clone(tmp_path)
    for file in (clone / "Makefile", clone / "tools/venv"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    done = make(clone, "lab")
    assert done.returncode == 2
    assert "have the line ends of Windows" in done.stderr
    assert "Clone labenv again with git" in done.stderr

    shutil.copytree(ROOT / "images/base", tmp_path / "base")
    assert image_sources.digest(tmp_path / "base", "below")
    script = next(
        file for file in tmp_path.joinpath("base").rglob("*") if file.is_file() and file.stat().st_mode & 0o100
    )
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(EngineError, match=f"{script.name} has the line ends of Windows"):
        image_sources.digest(tmp_path / "base", "below")
