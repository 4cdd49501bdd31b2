"""How pytest gets a lab's checks, isolated from any configuration in the user's folder: as modules of the lab's own package, so that two labs' never take each other's place.

pytest would name a module after the folders around it that have an `__init__.py`: `checks.test_web`, in each lab from elsewhere.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from labenv.errors import UsageError
from labenv.lab import modules
from labenv.lab.model import Lab

# Not needed here, and each of them costs time, writes into the user's folder, or prints.
_WITHOUT = (
    "cacheprovider terminal logging doctest unittest junitxml pastebin debugging faulthandler stepwise capture subtests "
    "setuponly setupplan tmpdir monkeypatch recwarn warnings threadexception unraisableexception"
)


def run(lab: Lab, *plugins: object) -> int | pytest.ExitCode:
    """Run a lab's checks with these plugins of pytest, and return its exit code.

    Raises UsageError, with the place, for checks that Python cannot load.
    """
    checks = _Checks(lab)
    folder = lab.folder / "checks"
    if not folder.is_dir():
        return pytest.ExitCode.NO_TESTS_COLLECTED
    # Without --confcutdir, pytest would read all folders above the lab's, too.
    arguments = [str(folder), "-c", os.devnull, f"--rootdir={folder}", f"--confcutdir={folder}"]
    arguments += ["--noconftest", "--assert=plain"]
    arguments += ["-p", "labenv.checks.plugin", *(word for name in _WITHOUT.split() for word in ("-p", f"no:{name}"))]
    with redirect_stdout(sys.stderr), _own_environment(), modules.compiled_apart(lab):  # a check may print
        code = pytest.main(arguments, plugins=[*plugins, checks, *checks.conftest()])
    if checks.broken:
        raise UsageError(checks.broken)
    return code


class _Checks:
    """A pytest plugin that collects the checks of one lab."""

    def __init__(self, lab: Lab) -> None:
        """Collect from this lab's `checks/`."""
        self.folder = lab.folder
        self.broken = ""  # why a module could not be loaded

    def conftest(self) -> list[ModuleType]:
        """The lab's conftest, a plugin with its fixtures, if there is one. Raises UsageError if Python cannot load it."""
        path = self.folder / "checks" / "conftest.py"
        if not path.is_file():
            return []
        try:
            return [modules.load(self.folder, "checks.conftest")]
        except Exception as error:  # whatever an author wrote there
            raise UsageError(_unloadable(path, error)) from error

    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector:
        """Take a folder for no more than that, also where it is a package."""
        found: pytest.Dir = pytest.Dir.from_parent(parent, path=path)
        return found

    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module:
        """A module of checks, under its name in the lab's package."""
        made: _Module = _Module.from_parent(parent, path=module_path)
        made.checks = self
        return made


class _Module(pytest.Module):
    checks: _Checks

    def _getobj(self) -> Any:
        folder = self.checks.folder
        try:
            return modules.load(folder, ".".join(self.path.relative_to(folder).with_suffix("").parts))
        except Exception as error:  # whatever an author wrote there; pytest alone would keep it to itself
            self.checks.broken = self.checks.broken or _unloadable(self.path, error)
            raise


def _unloadable(path: Path, error: Exception) -> str:
    """What is wrong with a module of checks, with the line in the lab's own files where Python stopped."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(path.parent)]
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else str(path)
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}"
    return f"{place}: the checks cannot be loaded: {type(error).__name__}: {error}. Fix that place."


@contextmanager
def _own_environment() -> Iterator[None]:
    """Keep the user's own pytest settings out of this run."""
    before = dict(os.environ)
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
