"""Debian 12, on which all images stand: the stock image if it can be pulled, else one that is made here."""

import hashlib
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import docker.errors

from labenv import __version__, resources
from labenv.computer import Computer
from labenv.engine import Engine, apt
from labenv.engine.errors import refusals
from labenv.errors import EngineError, UsageError
from labenv.events import Event, Listener, announced
from labenv.parallel import Together
from labenv.text import decoded

# debian:bookworm-slim as it was published in August 2026, for all processors: a registry cannot answer with another, and a
# tag of that name that is on an engine says nothing about what it holds. A newer one makes all images anew.
STOCK = "debian@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171"
OWN = "labenv/debian:bookworm"
LABEL = "labenv.image"  # distinguishes labenv's images from others; its value is the image's name
LAB = "labenv.image-lab"  # the lab whose own an image is
BUILD = "labenv.build"  # which labenv built an image: information only, and not part of its tag
SUITE = "bookworm"
SNAPSHOT = "LABENV_DEBIAN_SNAPSHOT"
# Debian's own, which keeps every day. Signatures protect what comes from there, and Debian's image has no certificates.
_ARCHIVE = "http://snapshot.debian.org/archive"
_SNAPSHOT = re.compile(r"(?:(https?://[!-?A-~]+)/)?(\d{8}T\d{6}Z)", re.ASCII)
_ALWAYS_VALID = '--aptopt=Acquire::Check-Valid-Until "false"'  # a snapshot's Release files are past their validity
_LAST_LINES = 15
# The machines' packages are included, because one run of apt is faster than two. A merged /usr is what Debian 12 has;
# translations and package notes would only make the bundle bigger.
_OPTIONS = (
    "--variant=apt",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    '--aptopt=Acquire::Languages "none"',
    '--customize-hook=find "$1"/usr/share/doc -type f ! -name copyright -delete',
    '--customize-hook=find "$1"/usr/share/man -mindepth 1 -maxdepth 1 ! -name "man[1-8]" -exec rm -rf {} +',
    '--customize-hook=rm -rf "$1"/usr/share/locale/* "$1"/usr/share/info/*',
)
_OFFLINE = "Without a network, import a bundle that was made elsewhere: labenv images import FILE."


def root(engine: Engine, listen: Listener) -> str:
    """The name of a Debian 12 on the engine: already there, pulled, or made with mmdebstrap.

    Raises EngineError; UsageError as `sources` does.
    """
    have, made_here = _names(engine), own()
    for name in (STOCK, made_here):
        if name in have:
            return name
    return _pulled(engine, listen) or _made(engine, made_here, listen)


def afresh(engine: Engine, tag: str, listen: Listener) -> str:
    """As `root`, but a Debian that was made here is made again from scratch, as `tag`."""
    if STOCK in _names(engine):
        return STOCK
    return _made(engine, tag, listen)


def sources() -> str:
    """Lines for sources.list(5) with the archive as it was at LABENV_DEBIAN_SNAPSHOT; nothing if that is not set.

    Raises UsageError unless it is a time as in snapshot.debian.org's addresses, or the address of a mirror that has the same
    paths, with such a time at its end. A password would get into the images, so an address has none.
    """
    wanted = os.environ.get(SNAPSHOT, "")
    if not wanted:
        return ""
    match = _SNAPSHOT.fullmatch(wanted)
    if not match:
        raise UsageError(
            f"{SNAPSHOT} is {wanted[:100]!a}. It must be a time such as 20260801T000000Z, or the address of a mirror with such a "
            f"time at its end: http://snapshot.debian.org/archive/20260801T000000Z"
        )
    archive, time = match[1] or _ARCHIVE, match[2]
    return "".join(
        f"deb {archive}/{part}/{time} {suite} main\n"
        for part, suite in (("debian", SUITE), ("debian", f"{SUITE}-updates"), ("debian-security", f"{SUITE}-security"))
    )


def own() -> str:
    """The tag of a Debian that is made here: another for each snapshot. Raises UsageError as `sources` does."""
    said = sources()
    return f"{OWN}-{hashlib.sha256(said.encode()).hexdigest()[:12]}" if said else OWN


def _names(engine: Engine) -> set[str]:
    """What the images on the engine are called: tags, and the digests under which they were pulled."""
    with refusals("listing the images"):
        listed = engine.api.images()
    names = {name for image in listed for key in ("RepoTags", "RepoDigests") for name in image[key] or []}
    return {name.removeprefix("localhost/").removeprefix("docker.io/library/") for name in names}


def _pulled(engine: Engine, listen: Listener) -> str | None:
    listen(Event("debian", f"fetching {STOCK}", "start"))
    try:  # an engine may answer, and tell only then that it failed
        said = engine.api.pull(STOCK, stream=True, decode=True)
        why = next((str(part["error"]) for part in said if "error" in part), "")
    except docker.errors.APIError as error:
        why = str(error.explanation)
    if why:
        listen(Event("debian", f"{STOCK} cannot be pulled ({' '.join(why.split())})", "note"))
        return None
    listen(Event("debian", f"fetching {STOCK}", "done"))
    return STOCK


def _made(engine: Engine, tag: str, listen: Listener) -> str:
    with announced(listen, "debian", "making Debian 12 with mmdebstrap"):
        _bootstrap(engine, tag, listen)
    return tag


def _bootstrap(engine: Engine, image: str, listen: Listener) -> None:
    dated = sources().splitlines()
    options = [*_OPTIONS, *([_ALWAYS_VALID] if dated else [])]
    command = ["mmdebstrap", *options, f"--include={_packages()}", SUITE, "-", *dated]
    if not shutil.which("mmdebstrap"):
        _install_mmdebstrap(listen)
    shm = Path("/dev/shm")
    environment = dict(os.environ, TMPDIR=str(shm)) if shm.is_dir() and shutil.disk_usage(shm).free > 1 << 30 else None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stderr
        with Together(1) as pool:
            log = pool.submit(_drain, process.stderr, listen)
            with refusals("importing Debian 12"):
                name, tag = image.split(":")
                engine.api.import_image(
                    src=process.stdout,
                    repository=name,
                    tag=tag,
                    changes=[f"LABEL {LABEL}=debian {BUILD}={__version__}"],
                )
            last = log.result()
    if process.returncode:
        with refusals("removing the unfinished Debian image"):
            engine.api.remove_image(image, force=True)
        lines = "\n  ".join(last)
        raise EngineError(f"Debian 12 could not be made. {_OFFLINE}\nLast lines of mmdebstrap:\n  {lines}")


def _packages() -> str:
    packages = (resources.images() / "machine" / "packages").read_text(encoding="utf-8").split()
    return ",".join(["usr-is-merged", *packages])


def _drain(stderr: Iterable[bytes], listen: Listener) -> deque[str]:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    for raw in stderr:
        line = decoded(raw).strip()
        last.append(line)
        listen(Event("debian", line.removeprefix("I: ")))
    return last


def _install_mmdebstrap(listen: Listener) -> None:
    computer = Computer()
    if not apt.can_install(computer):
        raise EngineError(
            f"The engine does not have {STOCK} and cannot pull it. {_OFFLINE} On Debian or Ubuntu, root can also make it: "
            f"sudo apt-get install mmdebstrap"
        )
    listen(Event("debian", "installing mmdebstrap from the distribution, to make Debian 12", "note"))
    try:
        apt.install(["mmdebstrap", "debian-archive-keyring"], "debian", listen, computer)
    except EngineError as error:
        raise EngineError(f"{error} {_OFFLINE}") from error
