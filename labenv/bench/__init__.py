"""How fast labenv is on this machine: medians of several runs, and ratios within the same bench.

Whole commands are timed, as a shell sees them, because that is what a person waits for. The comparison with docker-compose
starts the same topology: once from labenv's own images (what `labenv render` writes), once from stock Debian machines with
the same services, which only the bench builds. Everything that the bench makes is named bench-… and removed.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from labenv.bench import class_, pages, swarm
from labenv.bench.timing import Measurement, call, pss, repeat, run_labenv, said, timed
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
from labenv.parallel import Together

_STUDENT = "bench-labenv"
_REMOVED_AT_ONCE = 4  # environments
_SYSTEMD = "/lib/systemd/systemd"  # what INIT becomes, and all that a stock machine has
_STOCK_TAG = "labenv-bench/stock"
_OURS = (
    "labenv-bench/",
    "labenv-bench_",
    "labenv-bench-",
)  # tags of what is built here, by labenv and by docker-compose


def run(engine: Engine, listen: Listener, *, runs: int, labs_at_once: int, cold: bool) -> list[Measurement]:
    """Measure and return the rows. Raises EngineError if a command that is measured fails."""
    _sweep(engine)
    try:
        return list(_rows(engine, listen, runs, labs_at_once, cold))
    finally:
        _sweep(engine)


def run_class(engine: Engine, listen: Listener, *, runs: int, students: int) -> list[Measurement]:
    """Measure what a class of so many students takes. Raises EngineError if a command that is measured fails."""
    _sweep(engine)
    try:
        Images(engine).ensure(usual(), listen)
        return class_.measured(engine, listen, _STUDENT, students, runs)
    finally:
        with said(listen, "removing what was made"):
            _sweep(engine)


def run_pages(engine: Engine, listen: Listener, *, runs: int, count: int) -> list[Measurement]:
    """Measure the page of a class with so many of them open.

    Raises UsageError if a browser or what drives it is missing, EngineError if something that is measured fails.
    """
    pages.check_there()
    _sweep(engine)
    try:
        Images(engine).ensure(usual(), listen)
        return pages.measured(engine, listen, _STUDENT, count, runs)
    finally:
        with said(listen, "removing what was made"):
            _sweep(engine)


def run_swarm(engine: Engine, listen: Listener, *, runs: int, students: int) -> list[Measurement]:
    """Measure a class of so many students on the swarm that this computer manages, beside the same on its engine alone.

    Raises UsageError if it manages none, EngineError if something that is measured fails.
    """
    swarm.check_there(engine)
    with said(listen, "removing what an earlier bench has left"):
        swarm.sweep(engine, _STUDENT, _sweep)
    try:
        Images(engine).ensure(usual(), listen)
        return swarm.measured(engine, listen, _STUDENT, students, runs)
    finally:
        with said(listen, "removing what was made"):
            swarm.sweep(engine, _STUDENT, _sweep)


def _rows(engine: Engine, listen: Listener, runs: int, labs_at_once: int, cold: bool) -> Iterator[Measurement]:
    if cold:
        with said(listen, "building all images from scratch"):
            yield Measurement(
                "cold image build", "s", (timed(lambda: Images(engine).build_afresh("labenv-bench", silent)),), 60
            )
    with said(listen, "labenv --help"):
        yield Measurement("labenv --help", "s", repeat(runs, lambda: run_labenv("--help")), 0.3)
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
            with said(listen, f"round {round_ + 1} of {runs}"):
                for name, started in compared.items():
                    times[name].append(started())
                times["up"].append(timed(lambda: run_labenv("up", _STUDENT, "--no-check")))
                memory += _memory(engine, optional=False)
                commands += _commands(engine)
                times["check"].append(timed(lambda: run_labenv("check", "-s", _STUDENT)))
                times["next"].append(timed(lambda: run_labenv("next", "-s", _STUDENT)))
                times["save"].append(timed(lambda: run_labenv("save", "-s", _STUDENT)))
                times["restore"].append(timed(lambda: run_labenv("restore", "save-1", "-s", _STUDENT)))
                _remove_saves(engine)
                times["down"].append(timed(lambda: run_labenv("down", "-s", _STUDENT)))
                times["outside"].append(timed(lambda: run_labenv("up", _STUDENT, "--no-check", "--outside")))
                memory_outside += _memory(engine, optional=True)
                run_labenv("down", "-s", _STUDENT)
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
    with said(listen, "exporting all images"), tempfile.TemporaryDirectory(prefix="labenv-bench-") as folder:
        yield Measurement(
            "bundle of all images",
            "MB",
            (bundle.export(Images(engine), [wanted()[name] for name in usual()], Path(folder) / "all", silent) / 1e6,),
            250,
        )
    yield from _desktop(engine, listen, runs)
    with said(listen, f"{labs_at_once} labs at once"):
        took = timed(lambda: _many(labs_at_once))
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
    run_labenv("up", _STUDENT, "--outside", "--no-check")
    times = []
    with said(listen, "labenv desktop"):
        for _ in range(runs):
            times.append(timed(lambda: run_labenv("desktop", "-s", _STUDENT, "--no-open")))
            run_labenv("desktop", "-s", _STUDENT, "--remove")
    run_labenv("down", "-s", _STUDENT)
    yield Measurement("labenv desktop, until Thunderbird's window", "s", tuple(times), 10)


def _many(count: int) -> None:
    run_labenv("up", *(f"{_STUDENT}-{n}" for n in range(count)), "--no-check")


def _sweep(engine: Engine) -> None:
    there = [each for each in engine.environments() if each.student.id.startswith(_STUDENT)]
    with Together(_REMOVED_AT_ONCE) as pool:
        list(pool.map(lambda environment: down(engine.apart(), environment, silent), there))
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
    chosen = (machine for machine in environment.machines if machine.optional == optional)
    return [sum(pss(process) for machine in chosen for process in engine.processes(machine.container))]


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
    run_labenv("render", str(folder / "own"), "-s", _STUDENT)
    tree = yaml.safe_load((folder / "own" / "compose.yaml").read_text(encoding="utf-8"))
    with said(listen, "building the stock Debian machine to compare with"):
        Images(engine).build_stock(stock, _STOCK_TAG, silent)
    for service in tree["services"].values():
        del service["build"]
        service["image"] = _STOCK_TAG
        service["command"] = [_SYSTEMD if word == INIT else word for word in service["command"]]
    (folder / "stock").mkdir()
    (folder / "stock" / "compose.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    call([*compose, "-f", "compose.yaml", "-p", "labenv-bench", "build"], folder / "own")

    def started(kind: str) -> float:
        command = [*compose, "-f", "compose.yaml", "-p", "labenv-bench"]

        def up() -> None:
            call([*command, "up", "-d"], folder / kind)
            environment = engine.environments(_STUDENT)[0]
            answers = due(environment, tree["services"])
            if kind == "stock":
                answers = [replace(answer, dns="localhost") if answer.dns else answer for answer in answers]
            await_answers(engine, environment, answers)

        took = timed(up)
        call([*command, "down"], folder / kind)
        return took

    yield {kind: partial(started, kind) for kind in ("own", "stock")}


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
