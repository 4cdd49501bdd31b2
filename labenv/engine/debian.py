"""Debian 12, on which all images stand: the stock image if it can be pulled, else one that is made here."""

import os
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import docker.errors

from labenv import __version__, resources
from labenv.computer import Computer
from labenv.engine import Engine, apt, refusals
from labenv.errors import EngineError
from labenv.events import Event, Listener, announced
from labenv.parallel import Together
from labenv.text import decoded

STOCK = "debian:bookworm-slim"
OWN = "labenv/debian:bookworm"
LABEL = "labenv.image"  # distinguishes labenv's images from others; its value is the image's name
BUILD = "labenv.build"  # which labenv built an image: information only, and not part of its tag
_LAST_LINES = 15
# The base's packages are included, because one run of apt is faster than two. A merged /usr is what Debian 12 has;
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
    """The tag of a Debian 12 on the engine: already there, pulled, or made with mmdebstrap. Raises EngineError."""
    have = _tags(engine)
    for tag in (STOCK, OWN):
        if tag in have:
            return tag
    return _pulled(engine, listen) or _made(engine, OWN, listen)


def afresh(engine: Engine, tag: str, listen: Listener) -> str:
    """As `root`, but a Debian that was made here is made again from scratch, as `tag`."""
    if STOCK in _tags(engine):
        return STOCK
    return _made(engine, tag, listen)


def _tags(engine: Engine) -> set[str]:
    with refusals("listing the images"):
        return {tag.removeprefix("localhost/") for image in engine.api.images() for tag in image["RepoTags"] or []}


def _pulled(engine: Engine, listen: Listener) -> str | None:
    listen(Event("debian", f"fetching {STOCK}", "start"))
    try:
        engine.api.pull(*STOCK.split(":"))
    except docker.errors.APIError as error:
        why = " ".join(str(error.explanation).split())
        listen(Event("debian", f"{STOCK} cannot be pulled ({why})", "note"))
        return None
    listen(Event("debian", f"fetching {STOCK}", "done"))
    return STOCK


def _made(engine: Engine, tag: str, listen: Listener) -> str:
    with announced(listen, "debian", "making Debian 12 with mmdebstrap"):
        _bootstrap(engine, tag, listen)
    return tag


def _bootstrap(engine: Engine, image: str, listen: Listener) -> None:
    command = ["mmdebstrap", *_OPTIONS, f"--include={_packages()}", "bookworm"]
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
    base = (resources.images() / "base" / "packages").read_text(encoding="utf-8").split()
    return ",".join(["usr-is-merged", *base])


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
