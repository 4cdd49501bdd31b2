"""A supervisor: brings one student's environment up on the node where Swarm has placed it, and ends it there.

`begin` runs when its task starts, `end` when Swarm ends it: before a drain, or because its service is removed. Between them a shell
waits, which needs no memory to speak of (supervise.sh).
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from labenv.engine import Engine, image_sources, save_store
from labenv.engine.endpoint import Endpoint
from labenv.engine.find import reconnect
from labenv.engine.images import Images
from labenv.environment import Allowance, Belonging, Environment
from labenv.environments.changing import changing, staying
from labenv.environments.plan import Request, wished
from labenv.environments.up import up
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event
from labenv.lab import labs
from labenv.swarm import copies, words
from labenv.swarm.client import Keeper, of_service, patiently
from labenv.swarm.leases import Gone

ENGINE = Endpoint("unix:///var/run/docker.sock", "the engine of this node", chosen=True)
_PATIENCE = 45  # seconds for a keeper that does not answer: it may just begin itself


def request_of(told: dict[str, Any]) -> Request:
    """What a supervisor is to bring up, as `told_of` has put it into its service."""
    allowance = Allowance(told["memory"], told["processes"])
    return Request(
        told["student"],
        told["x"],
        told["first"],
        told["stage"],
        told["lab"],
        profiles=frozenset(told["profiles"]),
        belongs=Belonging(told["class"], allowance),
    )


def told_of(request: Request) -> dict[str, Any]:
    """A request as JSON can carry it to a supervisor."""
    return {
        "student": request.student_id,
        "x": request.x,
        "first": request.first,
        "stage": request.stage,
        "lab": request.lab,
        "profiles": sorted(request.profiles),
        "class": request.belongs.class_id,
        "memory": request.belongs.allowance.memory,
        "processes": request.belongs.allowance.processes,
    }


def begin(engine: Engine, request: Request, keeper: Keeper, node: str, name: str, parts: dict[str, float]) -> None:
    """Bring the environment up here: as it is, as it was pushed last, or for the first time. Raises LabenvError.

    To the `parts`, which say what took how many seconds, what follows is added.
    """
    who, began = request.student_id, time.monotonic()

    def asked() -> dict[str, Any]:
        told = keeper.say("begin", student=who, node=node, name=name, **{"class": request.belongs.class_id})
        if other := told.get("wait"):
            raise EngineError(str(other))
        return told

    lease = patiently(asked, words.GRACE + _PATIENCE)
    answered = time.monotonic()
    generation = int(lease["generation"])
    try:
        with staying(engine, who, _log):
            _bring(engine, request, keeper, lease, name)
    except Gone:
        raise
    except LabenvError as error:
        with suppress(LabenvError):  # what went wrong first is what is said
            keeper.say("failed", student=who, generation=generation, sentence=f"{name}: {error}")
        raise
    parts |= {words.ASKED: answered - began, words.UP: time.monotonic() - answered}
    patiently(lambda: keeper.say("up", student=who, generation=generation, parts=parts), _PATIENCE)


def _bring(engine: Engine, request: Request, keeper: Keeper, lease: dict[str, Any], name: str) -> None:
    who = request.student_id
    there = next(iter(engine.environments(who)), None)
    if there and there.belongs.class_id != request.belongs.class_id:
        raise UsageError(
            f"{name} has an environment of {who} that is not of this class. Save it there and remove it: labenv save -s {who}, "
            f"labenv down -s {who}"
        )
    if there or save_store.notes(engine, who):
        with changing(engine, who, _log) as change:  # what was interrupted here is finished first
            there = change.look()
    if there and lease["stale"]:
        copies.keep_aside(engine, who, keeper, name, lambda: True, _log)
        there = None
    request = request_as(request, there) if there else request
    _refuse_without_images(engine, request, name)
    if there:
        up(engine, request, _log)
    elif lease["stamp"]:
        copies.bring_back(engine, who, lease["stamp"], keeper, _log)
    else:
        up(engine, request, _log)


def request_as(request: Request, there: Environment) -> Request:
    """The request that an environment meets which began at another stage, or went on to another lab."""
    return replace(request, x=there.student.x, first=None, stage=there.stage, lab=there.lab)


def _refuse_without_images(engine: Engine, request: Request, name: str) -> None:
    lab = labs.load(request.lab or labs.default())
    names = {lab.image_of(node.name, node.image, request.stage or lab.last_stage) for node in wished(request).nodes}
    if lacking := Images(engine, image_sources.of(lab)).missing(names):
        raise EngineError(
            f"it lacks images: {', '.join(image.tag for image in lacking)}. On the manager: labenv swarm images"
        )


def end(engine: Engine, student_id: str, class_id: str, keeper: Keeper, node: str) -> None:
    """Push the environment's last state, and remove it from this node. Raises LabenvError, and then it stays, with all work."""
    held = keeper.say("seen", node=node, name="", holds={student_id: class_id})
    generation = held["current"].get(student_id)
    if generation is not None:
        keeper.say("leaving", student=student_id, generation=generation)
        copies.end(engine, student_id, keeper, generation, class_id)
    else:  # what is here is stale, if anything is: the warden keeps it aside
        generation = held["coming"].get(student_id)
    if generation is not None:
        keeper.say("end", student=student_id, generation=generation)


def _log(event: Event) -> None:
    if event.kind in ("note", "warn"):
        print(f"{event.step}: {event.message}", flush=True)


def main() -> int:
    """Do what the only argument says. Returns the exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what has begun is finished: a shell waits for it
    request = request_of(json.loads(os.environ[words.WORK]))
    node, name = os.environ[words.NODE], os.environ[words.NODE_NAME]
    try:
        engine, keeper = Engine(reconnect(ENGINE)), of_service()
        if sys.argv[1:] == ["end"]:
            # All of it again: what a student did while the keeper did not answer is in the last push, too.
            patiently(lambda: end(engine, request.student_id, request.belongs.class_id, keeper, node), _PATIENCE)
        else:
            started, turn = float(os.environ[words.STARTED]), float(os.environ[words.TURN_CAME])
            parts = {words.TURN: turn - started, words.START: time.time() - turn}
            begin(engine, request, keeper, node, name, parts)
    except LabenvError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
