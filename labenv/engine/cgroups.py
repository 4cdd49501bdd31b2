"""What is done with a machine's cgroups past the engine: in the file system where it is local, else in a short-lived container.

A machine with a cgroup parent of its own leaves it behind empty (cgroupfs driver): the engine makes the parent and never
removes it.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import docker.errors

from labenv.lab.topology import Limits

if TYPE_CHECKING:
    from labenv.engine import Engine

_ROOT = Path("/sys/fs/cgroup")
# Deepest first. A cgroup that is still in use cannot be removed, which is intended.
_SWEEP = (
    'for i in $IDENTS; do find /cgroup -depth -type d -path "*/labenv/$i*" -exec rmdir {} + 2>/dev/null; done; true'
)
# Where version 2 is mounted beside version 1, the runtime freezes by version 1 and knows nothing of the other's switch. Podman's
# conmon, which has the container's id in the name of its own cgroup, is no process of the container.
_SWITCH = """
find /cgroup -type d -name "*$CONTAINER*" ! -name '*conmon*' -exec sh -c '
    for at; do echo "$STATE" >"$at/freezer.state" && found=1; done 2>/dev/null
    [ "$found" ] || for at; do echo "$NUMBER" >"$at/cgroup.freeze"; done
' - {} +
"""
# A slice's properties are systemd's to set: it would write its own idea over what is written past it. In a chroot systemctl
# would do nothing, and call that a success.
_CAP = """
fails=0
while read -r ident memory pids weight; do
    if [ "$DRIVER" = systemd ]; then
        systemctl set-property --runtime "labenv-$ident.slice" \\
            "MemoryMax=$memory" MemorySwapMax=0 "TasksMax=$pids" "CPUWeight=$weight" || fails=1
        [ "$(cat "$ROOT/labenv.slice/labenv-$ident.slice/memory.max")" != max ] || fails=1
    else
        cd "$ROOT/labenv/$ident" || { fails=1; continue; }
        [ ! -e memory.max ] || echo "$memory" >memory.max || fails=1
        [ ! -e memory.swap.max ] || echo 0 >memory.swap.max || fails=1
        [ ! -e pids.max ] || echo "$pids" >pids.max || fails=1
        [ ! -e cpu.weight ] || echo "$weight" >cpu.weight || fails=1
    fi
done <<END
$CAPS
END
exit $fails
"""


def cap(engine: "Engine", caps: dict[str, Limits]) -> bool:
    """Put limits on the level above what machines can write, by their idents; returns whether that worked.

    Root does it itself; for another user, and for root in a container, a container of the engine does. It lasts until the computer boots.
    """
    rows = [
        f"{ident} {most.memory} {most.pids} {min(max(most.cpu_shares * 100 // 1024, 1), 10_000)}"
        for ident, most in caps.items()
    ]
    given = {"CAPS": "\n".join(rows), "DRIVER": engine.facts.driver, "SYSTEMD_IGNORE_CHROOT": "1"}
    if engine.is_local and os.geteuid() == 0 and _are_here(engine.facts.driver, caps):
        environment = os.environ | given | {"ROOT": str(_ROOT)}
        done = subprocess.run(["/bin/sh", "-c", _CAP], env=environment, capture_output=True, check=False)
        return done.returncode == 0
    with contextlib.suppress(docker.errors.DockerException):
        return _run(engine, _CAP, given | {"ROOT": "/cgroup"})
    return False


def _are_here(driver: str, idents: Iterable[str]) -> bool:
    """Whether root can do it from here: a container sees this computer's cgroups read-only or not at all, and not its systemd."""
    if driver == "systemd":
        return Path("/run/systemd/system").is_dir()  # sd_booted(3)
    return all(os.access(_ROOT / "labenv" / ident, os.W_OK) for ident in idents)


def remove(idents: list[str], engine: "Engine") -> None:
    """Remove what is left of the cgroups of the machines with these idents. Leftovers are harmless, so it raises nothing."""
    if engine.facts.driver == "systemd":
        # systemd removes slices itself, but not their properties, which go with the next boot.
        if engine.is_local and os.geteuid() == 0:
            revert = ["systemctl", "revert", *(f"labenv-{ident}.slice" for ident in idents)]
            here = os.environ | {"SYSTEMD_IGNORE_CHROOT": "1"}
            with contextlib.suppress(OSError):
                subprocess.run(revert, env=here, capture_output=True, check=False)
        return
    mine = [path for ident in idents for path in (*_ROOT.glob(f"*/labenv/{ident}"), *_ROOT.glob(f"labenv/{ident}"))]
    if mine and (os.geteuid() or os.access(mine[0].parent, os.W_OK)):  # a container may see them read-only
        for path in mine:
            for inner in sorted((p for p in path.rglob("*") if p.is_dir()), reverse=True):
                _rmdir(inner)
            _rmdir(path)
            _rmdir(path.parent)  # removed with the last machine on the engine
        return
    with contextlib.suppress(docker.errors.DockerException):
        _run(engine, _SWEEP, {"IDENTS": " ".join(idents)})


def freeze(engine: "Engine", container_id: str, *, on: bool) -> None:
    """Stop the processes of a container, or let them go on, without the engine, which goes by what it did itself. Raises nothing."""
    state, number = ("FROZEN", "1") if on else ("THAWED", "0")
    at = [path for path in _ROOT.rglob(f"*{container_id}*") if path.is_dir() and "conmon" not in path.name]
    for name, text in (("freezer.state", state), ("cgroup.freeze", number)):
        if switches := [folder / name for folder in at if (folder / name).exists()]:
            try:
                for switch in switches:
                    switch.write_text(text, encoding="utf-8")
            except OSError:  # they are there, but another user's
                break
            return
    with contextlib.suppress(docker.errors.DockerException):
        _run(engine, _SWITCH, {"CONTAINER": container_id, "STATE": state, "NUMBER": number})


def _run(engine: "Engine", script: str, environment: dict[str, str]) -> bool:
    """Run a script in a container of the engine; returns whether it worked."""
    tags = [tag.removeprefix("localhost/") for image in engine.api.images() for tag in image["RepoTags"] or []]
    # What stands on Debian itself may have no systemctl.
    image = next((tag for of in ("labenv/machine:", "labenv/") for tag in tags if tag.startswith(of)), None)
    worked = False
    if image:
        manager = {"/run/systemd": {"bind": "/run/systemd", "mode": "rw"}} if "DRIVER" in environment else {}
        mode = "host" if manager else None  # systemd talks to no process that it cannot see
        helper = engine.client.containers.create(
            image,
            ["sh", "-c", script],
            environment=environment,
            volumes={str(_ROOT): {"bind": "/cgroup", "mode": "rw"}} | manager,
            network_mode="none",
            pid_mode=mode,
        )
        try:
            helper.start()
            worked = helper.wait()["StatusCode"] == 0
        finally:  # an engine with a full disk creates a container that it then cannot start
            helper.remove(force=True)
    return worked


def _rmdir(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()
