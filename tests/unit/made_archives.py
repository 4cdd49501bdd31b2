"""Archives of a save as `docker save` writes them (before version 25), small and without an engine."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from labenv.engine import recipe, save_store
from labenv.engine.labels import environment_labels, machine_labels
from labenv.environment import Environment, Machine
from labenv.lab import labs, topology
from labenv.student import Student

WHO = Student("asmith15", 90, "smith", "abcd2345")
MACHINES = ("host", "vm2", "vm3")
STAMP = "20261129T070000000000-01234567"


@dataclass
class Image:
    """An image of the archive, which a test changes before it is written; `edit` replaces text of its configuration."""

    machine: str
    settings: dict[str, Any]
    layer: bytes
    tag: str = ""
    architecture: str = "amd64"
    extra: dict[str, Any] = field(default_factory=dict)
    edit: tuple[str, str] = ("", "")

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.settings["Labels"]
        return labels

    @property
    def config(self) -> bytes:
        layers = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(self.layer).hexdigest()}"]}
        told = {"architecture": self.architecture, "os": "linux", "config": self.settings, "rootfs": layers}
        return json.dumps(told | self.extra).replace(*self.edit).encode()


def images() -> list[Image]:
    """The images of a save of asmith15's environment, as labenv commits them."""
    nodes = [n for n in topology.of(labs.load("lab4b"), WHO).nodes if not n.profile]
    machines = tuple(Machine(n.name, n.fqdn, n.address, "running", "") for n in nodes)
    shared = environment_labels(Environment(WHO, "lab4b", "done", machines, "lab4b"))
    shared |= {save_store.NAME: "tuesday", save_store.STAMP: STAMP, save_store.MACHINES: ",".join(MACHINES)}
    shared |= {save_store.FORMAT: save_store.CURRENT, save_store.VERSION: "0.2.0.dev1+g1234"}
    made = []
    for node in nodes:
        settings = {
            "Hostname": node.fqdn,
            "AttachStdout": True,
            "ExposedPorts": {f"{port.number}/{port.protocol}": {} for port in node.ports},
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "container=docker",
                "LANG=C.UTF-8",
            ],
            "Cmd": [recipe.INIT, "H4sI+/="],
            "WorkingDir": "/root",
            "StopSignal": "SIGRTMIN+3",
            "Labels": shared
            | machine_labels(node, "bfeeebb83576e2a8")
            | {"labenv.image": "mail", "labenv.build": "0.2.0"},
        }
        layer = tarred([("etc/hostname", node.fqdn.encode())])
        made.append(Image(node.name, settings, layer, f"labenv-save:asmith15.{STAMP}.{node.name}"))
    return made


Entry = tuple[str | tarfile.TarInfo, bytes]


def members(images: Iterable[Image]) -> list[Entry]:
    """The members of the archive, the manifest last."""
    entries: list[Entry] = []
    manifest = []
    for image in images:
        config = f"{hashlib.sha256(image.config).hexdigest()}.json"
        folder = hashlib.sha256(image.machine.encode()).hexdigest()
        entries += [(config, image.config), (f"{folder}/VERSION", b"1.0"), (f"{folder}/json", b"{}")]
        entries += [(f"{folder}/layer.tar", image.layer)]
        manifest.append({"Config": config, "RepoTags": [image.tag], "Layers": [f"{folder}/layer.tar"]})
    return [*entries, ("manifest.json", json.dumps(manifest).encode()), ("repositories", b"{}")]


def tarred(entries: Iterable[Entry]) -> bytes:
    """A tar archive of the entries; one with a TarInfo is of its kind."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in entries:
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def packed(entries: Iterable[Entry]) -> bytes:
    """The archive as a file."""
    return gzip.compress(tarred(entries), compresslevel=1)
