"""How long a class takes: up and verified, checked, shown, removed, and the memory that it has meanwhile."""

import tempfile
import time
from functools import partial
from pathlib import Path

from labenv.bench.timing import Measurement, run_labenv, said, timed
from labenv.computer import Computer
from labenv.environments import room
from labenv.events import Listener
from labenv.lab import labs

_EACH = 20.0  # seconds that a command may take for each student: several times what it takes
# The targets by the number of students, on two processors with 24 GiB.
_TARGETS: dict[str, dict[int, float]] = {
    "up": {30: 35, 100: 120},
    "check": {30: 20},
    "status": {100: 2},
    "memory": {100: 9 * 1024},
}
_REST = 3.0  # seconds until a computer has given back the memory of what has ended


def measured(listen: Listener, prefix: str, students: int, runs: int) -> list[Measurement]:
    """The rows of a class of so many, whose ids begin with `prefix`; it is removed after each run. Raises EngineError."""
    times: dict[str, list[float]] = {"up": [], "memory": [], "check": [], "status": [], "down": []}
    with tempfile.TemporaryDirectory(prefix="labenv-bench-") as name:
        folder = Path(name)
        _written(folder, prefix, students)
        for run in range(runs):
            _one_run(listen, folder, students, times, f"run {run + 1} of {runs}")
    titles = {
        "up": ("{} environments up and verified (class up)", "s"),
        "memory": ("memory that they take, with the engine's own programs", "MiB"),
        "check": ("class check", "s"),
        "status": ("class status", "s"),
        "down": ("class down", "s"),
    }
    return [
        Measurement(title.format(students), unit, tuple(times[key]), _TARGETS.get(key, {}).get(students))
        for key, (title, unit) in titles.items()
        if times[key]
    ]


def _one_run(listen: Listener, folder: Path, students: int, times: dict[str, list[float]], which: str) -> None:
    command = partial(run_labenv, "class", most=60 + _EACH * students)
    before = _free()
    for name, arguments in (("up", ()), ("check", ()), ("status", ()), ("down", ("--yes",))):
        with said(listen, f"class {name}, {which}"):
            times[name].append(timed(partial(command, name, "-c", str(folder), *arguments)))
        if name == "up" and before:
            time.sleep(_REST)
            times["memory"].append((before - _free()) / (1 << 20))


def _free() -> int:
    """The memory that programs could have, in bytes; 0 where that cannot be seen."""
    return room.available_memory(Computer()) or 0


def _written(folder: Path, prefix: str, students: int) -> None:
    lab = labs.load(labs.default())
    told = f"name: bench\nid: {prefix}\nlabs:\n  - lab: {lab.id}\n    at: {lab.last_stage}\n"
    (folder / "class.yaml").write_text(told, encoding="utf-8")
    rows = "".join(f"{prefix}-{number:03}\n" for number in range(1, students + 1))
    (folder / "roster.csv").write_text(f"id\n{rows}", encoding="utf-8")
