"""How long a class takes: up and verified, checked, shown, removed, graded, and the memory that it has meanwhile."""

import tempfile
import time
from functools import partial
from pathlib import Path

from labenv.bench.timing import Measurement, run_labenv, said, timed
from labenv.computer import Computer
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments import room
from labenv.events import Event, Listener
from labenv.lab import labs, mutations
from labenv.lab.model import Lab
from labenv.parallel import Together

_EACH = 20.0  # seconds that a command may take for each student: several times what it takes
_AT_ONCE = 4  # hand-ins that are made at the same time
# What is measured, in this order: the row's title, its unit, and the targets by the number of students, on two processors with 24 GiB.
_ROWS: dict[str, tuple[str, str, dict[int, float]]] = {
    "first": ("{} environments up and verified at the lab's first stage (class up)", "s", {30: 35, 100: 120}),
    "up": ("{} environments up and verified at its last", "s", {30: 35, 100: 120}),
    "memory": ("memory that they take, with the engine's own programs", "MiB", {100: 9 * 1024}),
    "check": ("class check, all at the last stage", "s", {30: 20}),
    "status": ("class status", "s", {100: 2}),
    "down": ("class down", "s", {}),
    "grade": ("class grade of {} hand-ins, half of them with a fault", "s", {30: 5}),
    "replay": ("class grade --replay of the same", "s", {30: 60}),
}
_REST = 3.0  # seconds until a computer has given back the memory of what has ended


def measured(engine: Engine, listen: Listener, prefix: str, students: int, runs: int) -> list[Measurement]:
    """The rows of a class of so many, whose ids begin with `prefix`; it is removed after each run. Raises EngineError."""
    times: dict[str, list[float]] = {key: [] for key in _ROWS}
    for run in range(runs):
        with tempfile.TemporaryDirectory(prefix="labenv-bench-") as name:
            _one_run(engine, listen, Path(name), prefix, students, times, f"run {run + 1} of {runs}")
    return [
        Measurement(title.format(students), unit, tuple(times[key]), targets.get(students))
        for key, (title, unit, targets) in _ROWS.items()
        if times[key]
    ]


def _one_run(
    engine: Engine,
    listen: Listener,
    folder: Path,
    prefix: str,
    students: int,
    times: dict[str, list[float]],
    which: str,
) -> None:
    lab = labs.load(labs.default())
    write(folder, prefix, students, lab)

    def run_class(*arguments: str) -> None:
        run_labenv("class", *arguments, "-c", str(folder), most=60 + _EACH * students)

    def timing(key: str, *arguments: str) -> None:
        told = " ".join(word for word in arguments if not word.startswith("/"))
        with said(listen, f"class {told}, {which}"):
            times[key].append(timed(partial(run_class, *arguments)))

    timing("first", "up", "--at", lab.stages[0].id)
    run_class("down", "--yes")
    before = _free()
    timing("up", "up")
    if before:
        time.sleep(_REST)
        times["memory"].append((before - _free()) / (1 << 20))
    timing("check", "check")
    timing("status", "status")
    with said(listen, f"making hand-ins, {which}"):
        _handed_in(engine, listen, folder / "handins", prefix, lab)
    timing("down", "down", "--yes")
    timing("grade", "grade", str(folder / "handins"))
    timing("replay", "grade", str(folder / "handins"), "--replay")


def _free() -> int:
    """The memory that programs could have, in bytes; 0 where that cannot be seen."""
    return room.available_memory(Computer()) or 0


def write(folder: Path, prefix: str, students: int, lab: Lab) -> None:
    """Make a class of so many students, whose ids begin with `prefix`, at the lab's last stage."""
    told = f"name: bench\nid: {prefix}\nlabs:\n  - lab: {lab.id}\n    at: {lab.last_stage}\n"
    (folder / "class.yaml").write_text(told, encoding="utf-8")
    rows = "".join(f"{prefix}-{number:03}\n" for number in range(1, students + 1))
    (folder / "roster.csv").write_text(f"id\n{rows}", encoding="utf-8")
    (folder / "handins").mkdir()


def _handed_in(engine: Engine, listen: Listener, folder: Path, prefix: str, lab: Lab) -> None:
    """Have each student hand in; every second one has made another of the mistakes that the lab knows."""
    there = sorted(
        (one for one in engine.environments() if one.belongs.class_id == prefix), key=lambda one: one.student.id
    )
    known = mutations.faults(lab)
    apart = max(1, 2 * len(known) // max(1, len(there)))  # so that they are of all steps
    wrong = dict(zip((one.student.id for one in there[::2]), known[::apart], strict=False))

    def hand_in(one: Environment) -> None:
        who = one.student
        if fault := wrong.get(who.id):
            for machine in one.regular:
                if machine.name in fault.machines:
                    with engine.apart().shell(machine) as shell:
                        done = shell.run(fault.script(who), timeout=60)
                    if done.rc:
                        listen(Event("handins", f"{who.id} has no fault: {fault.id} could not be made", "note"))
        run_labenv("submit", str(folder / f"{who.id}.tar.gz"), "-s", who.id)

    with Together(_AT_ONCE) as pool:
        list(pool.map(hand_in, there))
