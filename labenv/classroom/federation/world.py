"""The world outside that a class has for all of its students.

It is the machine `outside` of the labs' topology, once: the root, and the zone ops, which delegates each student's domain to the
student's own name server. It stands on a link with each student's host, and lets mail through between them, and nothing else
(compose/templates/outside/world.nft.j2). It is made from what the engine says of the class's environments, whenever these change.
"""

import base64
import gzip
import hashlib
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace

from labenv.classroom.folder.model import Class
from labenv.engine import Engine, authority, image_sources, lent, tools, wall
from labenv.engine.errors import NetworkTaken
from labenv.engine.images import Images
from labenv.engine.ready import await_answers
from labenv.environment import Belonging, Environment, Machine
from labenv.environments.changing import changing_class
from labenv.environments.machines import walled
from labenv.environments.networks import free_link, takings
from labenv.environments.plan import WORLD, network_options, topology_of
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import labs, overlay, topology
from labenv.lab.model import Lab
from labenv.lab.overlay import Item
from labenv.lab.topology import Node

_KNOWN = "/etc/labenv/members"  # there: the hash and the path of each file that depends on who is a member
_RELOAD = "/usr/lib/labenv/reload"
_MAILBOXES = "/var/mail/myseneca.ca"
_FIRST_LINK = 256  # no X has it
_STEP = "outside"


def members(engine: Engine, class_id: str) -> list[Environment]:
    """The environments of a class that share its world outside, by student. Raises EngineError.

    Raises UsageError if two of them have the same X: their zones would name the same addresses.
    """
    found = [each for each in engine.environments() if each.belongs.class_id == class_id and each.belongs.federated]
    by_x: dict[int, Environment] = {}
    for each in found:
        other = by_x.setdefault(each.student.x, each)
        if other is not each:
            raise UsageError(
                f"{other.student.id} and {each.student.id} both have the network {each.subnet}. Students who write to each "
                f"other need networks of their own: labenv down -s {each.student.id}, then labenv class up."
            )
    return found


def outside(engine: Engine, class_id: str) -> Machine | None:
    """The world outside of a class; None if it is not there. Raises EngineError."""
    return lent.machines(engine, class_id).get(WORLD)


def settle(engine: Engine, of: Class, listen: Listener) -> tuple[str, ...]:
    """Have the world outside of a class run, with a link to each member, and know all of them; returns what was done.

    Nothing is done where all is as it should be. For a class that is coming up, before its environments and after them. Raises
    UsageError, EngineError.
    """
    with changing_class(engine, of.id):
        there = members(engine, of.id)
        lab, node = _node(of)
        done: list[str] = []
        was = outside(engine, of.id)
        machine = _running(engine, was, listen) if was else None
        if machine is None:
            with announced(listen, _STEP, f"making the world outside of {of.name}"):
                machine = _made(engine, of, lab, node, there, listen)
            done.append("made outside")
        elif was and was.state != "running":
            done.append("started outside")
        done += [f"joined {each}" for each in lent.join(engine, machine, {e.student.id: e.student for e in there})]
        if any(each.startswith(("made", "started")) for each in done):
            _await(engine, of, lab, node, machine)
        if _lay(engine, machine, node, there):
            done.append("told outside who is there")
    return tuple(done)


def knows(engine: Engine, class_id: str, student_id: str) -> bool:
    """Whether a student has a mailbox in the world outside of a class. Raises EngineError."""
    machine = outside(engine, class_id)
    if machine is None or machine.state != "running":
        return False
    with engine.shell(machine) as shell:
        return shell.run(f"test -d {_MAILBOXES}/{student_id}").rc == 0


def forget(engine: Engine, of: Class, gone: Collection[str], listen: Listener) -> None:
    """Have the world outside of a class forget students whose environments were removed, with their mail; it goes with the last.

    Raises as `settle` does.
    """
    there = {each.student.id for each in engine.environments() if each.belongs.class_id == of.id}
    if not there:
        remove(engine, of.id, listen)
        return
    machine = outside(engine, of.id)
    if machine is None:
        return
    settle(engine, of, listen)
    if boxes := [f"{_MAILBOXES}/{who}" for who in gone if who not in there]:
        with engine.shell(machine) as shell:
            shell.run(shlex.join(["rm", "-rf", "--", *boxes]))


def remove(engine: Engine, class_id: str, listen: Listener) -> bool:
    """Remove the world outside of a class, or what is left of it, with the mail in it; whether there was any. Raises EngineError."""
    if not lent.found(engine, class_id):
        return False
    with (
        changing_class(engine, class_id),
        announced(listen, _STEP, "removing the world outside of the class"),
    ):
        lent.remove(engine, class_id)
    return True


def _node(of: Class) -> tuple[Lab, Node]:
    """The machine as the first lab of the class that has one has it. Raises UsageError if none has."""
    for each in of.labs:
        lab = labs.load(each.lab)
        for node in topology.of(lab, lent.owner(of.id)).nodes:
            if node.profile == WORLD and node.own:
                return lab, replace(node, ports=())
    raise UsageError(
        f"{of.name} has `federate: true`, but no lab of it has a world outside. Remove that line from {of.folder / 'class.yaml'}, or "
        f"add a lab such as {labs.default()}."
    )


def _running(engine: Engine, was: Machine, listen: Listener) -> Machine | None:
    """The machine that was there, running; None if it cannot run, and has been removed. Raises EngineError."""
    if was.state == "running":
        return was
    try:
        if was.state != "created":  # making it was interrupted, and nothing is in it
            engine.start(was.container)
            return was
    except EngineError as error:  # such as one of its networks that another program has removed
        text = f"it does not start again, so it is made from scratch, without the mail that was in it. {error}"
        listen(Event(_STEP, text, "warn"))
    engine.remove_machine(was.container)
    return None


def _made(engine: Engine, of: Class, lab: Lab, node: Node, there: Sequence[Environment], listen: Listener) -> Machine:
    images = image_sources.of(lab)
    Images(engine, images).ensure({node.image}, listen)
    binds = (tools.bind(engine, listen),)
    files = overlay.lent(node, [each.student for each in there])
    trusted = authority.taken_over(engine, [m.container for each in there[:1] for m in each.regular])
    laid = overlay.as_tar([*files, _known(files), *trusted])
    for _ in range(16):
        link = free_link(takings(engine), _FIRST_LINK)
        who = lent.owner(of.id, link)
        here = topology.of(lab, who)
        home = next(network for network in here.networks if network.name == node.network)
        node = replace(node, address=next(each.address for each in here.nodes if each.name == node.name))
        options = network_options(engine, who, home)
        try:
            container = lent.make(engine, of.id, node, home, images[node.image].tag, options, laid, binds)
        except NetworkTaken:  # somebody was faster
            continue
        walled(engine, who, [wall.bridge(who, home.name)], listen)
        engine.start(container)
        return lent.machines(engine, of.id)[node.name]
    raise EngineError("No link for the world outside is free. `labenv doctor` says what uses the addresses.")


def _await(engine: Engine, of: Class, lab: Lab, node: Node, machine: Machine) -> None:
    """Wait until its servers answer. Raises EngineError."""
    whole = Environment(lent.owner(of.id), lab.id, lab.last_stage, (machine,), belongs=Belonging(of.id))
    await_answers(engine, whole, list(node.own.answers) if node.own else [], 60)


def _lay(engine: Engine, machine: Machine, node: Node, there: Sequence[Environment]) -> bool:
    """Give the machine the files that name its members, where it has others; whether it had. Raises EngineError.

    A mailbox outside is filled when its student is new.
    """
    files = overlay.lent(node, [each.student for each in there])
    with engine.shell(machine) as shell:
        said = shell.run(f"cat {_KNOWN}; echo; ls {_MAILBOXES}").text
        known, _, boxes = said.partition("\n\n")
        has = set(known.splitlines())
        changed = [item for item in files if _line(item) not in has]
        for each in there:
            if each.student.id not in boxes.split():
                changed += _mailbox(each)
        if not changed:
            return False
        packed = base64.b64encode(gzip.compress(overlay.as_tar([*changed, _known(files)]), mtime=0)).decode()
        # -m: named reads a zone again whose file is younger.
        done = shell.run(f"echo {packed} | base64 -d | tar -xzm -C / && {_RELOAD}")
    if done.rc:
        raise EngineError(
            f"The world outside does not take its new files: {done.text.strip()[-400:] or 'no reason given'}"
        )
    return True


def _mailbox(each: Environment) -> list[Item]:
    """What the lab has for the world outside of this student."""
    made = topology_of(each)
    return [
        item
        for node in made.nodes
        if node.profile == WORLD
        for item in overlay.overlay(labs.of(each), made, replace(node, own=None), each.student, each.stage)
    ]


def _line(item: Item) -> str:
    return f"{hashlib.sha256(item.content).hexdigest()} {item.path}"


def _known(files: Sequence[Item]) -> Item:
    return Item(_KNOWN, "".join(f"{_line(item)}\n" for item in files).encode(), 0o600)
