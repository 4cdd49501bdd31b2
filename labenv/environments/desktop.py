"""Host's desktop: Thunderbird in a window, on a page in the browser. Nothing of it is there before it is asked for.

Asked for again it is shown again, with a new password: the one before is good for whoever is on the page already, and
for nothing else.
"""

from dataclasses import dataclass, replace
from typing import Any

from labenv import student
from labenv.engine import Engine
from labenv.engine.channel import Channel
from labenv.engine.desk import Desk, Parts, remove_home
from labenv.engine.images import Images, wanted
from labenv.environment import Environment, Machine
from labenv.environments import up
from labenv.environments.changing import Change, changing
from labenv.environments.networks import port_in_use
from labenv.environments.plan import Plan, Request, topology_of
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.lab import overlay, topology
from labenv.lab.topology import Node
from labenv.parallel import Together

_IMAGE = "desktop"
_HOST = "host"
_OUTSIDE = "outside"
# The last of the ten ports that an environment has (labenv.topology); in another environment's block if it is taken.
_PLACE = 9
_PATIENCE = 120  # seconds for Thunderbird's window; it takes five on an idle machine

# The desktop's own door to a root shell on host: its key, which is no file of the student's.
_KEY = "cat /home/$STUDENT/.ssh/id_ed25519.pub"
_PASSWORD = (
    "umask 077 && cd /home/$STUDENT && printf %s '{password}' | vncpasswd -f >.new && chown $STUDENT: .new && "
    "mv .new .vnc-password"
)


@dataclass(frozen=True)
class Desktop:
    """A desktop that runs: its page's port on 127.0.0.1, the password that opens it now, and what was done for it."""

    student: str
    port: int
    password: str
    changes: tuple[str, ...]

    @property
    def url(self) -> str:
        """The page's address. The password stands behind the #, which a browser sends to nobody."""
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
    """Bring the desktop up, unless it is, and wait until Thunderbird's window is there.

    With `configured` Thunderbird has the accounts of the sheet already; else those that the student has set up.
    Raises UsageError for a port that is taken or not the running desktop's, EngineError if host does not run or the
    desktop breaks.
    """
    who = environment.student
    with changing(engine, who.id, listen) as change:
        host = _host(change.environment)
        desk = Desk(engine, who, host)
        there = desk.parts()
        if port and there.screen == "running" and there.port != port:
            raise UsageError(
                f"{who.id}'s desktop is there already, on port {there.port}. Leave --port out, or end it first: "
                f"labenv desktop --stop -s {who.id}"
            )
        page = None
        if there.screen != "running":
            page = _checked(engine, port) if port else _free_port(engine, environment, listen)
        there = _cleared(desk, there)
        if "missing" in (there.desktop, there.screen):
            Images(engine).ensure([_IMAGE], listen)
        with announced(listen, "desktop", f"starting {who.id}'s desktop"):
            changes = _make(change.plan, desk, there, page)
            desk.start()
            password = _open_doors(engine, desk, host)
    with Together(1) as pool:  # the one takes as long as the other
        outside = pool.submit(_bring_outside, engine, change, listen)
        with announced(listen, "Thunderbird", "waiting for Thunderbird's window"):
            _open_thunderbird(engine, desk, "configured" if configured else "own")
        outside.result()
    found = desk.parts().port
    assert found
    return Desktop(who.id, found, password, changes)


def stop(engine: Engine, environment: Environment, listen: Listener, *, remove: bool = False) -> bool:
    """Stop the desktop; it keeps its accounts, unless it is to be removed. Whether there was one. Raises EngineError."""
    who = environment.student
    with changing(engine, who.id, listen):
        desk = Desk(engine, who, environment.machine(_HOST))
        there = desk.parts()
        is_there = not there.desktop == there.screen == "missing"
        if is_there:
            with announced(listen, "desktop", f"{'removing' if remove else 'stopping'} {who.id}'s desktop"):
                if remove:
                    desk.remove(desk.screen)
                    desk.remove(desk.desktop)
                else:
                    desk.stop()
        had_home = remove and remove_home(engine, who.id)
    return is_there or had_home


def _host(environment: Environment) -> Machine:
    host = environment.machine(_HOST)
    if host.state != "running":
        raise EngineError(
            f"The desktop is host's, and host is {host.state}. Bring it back first: labenv up {environment.student.id}"
        )
    return host


def follow(engine: Engine, environment: Environment, listen: Listener) -> None:
    """After host was booted: have a desktop that runs start again, in host's new network. Raises EngineError.

    For a command that is `changing` the environment.
    After host was made anew it cannot: it goes, and what is on it stays for the next `labenv desktop`.
    """
    who = environment.student
    desk = Desk(engine, who, environment.machine(_HOST))
    there = desk.parts()
    if there.desktop != "missing" and not there.in_host:
        desk.remove(desk.screen)
        desk.remove(desk.desktop)
        listen(Event("desktop", "the desktop went with its host; what is on it is kept: labenv desktop", "note"))
    elif there.desktop == "running" and there.behind:
        with announced(listen, "desktop", f"starting {who.id}'s desktop again"):
            desk.stop()
            desk.start()


def _bring_outside(engine: Engine, change: Change, listen: Listener) -> None:
    """Bring up the world outside, where the reference account is, if the topology has it."""
    environment = change.environment
    if any(machine.name == _OUTSIDE and machine.state == "running" for machine in environment.machines):
        return
    if any(node.name == _OUTSIDE for node in topology_of(environment).nodes):
        request = Request(environment.student.id, profiles=frozenset({_OUTSIDE}))
        up.up(engine, request, listen)
    else:
        text = (
            "this environment has no machine 'outside': the account at myseneca.ca can be reached from no mail client"
        )
        listen(Event("outside", text, "note"))


def _cleared(desk: Desk, there: Parts) -> Parts:
    """Remove what cannot be started again, and say what is left."""
    if there.desktop == "created" or (there.desktop != "missing" and not there.in_host):
        desk.remove(desk.desktop)  # it never ran; or its host was made anew since, and its network is no more
        there = replace(there, desktop="missing")
    if there.screen not in ("running", "missing"):
        desk.remove(desk.screen)  # nothing is in it, and its port may be another's by now
        there = replace(there, screen="missing")
    return there


def _make(plan: Plan, desk: Desk, there: Parts, page: int | None) -> tuple[str, ...]:
    """Make what is missing, not started, and end a desktop that is in a network of the past."""
    tag = wanted()[_IMAGE].tag
    changes = []
    if there.desktop == "missing":
        desk.make_desktop(tag, overlay.as_tar(_files(plan)))
        changes.append("made desktop")
    elif there.desktop != "running":
        changes.append("started desktop")
    elif there.behind:
        desk.stop()  # host was booted since
        changes.append("restarted desktop")
    if there.screen == "missing" and page:
        desk.make_screen(tag, page)
    return tuple(changes)


def _files(plan: Plan) -> list[overlay.Item]:
    host = next(node for node in plan.topology.nodes if node.name == _HOST)
    node: Node = replace(host, name=_IMAGE, image=_IMAGE, ports=())
    return overlay.overlay(plan.lab, plan.topology, node, plan.student, plan.stage)


def _checked(engine: Engine, port: int) -> int:
    if engine.is_local and port_in_use(port):
        raise UsageError(f"Port {port} of 127.0.0.1 is taken by another program. Name another, or leave --port out.")
    return port


def _free_port(engine: Engine, environment: Environment, listen: Listener) -> int:
    for shift in range(8):
        port = topology.port_at(environment.student.x, _PLACE, shift)
        if not engine.is_local or not port_in_use(port):
            return port
        listen(Event("desktop", f"port {port} of 127.0.0.1 is in use by another program; taking another", "note"))
    raise EngineError("No port for the desktop's page is free. Name one: labenv desktop --port PORT")


def _open_doors(engine: Engine, desk: Desk, host: Machine) -> str:
    """Let whoever has a new password onto the page, and the desktop's terminal into host; the password."""
    password = student.new_password()
    with engine.shell(desk.desktop) as inside, engine.shell(host) as on_host:
        key = _run(desk, inside, f"until [ -s /run/screen/ready ]; do sleep 0.05; done; {_KEY}").strip()
        _run(desk, inside, _PASSWORD.format(password=password))
        on_host.run(f"mkdir -p /etc/labenv/keys && echo '{key}' >/etc/labenv/keys/root")
    return password


def _open_thunderbird(engine: Engine, desk: Desk, profile: str) -> None:
    with engine.shell(desk.desktop) as shell:
        _run(desk, shell, f"/usr/lib/labenv/thunderbird {profile}")


def _run(desk: Desk, channel: Channel, command: str) -> str:
    try:
        done = channel.run(command, timeout=_PATIENCE)
    except EngineError as error:
        raise EngineError(f"{error}\nThe desktop said last:\n{desk.last_words()}") from error
    if done.rc:
        raise EngineError(f"The desktop could not be set up: {done.complaint}")
    return done.text
