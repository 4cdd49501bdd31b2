"""The desktop of the machine that a topology marks with `desktop`: Thunderbird in a window, on a page in the browser.

Nothing is built or started before a user asks for it.

Each `labenv desktop` shows it with a new password. The old password no longer works; a browser that is already connected
stays connected.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Any

from labenv.engine import Engine, authority, wall
from labenv.engine.desk import NETWORK, Desk, Parts, remove_home
from labenv.engine.errors import NetworkTaken
from labenv.engine.image_sources import Image, wanted
from labenv.engine.images import Images
from labenv.environment import Environment, Machine, network_name
from labenv.environments import up, window
from labenv.environments.changing import Change, changing
from labenv.environments.machines import make_network, walled
from labenv.environments.networks import port_in_use, takings
from labenv.environments.plan import Plan, Request, topology_of
from labenv.environments.pools import free_pool
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import labs, overlay, topology
from labenv.lab.topology import DESKTOP, Network, Node
from labenv.parallel import Together

# The last of an environment's ten ports (labenv.topology); from another environment's block if it is taken.
_PLACE = 9
_TRIES = 16  # networks for the page


@dataclass(frozen=True)
class Desktop:
    """A running desktop: its page's port on 127.0.0.1, the password that opens it now, and what was done to start it."""

    student: str
    port: int
    password: str
    changes: tuple[str, ...]

    @property
    def url(self) -> str:
        """The page's address. The password follows the #, so the browser does not send it to any server."""
        return f"http://127.0.0.1:{self.port}/#{self.password}"

    def to_dict(self) -> dict[str, Any]:
        """As `desktop --json` shows it."""
        return {
            "student": self.student,
            "url": self.url,
            "port": self.port,
            "password": self.password,
            "changes": list(self.changes),
        }


def show(
    engine: Engine, environment: Environment, listen: Listener, *, port: int | None = None, configured: bool = False
) -> Desktop:
    """Bring the desktop up, unless it runs, and wait until Thunderbird's window is open.

    With `configured`, Thunderbird has the accounts of the sheet; otherwise those that the student has set up.
    Raises UsageError if the lab has no desktop or no accounts, for a port that is taken or differs from the running desktop's, EngineError if its
    machine does not run or the desktop fails.
    """
    who = environment.student
    if configured and not any(each.files.get(DESKTOP) for each in labs.of(environment).sources):
        raise UsageError(f"{environment.lab} has no accounts for a mail client. Omit --configured.")
    with changing(engine, who.id, listen) as change:
        host = _host(change.environment)
        desk = Desk(engine, who, host)
        there = desk.parts()
        if port and there.screen == "running" and there.port != port:
            raise UsageError(
                f"{who.id}'s desktop already runs on port {there.port}. Omit --port, or stop the desktop first: "
                f"labenv desktop --stop -s {who.id}"
            )
        if port:
            _check(engine, port)
        changes = _bring(engine, change, desk, host, listen, tag=_image(change.plan).tag, port=port)
        password = window.new_password(engine, desk)
    with Together(1) as pool:  # both take about the same time
        others = pool.submit(_bring_others, engine, change, listen)
        with announced(listen, "Thunderbird", "waiting for Thunderbird's window"):
            window.open_thunderbird(engine, desk, "configured" if configured else "own")
        others.result()
    found = desk.parts().port
    assert found
    return Desktop(who.id, engine.here(found), password, changes)


def stop(engine: Engine, environment: Environment, listen: Listener, *, remove: bool = False) -> bool:
    """Stop the desktop, and remove it if asked. Returns whether there was one. Raises UsageError if the lab has none, EngineError."""
    who = environment.student
    with changing(engine, who.id, listen):
        desk = Desk(engine, who, _marked(environment))
        there = desk.parts()
        is_there = not there.desktop == there.screen == "missing"
        if is_there:
            with announced(listen, "desktop", f"{'removing' if remove else 'stopping'} {who.id}'s desktop"):
                if remove:
                    desk.remove_both()
                else:
                    desk.stop()
        had_home = remove and remove_home(engine, who.id)
    return is_there or had_home


def page(engine: Engine, environment: Environment) -> int | None:
    """The port of 127.0.0.1 on which a desktop's page is served now; None if no desktop runs. Raises EngineError."""
    if not (name := machine_name(environment)):
        return None
    there = Desk(engine, environment.student, environment.machine(name)).parts()
    return engine.here(there.port) if there.port and there.desktop == there.screen == "running" else None


def machine_name(environment: Environment) -> str:
    """The name of the machine that has the desktop; empty if none of the environment's has."""
    with suppress(UsageError):  # its lab may be gone: what that marked is not known then
        try:
            desk = topology_of(environment).desk
        except (
            UsageError
        ):  # a topology of the user's own may be gone: most of them leave the desktop where the lab has it
            desk = topology.of(labs.of(environment), environment.student).desk
        if desk and any(machine.name == desk.name for machine in environment.machines):
            return desk.name
    return ""


def _marked(environment: Environment) -> Machine:
    """The machine that has the desktop. Raises UsageError if there is none."""
    if name := machine_name(environment):
        return environment.machine(name)
    raise UsageError(
        f"{environment.lab} has no desktop: all its steps are done in `labenv shell`. "
        f"An author gives it one by `desktop: true` on a machine of its topology."
    )


def _host(environment: Environment) -> Machine:
    host = _marked(environment)
    if host.state != "running":
        raise EngineError(
            f"The desktop needs the machine {host.name}, which is {host.state}. Start it first: labenv up {environment.student.id}"
        )
    return host


@dataclass(frozen=True)
class _Open:
    """A running desktop: its image, its page's port, and the profiles that Thunderbird has open there."""

    image: str
    port: int
    profiles: tuple[str, ...]


@contextmanager
def brought_back(engine: Engine, change: Change, listen: Listener) -> Iterator[None]:
    """Around a command that boots host or makes it again: a desktop that runs is there again afterwards, with Thunderbird.

    Its files, its page's port and its password stay, so a page that is open continues by itself; its image, too, unless the
    command leads to a lab with another one. A desktop that cannot be started again fails no command: the user is told. Raises
    EngineError.
    """
    there = change.look()
    was = _open(engine, there) if there else None
    if there and was:
        text = f"it ends with {machine_name(there)}, and is started again afterwards; what is not saved on it is lost"
        listen(Event("desktop", text, "note"))
    yield
    if not was:
        return
    now = Change(engine, change.student_id)  # the command may have another stage or lab than what it found
    try:
        host = _host(now.environment)
        desk = Desk(engine, now.environment.student, host)
        image = _image(now.plan)
        same = was.image.rpartition("/")[2].partition(":")[0] == image.name
        _bring(engine, now, desk, host, listen, tag=was.image if same else image.tag, port=was.port)
        for profile in was.profiles:
            with announced(listen, "Thunderbird", "opening Thunderbird again"):
                window.open_thunderbird(engine, desk, profile)
    except LabenvError as error:
        listen(Event("desktop", f"it could not be started again. {error} To start it: labenv desktop", "warn"))


def _open(engine: Engine, there: Environment) -> _Open | None:
    if not (name := machine_name(there)):
        return None
    desk = Desk(engine, there.student, there.machine(name))
    if not (running := desk.running()):
        return None
    return _Open(*running, window.open_profiles(engine, desk))


def _bring(
    engine: Engine, change: Change, desk: Desk, host: Machine, listen: Listener, *, tag: str, port: int | None
) -> tuple[str, ...]:
    """Have the desktop run in host's network, with its page on that port if it is free; returns what was done.

    One that has to be made is made from the image `tag`.
    """
    was = desk.parts()
    there = _cleared(desk, was, tag)
    page = None
    if there.screen != "running":
        page = port or (was.port if was.screen == "running" else None)
        if page is None or (engine.is_local and port_in_use(page)):
            page = _free_port(engine, change.environment, listen)
        _lay_network(engine, change.plan, listen)
    image = _image(change.plan)
    if "missing" in (there.desktop, there.screen) and tag == image.tag:
        Images(engine).ensure([image.name], listen)
    with announced(listen, "desktop", f"starting {change.student_id}'s desktop"):
        changes = _make(engine, change.plan, desk, host, there, page, tag)
        desk.start()
        window.open_machine(engine, desk, host)
    return changes


def _bring_others(engine: Engine, change: Change, listen: Listener) -> None:
    """Bring up the machines that the desktop needs: those of the profiles that its mark names."""
    environment = change.environment
    whole = topology_of(environment)
    running = {machine.name for machine in environment.machines if machine.state == "running"}
    lacking = {node.profile for node in whole.nodes if node.profile and node.name not in running}
    needed = set(whole.desk.desktop or ()) if whole.desk else set()
    if wanted := needed & lacking:
        up.up(engine, Request(environment.student.id, profiles=frozenset(wanted)), listen)
    for profile in sorted(needed - set(whole.profiles)):
        text = f"the topology has no machine with the profile '{profile}', so what the desktop uses there is missing"
        listen(Event(profile, text, "note"))


def _cleared(desk: Desk, there: Parts, tag: str) -> Parts:
    """Remove what cannot be started again or is of another version, and return what is left. A running desktop is left."""
    stopped = there.desktop not in ("running", "missing")
    if (
        there.desktop == "created"
        or (there.desktop != "missing" and not there.in_host)
        or (stopped and there.desktop_image != tag)
    ):
        desk.remove(desk.desktop)  # it never ran, or its host was made again and its network is gone
        there = replace(there, desktop="missing")
    if there.screen != "missing" and (there.screen != "running" or there.screen_image != tag):
        desk.remove(desk.screen)  # it holds no files, and another program may have its port by now
        there = replace(there, screen="missing")
    return there


def _make(
    engine: Engine, plan: Plan, desk: Desk, host: Machine, there: Parts, page: int | None, tag: str
) -> tuple[str, ...]:
    """Create what is missing without starting it, and stop a desktop that is in host's old network.

    A new desktop trusts whom host trusts.
    """
    changes = []
    if there.desktop == "missing":
        desk.make_desktop(tag, overlay.as_tar([*_files(plan), *authority.taken_over(engine, [host.container])]))
        changes.append("made desktop")
    elif there.desktop != "running":
        changes.append("started desktop")
    elif there.behind:
        desk.stop()  # host has booted since
        changes.append("restarted desktop")
    if there.screen == "missing" and page:
        desk.make_screen(tag, page)
    return tuple(changes)


def _lay_network(engine: Engine, plan: Plan, listen: Listener) -> None:
    """Have the page's network, inside the wall: a link with room for six, from the block for tests of networks (RFC 2544).

    Where another environment with this X has one, it is any that is free.
    """
    who = plan.student
    tried: list[IPv4Network] = []
    while network_name(who.id, NETWORK) not in engine.bridges(who.id):
        there, link = takings(engine), IPv4Network(f"198.19.{who.x}.248/29")
        if tried or there.has(link):
            link = free_pool(there, f"{who.id}/{NETWORK}", link.prefixlen, tried)
        tried.append(link)
        try:
            make_network(engine, plan, Network(NETWORK, str(link), str(link[6]), {}, {}))
        except NetworkTaken:  # somebody was faster
            if len(tried) == _TRIES:
                raise
    walled(engine, who, [wall.bridge(who, NETWORK)], listen)


def _image(plan: Plan) -> Image:
    host = plan.topology.desk
    assert host  # it runs
    return wanted()[host.desktop_image]


def _files(plan: Plan) -> list[overlay.Item]:
    host = plan.topology.desk
    assert host  # it runs
    node: Node = replace(host, name=DESKTOP, image=host.desktop_image, ports=(), own=None)
    return overlay.overlay(plan.lab, plan.topology, node, plan.student, plan.stage)


def _check(engine: Engine, port: int) -> None:
    if engine.is_local and port_in_use(port):
        raise UsageError(f"Port {port} of 127.0.0.1 is taken by another program. Choose another port, or omit --port.")


def _free_port(engine: Engine, environment: Environment, listen: Listener) -> int:
    for shift in range(8):
        port = topology.port_at(environment.student.x, _PLACE, shift)
        if not engine.is_local or not port_in_use(port):
            return port
        listen(Event("desktop", f"port {port} of 127.0.0.1 is in use by another program; taking another", "note"))
    raise EngineError("No port for the desktop's page is free. Choose one: labenv desktop --port PORT")
