"""What is done with a machine's cgroups past the engine: in the file system where it is local, else in a short-lived container.

A machine with a cgroup parent of its own leaves it behind empty (cgroupfs driver): the engine makes the parent and never
removes it.
"""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import docker.errors

if TYPE_CHECKING:
    from labenv.engine import Engine

_ROOT = Path("/sys/fs/cgroup")
# Deepest first. A cgroup that is still in use cannot be removed, which is intended.
_SWEEP = (
    'for i in $IDENTS; do find /cgroup -depth -type d -path "*/labenv/$i*" -exec rmdir {} + 2>/dev/null; done; true'
)
_THAW = (
    'find /cgroup -path "*$CONTAINER*/freezer.state" -exec sh -c \'echo THAWED >"$1"\' - {} \\; ;'
    'find /cgroup -path "*$CONTAINER*/cgroup.freeze" -exec sh -c \'echo 0 >"$1"\' - {} \\; ; true'
)


def remove(idents: list[str], engine: "Engine") -> None:
    """Remove the cgroups of the machines with these idents. Leftovers are harmless, so it raises nothing."""
    mine = [path for ident in idents for path in (*_ROOT.glob(f"*/labenv/{ident}"), *_ROOT.glob(f"labenv/{ident}"))]
    if mine:
        for path in mine:
            for inner in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
                _rmdir(inner)
            _rmdir(path)
            _rmdir(path.parent)  # removed with the last machine on the engine
        return
    with contextlib.suppress(docker.errors.DockerException):
        _run(engine, _SWEEP, {"IDENTS": " ".join(idents)})


def thaw(engine: "Engine", container_id: str) -> None:
    """Let the processes of a paused container go on without the engine, which still takes it for paused. Raises nothing."""
    switches = [*_ROOT.rglob(f"*{container_id}*/freezer.state"), *_ROOT.rglob(f"*{container_id}*/cgroup.freeze")]
    try:
        for switch in switches:
            switch.write_text("THAWED" if switch.name == "freezer.state" else "0", encoding="utf-8")
    except OSError:  # they are there, but another user's
        switches = []
    if not switches:
        with contextlib.suppress(docker.errors.DockerException):
            _run(engine, _THAW, {"CONTAINER": container_id})


def _run(engine: "Engine", script: str, environment: dict[str, str]) -> None:
    image = next((tag for i in engine.api.images() for tag in i["RepoTags"] or [] if tag.startswith("labenv/")), None)
    if image:
        helper = engine.client.containers.create(
            image,
            ["sh", "-c", script],
            environment=environment,
            volumes={str(_ROOT): {"bind": "/cgroup", "mode": "rw"}},
            network_mode="none",
        )
        try:
            helper.start()
            helper.wait()
        finally:  # an engine with a full disk creates a container that it then cannot start
            helper.remove(force=True)


def _rmdir(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
