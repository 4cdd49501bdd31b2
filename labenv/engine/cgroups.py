"""Removing the empty cgroups that a machine with a cgroup parent of its own leaves behind (cgroupfs driver).

The engine makes the parent and never removes it. Where the engine is local, looking into the file system is enough;
elsewhere a short-lived container does it.
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
        image = next(
            (tag for i in engine.api.images() for tag in i["RepoTags"] or [] if tag.startswith("labenv/")), None
        )
        if image:
            sweeper = engine.client.containers.create(
                image,
                ["sh", "-c", _SWEEP],
                environment={"IDENTS": " ".join(idents)},
                volumes={str(_ROOT): {"bind": "/cgroup", "mode": "rw"}},
                network_mode="none",
            )
            try:
                sweeper.start()
                sweeper.wait()
            finally:  # an engine with a full disk creates a container that it then cannot start
                sweeper.remove(force=True)


def _rmdir(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
