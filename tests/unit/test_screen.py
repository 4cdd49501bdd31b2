"""Progress in a log: plain lines, and a reminder of what takes long."""

import os
import re
import sys
import threading

import pexpect
import pytest

from labenv.cli import screen
from labenv.events import Event


def test_a_log_is_reminded_of_a_step_that_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "_SILENCE", 0.05)
    with screen.progress() as listen:
        listen(Event("image mail", "building", "start"))
        listen(Event("image mail", "step 3 of 9"))
        threading.Event().wait(0.3)
        listen(Event("image mail", "building", "done"))
    began, *between, ended = capsys.readouterr().err.splitlines()
    assert began == "image mail: building …"
    assert 2 <= len(between) <= 6
    assert set(between) == {"image mail: 0 s so far, step 3 of 9"}
    assert ended.startswith("image mail: done in ")


def test_a_short_step_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.progress() as listen:
        listen(Event("save", "saving", "start"))
        listen(Event("save", "vm2"))
        listen(Event("save", "saving", "done"))
    assert len(capsys.readouterr().err.splitlines()) == 2


DRAW = """
from labenv.cli import output, screen
output.settle([])
from labenv.events import Event
with screen.progress() as listen:
    listen(Event("export", "writing /home/somebody/a-long-folder/asmith15.labenv", "start"))
    listen(Event("export", "205 of 1070 MB and more words that do not fit"))
    listen(Event("export", "a note with /a/long/path/that/nobody/may/break-in-two.labenv in it", "note"))
    listen(Event("export", "done", "done"))
"""


def test_progress_in_a_terminal_is_one_line_shortened_at_its_end() -> None:
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "LABENV_PLAIN")}
    shown = pexpect.spawn(
        sys.executable, ["-c", DRAW], dimensions=(24, 60), env=environ | {"TERM": "xterm"}, encoding="utf-8"
    ).read()
    lines = [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)) if line.strip()]
    assert all(len(line) <= 60 for line in lines), lines
    assert "export: a note with" in lines
    assert "/a/long/path/that/nobody/may/break-in-two.labenv in it" in lines
    drawn = [line for line in lines if "writing" in line]
    assert drawn
    assert all(re.search(r"( |…) *0:00:0\d *$", line) for line in drawn), drawn
