"""How fast labenv is on this machine: medians of several runs, and ratios within the same bench.

Whole commands are timed, as a shell sees them, because that is what a person waits for. The comparison with docker-compose
starts the same topology: once from labenv's own images (what `labenv render` writes), once from stock Debian machines with
the same services, which only the bench builds. Everything that the bench makes is named bench-… and removed.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from labenv.engine import Engine, bundle, save_store
from labenv.engine.image_sources import usual, wanted
from labenv.engine.images import Images
from labenv.engine.ready import await_answers
from labenv.engine.recipe import INIT
from labenv.environments.down import down
from labenv.environments.settle import due
from labenv.errors import EngineError
from labenv.events import Event, Listener, silent
from labenv.lab import labs

_STUDENT = "bench-labenv"
_SYSTEMD = "/lib/systemd/systemd"  # what INIT becomes, and all that a stock machine has
_STOCK_TAG = "labenv-bench/stock"
_OURS = (
    "labenv-bench/",
    "labenv-bench_",
    "labenv-bench-",
)  # tags of what is built here, by labenv and by docker-compose
_LIMIT = 300.0  # seconds that a single command may take
_REST = 4.0  # seconds to wait at most until the processors are idle
_LOOK = 0.3  # seconds over which idleness is measured


@dataclass(frozen=True)
class Measurement:
    """One measured thing: its values (seconds, or `unit`), their median, and its target, if it has one."""

    name: str
    unit: str
    values: tuple[float, ...]
    target: float | None = None

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    def to_dict(self) -> dict[str, Any]:
        """As `bench --json` shows it."""
        values = [round(value, 3) for value in self.values]
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 3),
            "values": values,
            "target": self.target,
        }


def run(engine: Engine, listen: Listener, *, runs: int, labs_at_once: int, cold: bool) -> list[Measurement]:
    """Measure and return the rows. Raises EngineError if a command that is measured fails."""
    _sweep(engine)
    try:
        return list(_rows(engine, listen, runs, labs_at_once, cold))
    finally:
        _sweep(engine)


def _rows(engine: Engine, listen: Listener, runs: int, labs_at_once: int, cold: bool) -> Iterator[Measurement]:
    if cold:
        with _said(listen, "building all images from scratch"):
            yield Measurement(
                "cold image build", "s", (_timed(lambda: Images(engine).build_afresh("labenv-bench", silent)),), 60
            )
    with _said(listen, "labenv --help"):
        yield Measurement("labenv --help", "s", _repeat(runs, lambda: _labenv("--help")), 0.3)
    times: dict[str, list[float]] = {
        "up": [],
        "check": [],
        "next": [],
        "save": [],
        "restore": [],
        "down": [],
        "outside": [],
        "own": [],
        "stock": [],
    }
    commands: list[float] = []
    memory: list[float] = []
    memory_outside: list[float] = []
    Images(engine).ensure(usual(), listen)
    with (
        tempfile.TemporaryDirectory(prefix="labenv-bench-") as folder,
        _compared(engine, Path(folder), listen) as compared,
    ):
        for round_ in range(runs):  # interleaved, so that a noisy moment affects all of them alike
            with _said(listen, f"round {round_ + 1} of {runs}"):
                for name, started in compared.items():
                    times[name].append(started())
                times["up"].append(_timed(lambda: _labenv("up", _STUDENT, "--no-check")))
                memory += _memory(engine, optional=False)
                commands += _commands(engine)
                times["check"].append(_timed(lambda: _labenv("check", "-s", _STUDENT)))
                times["next"].append(_timed(lambda: _labenv("next", "-s", _STUDENT)))
                times["save"].append(_timed(lambda: _labenv("save", "-s", _STUDENT)))
                times["restore"].append(_timed(lambda: _labenv("restore", "save-1", "-s", _STUDENT)))
                _remove_saves(engine)
                times["down"].append(_timed(lambda: _labenv("down", "-s", _STUDENT)))
                times["outside"].append(_timed(lambda: _labenv("up", _STUDENT, "--no-check", "--outside")))
                memory_outside += _memory(engine, optional=True)
                _labenv("down", "-s", _STUDENT)
    yield Measurement("warm up, until all services answer", "s", tuple(times["up"]))
    yield Measurement("one command in a machine", "ms", tuple(commands), 5)
    yield Measurement("check, all at stage done", "s", tuple(times["check"]), 1)
    yield Measurement("next, where nothing fails", "s", tuple(times["next"]), 1)
    yield Measurement("save", "s", tuple(times["save"]), 2)
    yield Measurement("restore, with the save before it", "s", tuple(times["restore"]))
    yield Measurement("down", "s", tuple(times["down"]))
    if memory:
        yield Measurement("idle memory of a lab (PSS)", "MiB", tuple(memory), 75)
        yield Measurement("idle memory of the world outside (PSS)", "MiB", tuple(memory_outside), 40)
    pairs = zip(times["outside"], times["up"], strict=True)
    yield Measurement("added to a warm up by the world outside", "s", tuple(a - b for a, b in pairs), 0.3)
    for name, what, target in (("own", "labenv's own images", 1.0), ("stock", "stock Debian machines", 0.4)):
        if times[name]:
            yield Measurement(f"docker-compose up on {what}", "s", tuple(times[name]))
            pairs = zip(times["up"], times[name], strict=True)
            yield Measurement(f"ratio: warm up / docker-compose on {what}", "x", tuple(a / b for a, b in pairs), target)
    with _said(listen, "exporting all images"), tempfile.TemporaryDirectory(prefix="labenv-bench-") as folder:
        yield Measurement(
            "bundle of all images",
            "MB",
            (bundle.export(Images(engine), [wanted()[name] for name in usual()], Path(folder) / "all", silent) / 1e6,),
            250,
        )
    yield from _desktop(engine, listen, runs)
    with _said(listen, f"{labs_at_once} labs at once"):
        took = _timed(lambda: _many(labs_at_once))
    yield Measurement(f"{labs_at_once} labs at once", "s", (took,), 12 if labs_at_once == 10 else None)


def _desktop(engine: Engine, listen: Listener, runs: int) -> Iterator[Measurement]:
    """The size of the desktop's image, and the time from the command to Thunderbird's window."""
    images, tag = Images(engine), wanted()["desktop"].tag
    try:
        images.ensure(["desktop"], listen)
    except EngineError as error:
        listen(Event("desktop", f"skipped, because its image cannot be built here: {error}", "note"))
        return
    yield Measurement(
        "image of the desktop", "MB", tuple(image.size / 1e6 for image in images.present() if image.tag == tag)
    )
    _labenv("up", _STUDENT, "--outside", "--no-check")
    times = []
    with _said(listen, "labenv desktop"):
        for _ in range(runs):
            times.append(_timed(lambda: _labenv("desktop", "-s", _STUDENT, "--no-open")))
            _labenv("desktop", "-s", _STUDENT, "--remove")
    _labenv("down", "-s", _STUDENT)
    yield Measurement("labenv desktop, until Thunderbird's window", "s", tuple(times), 10)


@contextmanager
def _said(listen: Listener, what: str) -> Iterator[None]:
    listen(Event(what, what, "start"))
    yield
    listen(Event(what, what, "done"))


def _timed(work: Callable[[], Any]) -> float:
    _settle()
    before = time.monotonic()
    work()
    return time.monotonic() - before


def _settle() -> None:
    """Wait until the processors are idle: an engine still cleans up after the previous run (proc_stat(5))."""
    stat = Path("/proc/stat")
    deadline = time.monotonic() + _REST
    while stat.exists() and time.monotonic() < deadline:
        before = _idle_and_all(stat)
        time.sleep(_LOOK)
        idle, every = (now - then for now, then in zip(_idle_and_all(stat), before, strict=True))
        if idle > 0.95 * every:
            return


def _idle_and_all(stat: Path) -> tuple[int, int]:
    with stat.open() as lines:
        ticks = [int(word) for word in lines.readline().split()[1:]]
    return ticks[3] + ticks[4], sum(ticks)


def _repeat(runs: int, work: Callable[[], Any]) -> tuple[float, ...]:
    return tuple(_timed(work) for _ in range(runs))


def _labenv(*arguments: str) -> None:
    _call([sys.executable, "-m", "labenv", *arguments])


def _call(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT, check=False
    )
    if done.returncode:
        raise EngineError(
            f"{' '.join(command[:6])} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}"
        )


def _many(count: int) -> None:
    _labenv("up", *(f"{_STUDENT}-{n}" for n in range(count)), "--no-check")


def _sweep(engine: Engine) -> None:
    for environment in engine.environments():
        if environment.student.id.startswith(_STUDENT):
            down(engine, environment, silent)
    _remove_saves(engine)
    Images(engine).remove_tagged(_OURS)  # a bench that was killed has left them, too


def _remove_saves(engine: Engine) -> None:
    for save in save_store.found(engine):
        if save.student_id.startswith(_STUDENT):
            save_store.remove(engine, save)


def _commands(engine: Engine) -> list[float]:
    """Milliseconds that a command in a machine takes over an open channel, the median of twenty."""
    with engine.shell(engine.environments(_STUDENT)[0].regular[-1]) as channel:
        channel.run("true")
        took = []
        for _ in range(20):
            before = time.monotonic()
            channel.run("true")
            took.append(1000 * (time.monotonic() - before))
    return [statistics.median(took)]


def _memory(engine: Engine, *, optional: bool) -> list[float]:
    """The proportional set size in MiB (proc(5), smaps_rollup) of the machines' processes, where they can be seen.

    Counts the machines that every lab has, or only the `optional` ones.
    """
    if not engine.is_local or os.geteuid() != 0:
        return []
    [environment] = engine.environments(_STUDENT)
    kilobytes = 0
    for machine in (machine for machine in environment.machines if machine.optional == optional):
        for process in engine.processes(machine.container):
            rollup = Path(f"/proc/{process}/smaps_rollup")
            kilobytes += next(int(line.split()[1]) for line in rollup.open() if line.startswith("Pss:"))
    return [kilobytes / 1024]


@contextmanager
def _compared(engine: Engine, folder: Path, listen: Listener) -> Iterator[dict[str, Callable[[], float]]]:
    """The two docker-compose starts to compare with, ready to be timed.

    None if docker-compose is not installed, or the lab has no stock machine, which does the same with nothing of labenv.
    """
    compose = _compose_command()
    if compose is None:
        listen(
            Event(
                "compare", "skipped, because docker-compose is not installed (apt-get install docker-compose)", "note"
            )
        )
        yield {}
        return
    stock = labs.load(labs.default()).folder / "stock"
    if not stock.is_dir():
        listen(
            Event(
                "compare", f"skipped, because {labs.default()} has no folder stock, with a stock Debian machine", "note"
            )
        )
        yield {}
        return
    _labenv("render", str(folder / "own"), "-s", _STUDENT)
    tree = yaml.safe_load((folder / "own" / "compose.yaml").read_text(encoding="utf-8"))
    with _said(listen, "building the stock Debian machine to compare with"):
        Images(engine).build_stock(stock, _STOCK_TAG, silent)
    for service in tree["services"].values():
        del service["build"]
        service["image"] = _STOCK_TAG
        service["command"] = [_SYSTEMD if word == INIT else word for word in service["command"]]
    (folder / "stock").mkdir()
    (folder / "stock" / "compose.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    _call([*compose, "-f", "compose.yaml", "-p", "labenv-bench", "build"], folder / "own")

    def timed(kind: str) -> float:
        command = [*compose, "-f", "compose.yaml", "-p", "labenv-bench"]

        def up() -> None:
            _call([*command, "up", "-d"], folder / kind)
            environment = engine.environments(_STUDENT)[0]
            answers = due(environment, tree["services"])
            if kind == "stock":
                answers = [replace(answer, dns="localhost") if answer.dns else answer for answer in answers]
            await_answers(engine, environment, answers)

        took = _timed(up)
        _call([*command, "down"], folder / kind)
        return took

    yield {kind: partial(timed, kind) for kind in ("own", "stock")}


def _compose_command() -> list[str] | None:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return ["docker", "compose"]
    return None


def as_json(rows: list[Measurement]) -> dict[str, Any]:
    """The rows, with the machine that they were measured on, as `bench --json` shows them."""
    return {"cores": os.cpu_count(), "rows": [row.to_dict() for row in rows]}
