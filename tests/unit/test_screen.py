"""Progress in a log: plain lines, and a reminder of what takes long."""

import threading

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
