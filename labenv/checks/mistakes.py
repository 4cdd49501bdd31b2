"""What went wrong in a check itself, in words: where in the lab's own files, for whoever wrote it."""

import traceback
from collections.abc import Collection
from pathlib import Path

import pytest

from labenv.checks.evidence import CheckFailed
from labenv.errors import LabenvError, senseless


def sentence(error: BaseException, machine: str, folder: Path, machines: Collection[str] = ()) -> str:
    """An outcome in words: the error's own text if it is for users, else that the check itself failed to run.

    `folder` is the lab's; its file and line are named where the error came up there. `machines` are the lab's.
    """
    if isinstance(error, (CheckFailed, LabenvError, pytest.skip.Exception)):
        return str(error)
    if isinstance(error, pytest.FixtureLookupError):
        return _unknown(error, machines)
    where = place(error, folder)
    # What reading an answer raises, in a lab's check too: nothing tells it from a mistake in the check, so both are said.
    if isinstance(error, (ValueError, LookupError, RecursionError)):
        return f"{senseless(machine, error)}{f' Or the check is wrong, at {where}.' if where else ''}"
    return f"The check itself crashed{f' at {where}' if where else ''}: {type(error).__name__}: {error}"


def place(error: BaseException, folder: Path) -> str:
    """The file below `folder`, and its line, where an error came up, such as "checks/test_web.py:12"; empty if it was not there."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(folder)]
    return f"{Path(own[-1].filename).relative_to(folder)}:{own[-1].lineno}" if own else ""


def _unknown(error: pytest.FixtureLookupError, machines: Collection[str]) -> str:
    """A name that a check asks for, and that nothing brings."""
    name = error.argname
    asked = f"The check itself cannot run: it asks for '{name}', "
    if name in machines:
        return f'{asked}and checks/conftest.py does not have {name} = machine_fixture("{name}").'
    return f"{asked}which is no machine of checks/conftest.py, and no fixture or probe of the lab or its kits."
