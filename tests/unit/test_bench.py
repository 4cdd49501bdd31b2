"""The benchmark says what it needs before it makes anything."""

import importlib.util
import shutil

import pytest

from labenv.bench import pages
from labenv.errors import UsageError


@pytest.mark.parametrize("module", ["playwright", "nicegui", "asyncssh"])
def test_what_is_missing_to_measure_pages_is_said_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else there(name))
    with pytest.raises(UsageError, match=f"needs {module}. Install it: pip install "):
        pages.check_there()


def test_a_browser_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UsageError, match="apt-get install chromium-headless-shell"):
        pages.check_there()
