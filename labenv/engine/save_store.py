"""Saves on the engine: an image for each machine, found by its tag, and notes of what is in progress.

A container's labels are copied into its image, so nothing else about the environment needs to be stored. All images of a
save carry the names of its machines: a save counts once it has them all, however its making ended. A save whose images another
program removed is still there if there is a copy of it outside the engine (labenv.engine.kept).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import docker.errors

from labenv import __version__
from labenv.engine import Engine, hostname, kept, pause, recipe
from labenv.engine.errors import refusals
from labenv.engine.labels import (
    HOSTNAME,
    LAB_FOLDER,
    LABEL,
    NETWORK,
    NOTED,
    RECORD,
    TOPOLOGY,
    belonging_in,
    past_in,
    pools_in,
    student_of,
)
from labenv.environment import Environment, Machine
from labenv.errors import EngineError
from labenv.events import Event, Listener, announced, silent

REPOSITORY = "labenv-save"
NAME, STAMP, MACHINES, VERSION = "labenv.save", "labenv.save-stamp", "labenv.save-machines", "labenv.version"
FORMAT = "labenv.save-format"
TICKS = "labenv.ticks"
# Raised when an older archive can no longer be read: other labels, or other words between labenv and the scripts in an
# image (init, history). A version alone tells nothing: each commit has another.
CURRENT = "1"

STAMPED = "%Y%m%dT%H%M%S%f"  # how a stamp begins: when the save was made
# Podman puts the name of a registry before it.
_TAG = re.compile(rf"(?:[^:]+/)?{REPOSITORY}:([a-z0-9-]+)\.([\w-]+)\.([\w-]+)")
_REMOVED = "removed"  # replaces the stamp, on an image in no save: removed as soon as no machine stands on it
# An image may have some 125 layers (the limit of overlayfs). A restore and a save add one; what a machine stands on has
# about ten.
_DEEPEST = 100


@dataclass(frozen=True)
class Copy:
    """A machine in a save: the image's tag, and the labels of its container."""

    machine: str
    tag: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Save:
    """A complete save of a student's environment. `stamp` identifies it, and says when it was made.

    The engine no longer has the images of one that is `gone`: `ensure` makes them again.
    """

    student_id: str
    name: str
    stamp: str
    copies: tuple[Copy, ...]
    gone: bool = False

    @property
    def made(self) -> datetime:
        """When it was made."""
        return datetime.strptime(self.stamp.partition("-")[0], STAMPED).replace(tzinfo=UTC)

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines in it."""
        return tuple(copy.machine for copy in self.copies)

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the environment that was saved."""
        return self.copies[0].labels

    @property
    def stage(self) -> str:
        """The stage at which the environment began."""
        return self.labels["labenv.stage"]

    @property
    def environment(self) -> Environment:
        """The environment that was saved, without its machines. Raises LookupError, ValueError for invalid labels."""
        labels = self.labels
        who = student_of(self.student_id, labels)
        network, folder = labels.get(NETWORK, ""), labels.get(LAB_FOLDER, "")
        return Environment(
            who,
            labels["labenv.lab"],
            self.stage,
            (),
            labels[TOPOLOGY],
            network=network,
            lab_folder=folder,
            belongs=belonging_in(labels),
            pools=pools_in(labels),
            past=past_in(labels),
        )


@dataclass(frozen=True)
class Note:
    """Something is in progress with a student's environment: the labels of an empty volume.

    `doing` is "restoring" (the save with that `stamp`; the machines made from it carry the `nonce`) or "removing".
    """

    student_id: str
    doing: str
    stamp: str
    nonce: str

    @property
    def volume(self) -> str:
        """The volume's name."""
        return f"labenv-{self.student_id}-{self.doing}-{self.nonce}"


def found(engine: Engine, student_id: str | None = None) -> list[Save]:
    """The complete saves (of one student, if given), oldest first. Raises EngineError."""
    there = _whole([parts for parts in _tagged(engine) if student_id in (None, parts[0])])
    return _with_gone(engine, there, student_id)


def tidied(engine: Engine, student_id: str) -> list[Save]:
    """The complete saves of a student, after removing what interrupted saves left and what nothing needs any more.

    Raises EngineError.
    """
    there = [parts for parts in _tagged(engine) if parts[0] == student_id]
    saves = _whole(there)
    wanted = {copy.tag for save in saves for copy in save.copies}
    with refusals("removing what is left of saves"):
        for _, _, copy in there:
            if copy.tag not in wanted:
                _untag(engine, copy.tag)
    return _with_gone(engine, saves, student_id)


def make(
    engine: Engine,
    environment: Environment,
    machines: Sequence[Machine],
    name: str,
    *,
    ticks: str = "",
    listen: Listener = silent,
) -> Save:
    """Save machines in their state at one moment; running machines are paused meanwhile. Raises EngineError.

    `ticks` is kept with them, as a label. A save that fails leaves nothing behind. Its copy outside the engine is of the tenth of
    a second before; if there can be none, the user is told.
    """
    student = environment.student.id
    try:
        with ThreadPoolExecutor(len(machines)) as pool:
            copied = list(pool.map(lambda machine: _write_down(engine, machine), machines))
            stamp, told = _new(name, machines, ticks)
            with _still(engine, machines, pool), refusals(f"saving {student}'s machines"):
                committed = list(pool.map(lambda machine: _commit(engine, student, stamp, machine, told), machines))
            made = Save(student, name, stamp, tuple(copy for copy, _ in committed))
            try:
                _keep(engine, made, machines, copied, [facts for _, facts in committed])
            except EngineError as error:
                text = f"there is no copy of this save outside the engine, so `docker system prune --all` would remove it: {error}"
                listen(Event("save", text, "note"))
            return made
    except BaseException:
        with suppress(EngineError):
            tidied(engine, student)
        raise


def jot(
    engine: Engine, environment: Environment, name: str, *, ticks: str = "", records: Mapping[str, Any] | None = None
) -> Save:
    """Copy an environment outside the engine alone, as a save that is `gone`: quickly, and its machines go on meanwhile.

    `records` are kept beside it (kept.manifest_of). A message in transit may be in the copy twice, or not at all. Raises EngineError.
    """
    student, machines = environment.student.id, environment.machines
    stamp, told = _new(name, machines, ticks)

    def one(machine: Machine) -> tuple[Copy, bytes | EngineError | None, dict[str, Any]]:
        tag = f"{REPOSITORY}:{student}.{stamp}.{machine.name}"
        content = _write_down(engine, machine)
        inspected = engine.api.inspect_container(machine.container)
        if content is None:
            tag_now = temporary(student)
            engine.api.commit(machine.container, *tag_now.split(":"), pause=False)
            try:
                content = kept.copied_from_image(engine, tag_now, machine.made)
            finally:
                _untag(engine, tag_now)
        return Copy(machine.name, tag, _labels(engine, machine, inspected["Config"], told)), content, inspected

    with ThreadPoolExecutor(len(machines)) as pool, refusals(f"copying {student}'s machines"):
        done = list(pool.map(one, machines))
    made = Save(student, name, stamp, tuple(copy for copy, _, _ in done), gone=True)
    _keep(engine, made, machines, [content for _, content, _ in done], [facts for _, _, facts in done], records)
    return made


def _new(name: str, machines: Sequence[Machine], ticks: str) -> tuple[str, dict[str, str]]:
    """The stamp of a new save, and the labels that tell of it."""
    stamp = f"{datetime.now(UTC).strftime(STAMPED)}-{token_hex(4)}"
    told = {NAME: name, STAMP: stamp, MACHINES: ",".join(m.name for m in machines)}
    return stamp, told | {FORMAT: CURRENT, VERSION: __version__} | ({TICKS: ticks} if ticks else {})


def temporary(student_id: str) -> str:
    """A tag for an image that is not yet part of a save; `tidied` removes it."""
    return f"{REPOSITORY}:{student_id}.{_REMOVED}.{token_hex(4)}"


def remove(engine: Engine, save: Save) -> None:
    """Remove a save. Machines that were restored from it keep the part they need. Raises EngineError."""
    with refusals(f"removing the save {save.name}"):
        for copy in save.copies:
            _untag(engine, copy.tag)
        stand = engine.api.containers(all=True, filters={"label": f"{STAMP}={save.stamp}"})
    kept.drop(save.student_id, save.stamp, needed=bool(stand))


def ensure(engine: Engine, save: Save, listen: Listener) -> Save:
    """The save with its images on the engine, from its copy if another program removed them. Raises EngineError."""
    if not save.gone:
        return save
    manifest = kept.manifest_of(save.student_id, save.stamp)
    tags = {c.machine: (c.tag, [f"LABEL {_quoted(k)}={_quoted(v)}" for k, v in c.labels.items()]) for c in save.copies}
    with announced(listen, "restore", f"making {save.name} again from its copy outside the engine"):
        kept.rebuild(engine, manifest, tags, listen)
    return replace(save, gone=False)


def sizes(engine: Engine, save: Save) -> dict[str, int]:
    """The bytes that each machine of a save takes in addition to the image it stands on. Raises EngineError."""
    if save.gone:
        there = {str(manifest["stamp"]): manifest for manifest in kept.manifests(save.student_id)}
        manifest = there.get(save.stamp)  # none if it was removed meanwhile
        return {copy.machine: kept.size(manifest, copy.machine) if manifest else 0 for copy in save.copies}
    with refusals("looking at the saves"):
        return {copy.machine: engine.api.history(copy.tag)[0]["Size"] for copy in save.copies}


def note(engine: Engine, student_id: str, doing: str, stamp: str = "") -> Note:
    """Note that something is in progress, and return the note. Raises EngineError."""
    noted = Note(student_id, doing, stamp, token_hex(4))
    labels = {LABEL: student_id, RECORD: doing, STAMP: stamp, NOTED: noted.nonce}
    with refusals(f"noting what is in progress with {student_id}'s machines"):
        engine.api.create_volume(noted.volume, labels=labels)
    return noted


def notes(engine: Engine, student_id: str) -> list[Note]:
    """What is in progress with a student's environment, or was when its command ended. Raises EngineError."""
    with refusals("asking what is in progress"):
        volumes = engine.api.volumes(filters={"label": [f"{LABEL}={student_id}", NOTED]})["Volumes"] or []
    labels = [volume["Labels"] for volume in volumes]
    return [Note(student_id, told[RECORD], told[STAMP], told[NOTED]) for told in labels]


def drop(engine: Engine, noted: Note) -> None:
    """Remove a note: its work is finished. Raises EngineError."""
    with refusals(f"noting that {noted.student_id}'s machines are done"), suppress(docker.errors.NotFound):
        engine.api.remove_volume(noted.volume)


def restored(engine: Engine, noted: Note) -> set[str]:
    """The machines that a restore has made and started. Raises EngineError."""
    wanted = {"label": [f"{LABEL}={noted.student_id}", f"{NOTED}={noted.nonce}"]}
    with refusals("listing the machines"):
        containers = engine.api.containers(all=True, filters=wanted)
    return {c["Labels"]["labenv.machine"] for c in containers if c["State"] in ("running", "paused", "exited")}


def has_drill(engine: Engine, student_id: str) -> bool:
    """Whether a drill runs in a student's environment. Raises EngineError."""
    with refusals("looking for a drill"):
        return bool(engine.api.volumes(filters={"label": [f"{LABEL}={student_id}", f"{RECORD}=drill"]})["Volumes"])


def _tagged(engine: Engine) -> list[tuple[str, str, Copy]]:
    """The machines in saves, complete or not: by student and stamp."""
    with refusals("listing the saves"):
        images = engine.api.images(name=REPOSITORY)
    tags = [(_TAG.fullmatch(tag), tag, image) for image in images for tag in image["RepoTags"] or []]
    return [(parts[1], parts[2], Copy(parts[3], tag, image["Labels"] or {})) for parts, tag, image in tags if parts]


def _whole(tagged: list[tuple[str, str, Copy]]) -> list[Save]:
    sets: dict[tuple[str, str], dict[str, Copy]] = {}
    for student, stamp, copy in tagged:
        if stamp != _REMOVED:
            sets.setdefault((stamp, student), {})[copy.machine] = copy
    saves = []
    for (stamp, student), copies in sorted(sets.items()):
        labels = next(iter(copies.values())).labels
        machines = labels.get(MACHINES, "").split(",")
        if set(machines) == set(copies):
            saves.append(Save(student, labels[NAME], stamp, tuple(copies[machine] for machine in machines)))
    return saves


def _with_gone(engine: Engine, there: list[Save], student_id: str | None) -> list[Save]:
    """The saves, with those of which there is only the copy outside the engine.

    Those of a named student, from whatever engine: one that was set up from scratch has another name.
    """
    stamps = {save.stamp for save in there}
    copies = [manifest for manifest in kept.manifests(student_id) if manifest["stamp"] not in stamps]
    if copies and not student_id:
        copies = [manifest for manifest in copies if manifest.get("engine") == engine.facts.ident]
    gone = [
        Save(
            told["student"],
            told["name"],
            told["stamp"],
            tuple(
                Copy(machine, f"{REPOSITORY}:{told['student']}.{told['stamp']}.{machine}", facts["labels"])
                for machine, facts in told["machines"].items()
            ),
            gone=True,
        )
        for told in copies
    ]
    return sorted([*there, *gone], key=lambda save: save.stamp) if gone else there


def _write_down(engine: Engine, machine: Machine) -> bytes | EngineError | None:
    """Have a running machine store what the engine mounts into it, because no image contains that.

    Returns a copy of what has changed in it, or why there is none; None if it does not run.
    """
    if machine.state != "running":
        return None
    with engine.shell(machine) as channel:
        channel.run("[ ! -x /usr/lib/labenv/setup ] || /usr/lib/labenv/setup save")
        try:
            return kept.copied(channel, machine.made)
        except EngineError as error:
            return error


def _keep(
    engine: Engine,
    made: Save,
    machines: Sequence[Machine],
    copied: Sequence[bytes | EngineError | None],
    facts: Sequence[Mapping[str, Any]],
    records: Mapping[str, Any] | None = None,
) -> None:
    """Store a copy of a save outside the engine. Raises EngineError."""
    new: dict[str, bytes] = {}
    told: dict[str, dict[str, Any]] = {}
    for machine, content, copy, inspected in zip(machines, copied, made.copies, facts, strict=True):
        if isinstance(content, EngineError):
            raise content
        new[machine.name] = content or kept.copied_from_image(engine, copy.tag, machine.made)
        config = inspected["Config"]
        parent = (config["Labels"] or {}).get(STAMP, "")
        told[machine.name] = {
            "labels": copy.labels,
            "image": config["Image"],
            "id": inspected["Image"],
            "parent": parent,
        }
    manifest = {"student": made.student_id, "name": made.name, "stamp": made.stamp, "engine": engine.facts.ident}
    kept.store(manifest | {"machines": told} | ({} if records is None else {"records": dict(records)}), new)


@contextmanager
def _still(engine: Engine, machines: Sequence[Machine], pool: ThreadPoolExecutor) -> Iterator[None]:
    """Pause all running machines: a message in transit is either still with its sender or already with its receiver."""
    running = [machine.container for machine in machines if machine.state == "running"]
    with refusals("pausing the machines"), ExitStack() as stack:
        stack.callback(lambda: list(pool.map(lambda container: pause.go_on(engine, container), running)))
        list(pool.map(lambda container: pause.hold(engine, container), running))  # or saved while they run
        yield


def _commit(
    engine: Engine, student_id: str, stamp: str, machine: Machine, told: dict[str, str]
) -> tuple[Copy, dict[str, Any]]:
    """Save one machine; also returns what the engine says of it (Engine API, ContainerInspect)."""
    tag = f"{student_id}.{stamp}.{machine.name}"
    inspected = engine.api.inspect_container(machine.container)
    config = inspected["Config"]
    labels = _labels(engine, machine, config, told)
    if _layers(engine, inspected["Image"]) < _DEEPEST:
        theirs = config["Labels"] or {}
        changed = {key: value for key, value in labels.items() if theirs.get(key) != value}
        changes = [f"LABEL {_quoted(key)}={_quoted(value)}" for key, value in changed.items()]
        engine.api.commit(machine.container, REPOSITORY, tag, pause=False, changes=changes)
    else:  # back to one layer; an exported file system does not say how to start it
        changes = [f"LABEL {_quoted(key)}={_quoted(value)}" for key, value in labels.items()]
        changes += [f"ENV {key}={_quoted(value)}" for key, _, value in (e.partition("=") for e in config["Env"] or [])]
        changes += [f"WORKDIR {config['WorkingDir'] or '/'}", f"CMD {json.dumps([recipe.INIT])}"]
        said = engine.api.import_image_from_data(engine.api.export(machine.container), REPOSITORY, tag, changes)
        if error := re.search(r'"error":"([^"]*)"', said):  # part of an answer that began as a success
            raise docker.errors.APIError(error[1])
    return Copy(machine.name, f"{REPOSITORY}:{tag}", labels), inspected


def _labels(engine: Engine, machine: Machine, config: Mapping[str, Any], told: dict[str, str]) -> dict[str, str]:
    """The labels of a machine in a save: its own, and what is told of the save."""
    theirs = (config["Labels"] or {}).items()
    name = hostname.wished(engine, machine.container) or config["Hostname"]
    if name != machine.fqdn or HOSTNAME in dict(theirs):
        told = told | {HOSTNAME: name}
    # What Compose or Podman wrote says nothing about the save, and would mean something elsewhere.
    return {k: value if k.startswith("labenv.") and k != TICKS else "" for k, value in theirs} | told


def _layers(engine: Engine, image: str) -> int:
    """How many layers a machine's image has. As for too many, nothing can be laid over one that was removed by force."""
    try:
        return len(engine.api.inspect_image(image)["RootFS"].get("Layers") or [])
    except docker.errors.ImageNotFound:
        return _DEEPEST


def _quoted(value: str) -> str:
    """A value as a Dockerfile quotes it: nothing in it begins a variable or ends the string."""
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def _untag(engine: Engine, tag: str) -> None:
    """Remove a tag, and with its last tag the image, unless a machine stands on it."""
    try:
        engine.api.remove_image(tag)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise
        # Forced removal would take the image from a machine that is switched off, which could not be saved any more.
        parts = _TAG.fullmatch(tag)
        if parts and parts[2] != _REMOVED:
            engine.api.tag(tag, *temporary(parts[1]).split(":"))
            engine.api.remove_image(tag)
