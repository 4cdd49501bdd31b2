"""Host's desktop on the engine: two containers of one image, a volume with the socket that they share, a volume with a home.

The home is the student's, and outlives the containers: it is removed with the environment, or on request.

`desktop` runs in host's own network, so every connection it makes comes from host's address. `screen` serves the page on a
published port. It reaches the desktop's socket through the volume and not through the lab's network: so no rule of the
student's firewall blocks it, and no machine of the lab gets a port that nobody asked for. It is alone on a network of its
own, which leads nowhere.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker.errors

from labenv.engine import Engine, limits
from labenv.engine.errors import refusals
from labenv.engine.labels import LABEL, RECORD
from labenv.environment import Machine, container_name, network_name
from labenv.errors import EngineError
from labenv.lab.topology import Limits
from labenv.student import Student

PAGE = 6080  # the port of websockify in its container
NETWORK = "screen"
_SHARED = "/run/screen"
_SERVE = ["/usr/lib/labenv/screen"]
_HOME = "home"
# Two browsers' processes and threads; Thunderbird and Firefox together take half of this.
_DESKTOP = Limits(memory=3 << 30, pids=4096)
_SCREEN = Limits(memory=256 << 20, pids=256)


@dataclass(frozen=True)
class Parts:
    """The two containers on the engine: their states ("missing" if there is none), and the page's port here.

    `in_host` is whether the desktop belongs to the current host machine, `behind` whether host was booted after it;
    the images are the tags that they were made from.
    """

    desktop: str
    screen: str
    port: int | None
    in_host: bool
    behind: bool
    desktop_image: str
    screen_image: str


class Desk:
    """The desktop of one student on an engine. Its methods raise EngineError."""

    def __init__(self, engine: Engine, student: Student, host: Machine) -> None:
        self._engine = engine
        self._student = student
        self._host = host
        self.desktop = container_name(student.id, "desktop")
        self.screen = container_name(student.id, "screen")
        self._volume = self.screen
        self._home = _home(student.id)

    def parts(self) -> Parts:
        """What exists of it."""
        with refusals("looking for the desktop"):
            host = self._engine.api.inspect_container(self._host.container)
            desktop, screen = self._inspected(self.desktop), self._inspected(self.screen)
        in_host = behind = False
        if desktop:
            mode = desktop["HostConfig"]["NetworkMode"]
            in_host = mode.removeprefix("container:") in (host["Id"], self._host.container)
            behind = desktop["State"]["StartedAt"] < host["State"]["StartedAt"]
        return Parts(
            desktop["State"]["Status"] if desktop else "missing",
            screen["State"]["Status"] if screen else "missing",
            _port(screen) if screen else None,
            in_host,
            behind,
            desktop["Config"]["Image"] if desktop else "",
            screen["Config"]["Image"] if screen else "",
        )

    def running(self) -> tuple[str, int] | None:
        """The running desktop's image and its page's port here, whatever has become of host; None if it does not run."""
        with refusals("looking for the desktop"):
            desktop, screen = self._inspected(self.desktop), self._inspected(self.screen)
        if not desktop or not screen or not desktop["State"]["Running"]:
            return None
        return desktop["Config"]["Image"], _port(screen)

    def make_desktop(self, image: str, files: bytes) -> None:
        """Create the desktop without starting it, with files laid over it (a tar archive rooted at /)."""
        with refusals("making the desktop"):
            self._share()
            # Thunderbird's processes share memory; an engine's usual 64 MiB are too little for large messages.
            home = {LABEL: self._student.id, RECORD: _HOME}
            self._engine.api.create_volume(self._home, labels=home)
            binds = [f"{self._home}:/home/{self._student.id}"]
            settings = self._settings(
                _DESKTOP, binds, network_mode=f"container:{self._host.container}", shm_size="256m"
            )
            self._create(self.desktop, image, None, settings)
            self._engine.api.put_archive(self.desktop, "/", files)

    def make_screen(self, image: str, port: int) -> None:
        """Create the page's server without starting it, on its network, published on that port of 127.0.0.1."""
        with refusals("making the desktop's page"):
            self._share()
            network = network_name(self._student.id, NETWORK)
            settings = self._settings(_SCREEN, [], port_bindings={PAGE: ("127.0.0.1", port)}, network_mode=network)
            self._create(self.screen, image, _SERVE, settings, ports=[PAGE])

    def start(self) -> None:
        """Start both; does nothing if they run."""
        self._engine.start(self.desktop)
        self._engine.start(self.screen)

    def stop(self) -> None:
        """Stop both, and keep them with their content."""
        with refusals("stopping the desktop"):
            for container in (self.screen, self.desktop):
                with suppress(docker.errors.NotFound):
                    self._engine.api.stop(container, timeout=5)

    def remove(self, container: str) -> None:
        """Remove one of the two."""
        self._engine.remove_machine(container)

    def remove_both(self) -> None:
        """Remove both, and the page's network."""
        self.remove(self.screen)
        self.remove(self.desktop)
        with refusals("removing the desktop's network"), suppress(docker.errors.NotFound):
            self._engine.api.remove_network(network_name(self._student.id, NETWORK))

    def last_words(self) -> str:
        """The desktop's last lines of output, for an error message."""
        with suppress(EngineError):
            return self._engine.last_words(self.desktop)[2]
        return ""

    def _share(self) -> None:
        self._engine.api.create_volume(self._volume, labels={LABEL: self._student.id})

    def _settings(self, most: Limits, binds: list[str], **more: object) -> dict[str, object]:
        if self._engine.facts.selinux:  # its categories would separate each container from the other's socket
            more["security_opt"] = ["label=disable"]
        settings: dict[str, object] = self._engine.settings(
            binds=[f"{self._volume}:{_SHARED}", *binds],
            **limits.settings(limits.keys(most, self._engine.facts.limits - {limits.DISK})),
            **more,
        )
        return settings

    def _create(self, name: str, image: str, command: list[str] | None, settings: object, **more: object) -> None:
        self._engine.api.create_container(
            image,
            command=command,
            name=name,
            labels={LABEL: self._student.id},
            environment={"STUDENT": self._student.id},
            use_config_proxy=False,
            host_config=settings,
            **more,
        )

    def _inspected(self, container: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._engine.api.inspect_container(container)
        except docker.errors.NotFound:
            return None
        return found


def remove_home(engine: Engine, student_id: str) -> bool:
    """Remove the student's files on the desktop, once it is gone. Returns whether there were any. Raises EngineError."""
    with refusals("removing the desktop's files"):
        try:
            engine.api.remove_volume(_home(student_id))
        except docker.errors.NotFound:
            return False
    return True


def _home(student_id: str) -> str:
    return container_name(student_id, f"desktop-{_HOME}")


def has_home(engine: Engine, student_id: str) -> bool:
    """Whether there is a desktop, running or not, with files of the student's. Raises EngineError."""
    with refusals("looking for a desktop"):
        there = engine.api.volumes(filters={"name": _home(student_id)})["Volumes"] or []
    return any(volume["Name"] == _home(student_id) for volume in there)


def _port(screen: dict[str, Any]) -> int:
    return int(screen["HostConfig"]["PortBindings"][f"{PAGE}/tcp"][0]["HostPort"])
