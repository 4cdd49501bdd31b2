"""What an archive from elsewhere may bring in: what labenv's own save would have written, and nothing else.

An image sets how a container made from it runs, and a label may be read as the name of a file. So each setting, and each
label's value, is compared with what a save sets (OCI image specification, "Image Configuration").
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labenv import __version__, student
from labenv.engine import debian, hostname, moves, recipe, save_store
from labenv.engine.image_file import ImageFile, Packed
from labenv.engine.labels import (
    ALLOWANCE,
    CLASS,
    FEDERATED,
    FOREIGN,
    HOSTNAME,
    LAB_FOLDER,
    LABEL,
    LINK,
    MACHINE,
    NETWORK,
    NOTED,
    OPTIONAL,
    PAST,
    POOLS,
    environment_labels,
    listed,
    machine_labels,
)
from labenv.engine.save_store import Copy, Save
from labenv.environments import saves
from labenv.environments.plan import Plan, plan_again
from labenv.errors import UsageError
from labenv.lab import labs
from labenv.lab.topology import Node
from labenv.plain_tar import Unreadable
from labenv.text import shown

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VARIABLE = re.compile(r"(?:container|LANG|TERM|HOME|HOSTNAME)=[\w.:/-]{0,200}", re.ASCII)
_OVERLAY = re.compile(r"[A-Za-z0-9+/=]*")
_COMMANDS = ([recipe.INIT], list(recipe.SHIM))
# What else a commit copies from a container, and no engine acts on.
_IDLE: dict[str, Callable[[Any], bool]] = {
    "Hostname": lambda value: isinstance(value, str),
    "Domainname": lambda value: isinstance(value, str),
    "Image": lambda value: isinstance(value, str),
    "AttachStdout": lambda value: value is True,
    "AttachStderr": lambda value: value is True,
}


def _is_command(value: list[str]) -> bool:
    words = moves.then(value)
    return words in _COMMANDS or (words[:-1] in _COMMANDS and bool(_OVERLAY.fullmatch(words[-1])))


_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "Env": lambda value: all(v == _PATH or _VARIABLE.fullmatch(v) for v in value),
    "Cmd": _is_command,
    "WorkingDir": lambda value: value in ("/", "/root"),
    "StopSignal": lambda value: value in ("SIGRTMIN+3", "37", "SIGTERM", "15"),
}
_PAST = r"[a-z0-9-]{1,40} [0-9T:+-]{1,40} [0-9a-z,]{0,2000} [0-9a-z,]{0,2000}"
_WORDS = {
    "labenv.made-from": r"[0-9a-f]{0,64}",
    "labenv.password": r"[a-z0-9]{1,64}",
    "labenv.x": r"[0-9]{1,3}",
    save_store.STAMP: r"\d{8}T\d{12}-[0-9a-f]{8}",
    save_store.FORMAT: r"[0-9]{1,6}",
    save_store.VERSION: r"[\w.+!-]{1,100}",
    debian.LABEL: r"[a-z0-9-]{1,81}",
    debian.LAB: r"[a-z0-9-]{1,40}",
    debian.BUILD: r"[\w.+!-]{1,100}",
    NOTED: r"-|[0-9a-f]{8}",
    HOSTNAME: hostname.VALID.pattern,
    save_store.TICKS: r"[A-Za-z0-9+/=]{0,20000}",
    FOREIGN: r"yes",
    CLASS: r"[a-z0-9-]{1,64}",  # here it belongs to none, which allows it nothing else
    ALLOWANCE: r"[0-9]{1,15} [0-9]{1,9}",
    FEDERATED: r"yes",  # and shares nothing
    PAST: rf"{_PAST}(?:;{_PAST}){{0,20}}",
    POOLS: r"[\w./=-]{1,400}(?: [\w./=-]{1,400}){0,20}",  # likewise: it may have its X to itself
    LINK: r"[0-9]{1,3}",
    LAB_FOLDER: r"/[^\x00-\x1f\x7f-\x9f]{1,4000}",  # not read here
}
# Compared beyond their form, like the labels of the environment.
_TOLD = {MACHINE, OPTIONAL, save_store.NAME, save_store.MACHINES}


def save_in(given: ImageFile) -> Save:
    """The save that a file of images is. Raises Unreadable, UsageError for anything that a save would not contain."""
    try:
        return _save_in(given)
    except (LookupError, ValueError, TypeError) as error:
        raise Unreadable(f"its labels are not those of a save: {shown(error)}") from error


def marked(given: ImageFile) -> ImageFile:
    """The same images with the label that says they came out of an archive, which whatever is made from them keeps.

    Where their lab was on the other computer means nothing here: it is found by its name.
    """
    return replace(given, images=tuple(_marked(image) for image in given.images))


def _marked(image: Packed) -> Packed:
    settings = image.config["config"]
    here_only = (ALLOWANCE, CLASS, FEDERATED, LAB_FOLDER, POOLS)
    labels = {key: value for key, value in settings["Labels"].items() if key not in here_only}
    config = image.config | {"config": settings | {"Labels": labels | {FOREIGN: "yes"}}}
    return replace(image, config=config, raw=json.dumps(config).encode())


def _save_in(given: ImageFile) -> Save:
    copies: dict[str, Copy] = {}
    for image in given.images:
        copy = _copy(given, image)
        if copy.machine in copies:
            raise Unreadable(f"it contains {copy.machine} twice")
        copies[copy.machine] = copy
    names = next(iter(copies.values())).labels.get(save_store.MACHINES, "").split(",")
    if set(names) != set(copies) or len(names) != len(copies):
        raise Unreadable("its machines do not belong to one save")
    first = copies[names[0]].labels
    found = Save(first[LABEL], first[save_store.NAME], first[save_store.STAMP], tuple(copies[name] for name in names))
    together = (*environment_labels(found.environment), save_store.NAME, save_store.STAMP, save_store.MACHINES)
    if any(copy.labels.get(key) != first.get(key) for copy in copies.values() for key in together):
        raise Unreadable("its machines do not belong to one save")
    plan = _plan(found, given.path)
    nodes = {node.name: node for node in plan.topology.nodes}
    for image in given.images:
        machine = image.labels[MACHINE]
        _refuse_settings(image, nodes[machine])
        _refuse_labels(image.labels, plan, nodes[machine])
    return found


def _copy(given: ImageFile, image: Packed) -> Copy:
    labels = image.labels
    machine = labels.get(MACHINE, "")
    wanted = f"{save_store.REPOSITORY}:{labels.get(LABEL)}.{labels.get(save_store.STAMP)}.{machine}"
    [tag] = image.tags or [""]
    if tag.rpartition("/")[2] != wanted or "/" in wanted:
        raise UsageError(f"{given.path} is not an archive of an environment: it contains the image {shown(tag)}.")
    # An archive without this label is older, and of the first format.
    if (form := labels.get(save_store.FORMAT, "1")) != save_store.CURRENT:
        raise UsageError(
            f"{given.path} is an archive of format {shown(form)}, written by labenv "
            f"{shown(labels.get(save_store.VERSION, 'of unknown version'))}; labenv {__version__} reads format "
            f"{save_store.CURRENT}. Import it with that labenv, or export it again with this one."
        )
    return Copy(machine, wanted, labels)


def _plan(found: Save, file: Path) -> Plan:
    """The plan of the environment. Its labels are checked before one of them is used as a name."""
    try:
        for key, pattern in _WORDS.items():
            if key in found.labels and not re.fullmatch(pattern, found.labels[key], re.ASCII):
                raise Unreadable(f"its label {key} is {shown(found.labels[key])}")
        then = replace(found.environment, lab_folder="")  # no label is read as a path
        student.check_id(found.student_id)
        student.check_x(then.student.x)
        student.check_link(then.student.link)
        student.check_first(then.student.first, found.student_id)
        saves.check_name(found.name)
    except (LookupError, ValueError) as error:
        raise UsageError(f"{file} does not name a valid student and environment ({error}). Export it again.") from error
    try:
        lab = labs.of(then)
    except labs.Missing as error:
        raise UsageError(
            f"{file} is an environment of the lab '{shown(then.lab)}', which is not here. Put that lab into {labs.own_folder()}, or name "
            f"its folder in {labs.FOLDERS}, and import the file again."
        ) from error
    # Until 0.2 a lab's topology was called as the lab.
    if then.topology not in (then.lab, lab.topology):
        raise UsageError(
            f"{file} was made with a topology of its own ({shown(then.topology)}). Only environments with the topology of their "
            f"lab can be imported."
        )
    plan = plan_again(then.student, lab, then.stage, then.topology, found.machines)
    plan.lab.check_stage(then.stage)
    known = {node.name for node in plan.topology.nodes}
    if not set(found.machines) <= known:
        raise Unreadable(f"its machines are not those of {then.topology}")
    return plan


def _refuse_settings(image: Packed, node: Node) -> None:
    """Raise Unreadable unless the image sets what a save of that machine sets."""
    ports = {f"{port.number}/{port.protocol}" for port in node.ports}
    rules = _IDLE | _SETTINGS | {"Labels": lambda _: True, "ExposedPorts": lambda value: set(value) <= ports}
    for key, value in image.settings.items():
        try:
            right = key in rules and rules[key](value)
        except (TypeError, LookupError):
            right = False
        if not right:
            raise Unreadable(f"{node.name}'s image sets {shown(key)} to {shown(json.dumps(value))}, which no save does")


def _refuse_labels(labels: Mapping[str, str], plan: Plan, node: Node) -> None:
    """Raise Unreadable unless each label is labenv's own and says what a save of that machine says."""
    told = _TOLD | set(environment_labels(plan.environment()))
    for key, value in labels.items():
        if key.startswith("labenv."):
            right = key in told or (key in _WORDS and bool(re.fullmatch(_WORDS[key], value, re.ASCII)))
        else:  # what Compose and Podman write beside them; a save empties it
            right = not value and bool(re.fullmatch(r"[\w.-]{1,100}", key, re.ASCII))
        if not right:
            raise Unreadable(f"{node.name}'s image has the label {shown(key)} with {shown(value)}, which no save has")
    regular = [n for n in plan.topology.nodes if not n.profile]
    expected = [listed(n) for n in regular]
    if any(machine not in expected for machine in _listed(labels["labenv.machines"])):
        raise Unreadable("its label labenv.machines names machines of another topology")
    if labels.get(NETWORK, "") != environment_labels(plan.environment()).get(NETWORK, ""):
        raise Unreadable(f"its label {NETWORK} does not fit the topology")
    if labels.get(OPTIONAL, "") != machine_labels(node, "").get(OPTIONAL, ""):
        raise Unreadable(f"{node.name}'s label {OPTIONAL} does not fit the topology")


def _listed(text: str) -> Iterable[Any]:
    try:
        tree = json.loads(text)
    except RecursionError as error:
        raise Unreadable("its label labenv.machines is nested too deeply") from error
    if not isinstance(tree, list) or not tree:
        raise Unreadable("its label labenv.machines is not a list of machines")
    return tree
