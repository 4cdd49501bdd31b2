"""An archive from elsewhere brings in what labenv's own save would have written, and nothing else."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from labenv import plain_tar
from labenv.engine import image_file, layer
from labenv.engine.labels import LAB_FOLDER, OPTIONAL, TOPOLOGY
from labenv.environments import foreign
from labenv.errors import UsageError
from labenv.plain_tar import Unreadable
from tests.unit.made_archives import MACHINES, Entry, Image, images, members, packed, tarred


def read(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "given.labenv"
    file.write_bytes(content)
    foreign.save_in(image_file.verified(file))


def test_what_a_save_writes_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "given.labenv"
    file.write_bytes(packed(members(images())))
    found = foreign.save_in(image_file.verified(file))
    assert (found.student_id, found.name, found.machines) == ("asmith15", "tuesday", MACHINES)


def test_where_the_lab_was_elsewhere_means_nothing_here(tmp_path: Path) -> None:
    file = tmp_path / "given.labenv"
    given = images()
    for image in given:
        image.labels[LAB_FOLDER] = "/home/somebody/lab4b"
    file.write_bytes(packed(members(given)))
    verified = image_file.verified(file)
    assert foreign.save_in(verified).machines == MACHINES
    assert not any(LAB_FOLDER in image.labels for image in foreign.marked(verified).images)


def test_an_archive_of_a_lab_that_is_not_here_says_which(tmp_path: Path) -> None:
    given = images()
    for image in given:
        image.labels["labenv.lab"] = "router"
    with pytest.raises(UsageError) as caught:
        read(tmp_path, packed(members(given)))
    assert "is an environment of the lab 'router', which is not here. Put that lab into " in str(caught.value)


def test_the_newer_layout_with_a_packed_layer_is_accepted(tmp_path: Path) -> None:
    entries: list[Entry] = [("oci-layout", b"{}")]
    index, manifest = [], []
    for image in images():
        parts = {"config": image.config, "layer": gzip.compress(image.layer)}
        digest = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
        told = {"config": {"digest": f"sha256:{digest['config']}"}, "layers": [{"digest": f"sha256:{digest['layer']}"}]}
        described = json.dumps(told).encode()
        name = hashlib.sha256(described).hexdigest()
        index.append({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": f"sha256:{name}"})
        entries += [(f"blobs/sha256/{digest[part]}", content) for part, content in parts.items()]
        entries += [(f"blobs/sha256/{name}", described)]
        blobs = {"Config": f"blobs/sha256/{digest['config']}", "Layers": [f"blobs/sha256/{digest['layer']}"]}
        manifest.append({"RepoTags": [image.tag], **blobs})
    entries += [("index.json", json.dumps({"manifests": index}).encode())]
    read(tmp_path, packed([*entries, ("manifest.json", json.dumps(manifest).encode())]))
    stray = ("blobs/sha256/" + hashlib.sha256(b"stray").hexdigest(), b"stray")
    whole = packed([*entries, ("manifest.json", json.dumps(manifest).encode()), stray])
    with pytest.raises(Unreadable, match="belongs to no image"):
        read(tmp_path, whole)


def of_kind(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


EVIL = b'[{"Config":"x","RepoTags":["debian:bookworm-slim"],"Layers":[]}]'
SMUGGLED: dict[str, tuple[Entry, str]] = {
    "another form of the name": (("./manifest.json", EVIL), "a name that"),
    "a way around": (("x/../manifest.json", EVIL), "a name that"),
    "an absolute name": (("/manifest.json", EVIL), "a name that"),
    "an escape": (("\x1b[2Jmanifest.json", EVIL), "a name that"),
    "a link": ((of_kind("manifest.json", tarfile.SYMTYPE, "evil"), b""), "is a link|occurs twice"),
    "a link beside": ((of_kind("b.json", tarfile.SYMTYPE, "manifest.json"), b""), "is a link"),
    "a hard link": ((of_kind("b.json", tarfile.LNKTYPE, "manifest.json"), b""), "not a regular file"),
    "a device": ((of_kind("zero", tarfile.CHRTYPE), b""), "not a regular file"),
    "a second manifest": (("manifest.json", EVIL), "occurs twice"),
    "a large second manifest": (("manifest.json", EVIL + b" " * 1_100_000), "occurs twice"),
    "a stranger": (("etc/passwd", b"root::0:0"), "belongs to no image"),
    "a stray blob": (("blobs/sha256/" + "0" * 64, b"x"), "belongs to no image"),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("case", SMUGGLED)
def test_a_member_that_an_engine_could_read_otherwise_is_refused(tmp_path: Path, case: str, first: bool) -> None:
    entry, reason = SMUGGLED[case]
    entries = members(images())
    with pytest.raises(Unreadable, match=reason):
        read(tmp_path, packed([entry, *entries] if first else [*entries, entry]))


def test_an_extended_header_that_renames_a_member_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("harmless")
        entry.pax_headers = {"path": "manifest.json"}
        archive.addfile(entry)
    with pytest.raises(Unreadable, match="changes another"):
        read(tmp_path, gzip.compress(buffer.getvalue()[:-1024] + tarred(members(images()))))


def setting(key: str, value: object) -> Callable[[Image], None]:
    def change(image: Image) -> None:
        image.settings[key] = value

    return change


def label(key: str, value: str) -> Callable[[Image], None]:
    def change(image: Image) -> None:
        image.labels[key] = value

    return change


NO_SAVE_SETS = {
    "volumes": setting("Volumes", {"/var/mail": {}}),
    "another port": setting("ExposedPorts", {"4444/tcp": {}}),
    "a health check": setting("Healthcheck", {"Test": ["CMD", "true"]}),
    "a build step": setting("OnBuild", ["RUN id"]),
    "another command": setting("Cmd", ["/bin/sh"]),
    "an argument": setting("Cmd", ["/usr/local/sbin/init", "-c", "id"]),
    "no list": setting("Cmd", 7),
    "an entrypoint": setting("Entrypoint", ["/bin/sh"]),
    "a user": setting("User", "daemon"),
    "another signal": setting("StopSignal", "SIGKILL"),
    "a shell": setting("Shell", ["/bin/sh"]),
    "a path": setting("Env", ["PATH=/tmp"]),
    "a library": setting("Env", ["LD_PRELOAD=/tmp/x.so"]),
    "another folder": setting("WorkingDir", "/tmp"),
    "a label of Compose": label("com.docker.compose.project", "victim"),
    "a label that labenv does not know": label("labenv.evil", "1"),
    "an escape": label("labenv.build", "\x1b[2J"),
    "a fingerprint": label("labenv.made-from", "../../etc"),
    "another restore": label("labenv.restored", "x" * 100),
    "an image": label("labenv.image", "../x"),
    "a profile": label(OPTIONAL, '{"fqdn": "x", "address": "10.0.0.1", "network": "", "addresses": []}'),
    "a stamp": label("labenv.save-stamp", "20261129T070000000000-../../x"),
    "machines of its own": label("labenv.machines", '[["host", "evil.example", "10.0.0.1"]]'),
    "networks of its own": label("labenv.network", "10.0.0.0/8"),
    "nested machines": label("labenv.machines", "[" * 100_000),
    "a password": label("labenv.password", "x'; reboot"),
    "an octet": label("labenv.x", "٣"),
    "a student": label("labenv.student", "../x"),
    "a stage": label("labenv.stage", "../../x"),
    "a lab": label("labenv.lab", "../../x"),
    "a name": label("labenv.save", "../x"),
}


@pytest.mark.parametrize("case", NO_SAVE_SETS)
def test_an_image_that_sets_what_no_save_sets_is_refused(tmp_path: Path, case: str) -> None:
    made = images()
    for image in made:
        NO_SAVE_SETS[case](image)
    with pytest.raises((Unreadable, UsageError)) as refused:
        read(tmp_path, packed(members(made)))
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("value", ["/dev/zero", "/etc/shadow", "../../x", "lab4b.yaml", "/work/lab4b", ""])
def test_a_topology_from_an_archive_is_never_a_file(tmp_path: Path, value: str) -> None:
    made = images()
    for image in made:
        image.labels[TOPOLOGY] = value
    with pytest.raises(UsageError, match="Only environments with the topology of their lab"):
        read(tmp_path, packed(members(made)))


HIDDEN = {
    "a repeated key": ('"config": {', '"config": {"Healthcheck": {"Test": ["CMD", "id"]}, "Healthcheck": {}, '),
    "a key in another case": ('"config": {', '"config": {"Volumes": null, "VOLUMES": {"/evil": {}}, '),
    "a letter that Go folds": ('"config": {', '"config": {"Label\\u017f": {"labenv.topology": "/etc/shadow"}, '),
    "settings beside the settings": ('"os"', '"CONFIG": {"Volumes": {"/evil": {}}}, "os"'),
    "layers beside the layers": ('"os"', '"RootFS": {"type": "layers", "diff_ids": []}, "os"'),
    "settings under another name": ('"config"', '"CONFIG"'),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_a_configuration_that_an_engine_could_read_otherwise_is_refused(tmp_path: Path, case: str) -> None:
    made = images()
    for image in made:
        image.edit = HIDDEN[case]
    with pytest.raises(Unreadable, match=r"is not JSON|does not describe images"):
        read(tmp_path, packed(members(made)))


def of_size(entry: tarfile.TarInfo, size: bytes) -> bytes:
    """A header with this size field."""
    block = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size.ljust(12, b"\0")
    block[148:156] = b"%06o\0 " % (sum(block[:148] + block[156:]) + 8 * 32)
    return bytes(block)


def noted(**records: str) -> bytes:
    """A layer with a file that has these extended records."""
    entry = tarfile.TarInfo("bomb")
    entry.pax_headers = {key.replace("_", "."): value for key, value in records.items()}
    return entry.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


FILES = tarred([("etc/hostname", b"vm2\n")])
UNLIKE = {
    "a file with holes": noted(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_realsize="2000000000"),
    "a file with holes in another form": noted(GNU_sparse_map="0,1", GNU_sparse_size="2000000000"),
    "a note about the size": noted(size="2000000000"),
    "a note that two read differently": noted(x="y").replace(b"6 x=y", b"9 x=y"),
    "an old file with holes": of_kind("bomb", b"S").tobuf() + bytes(1024),
    "a file of an unknown kind": of_kind("bomb", b"7").tobuf() + bytes(1024),
    "an old folder with a size": of_kind("bomb/", b"\0").tobuf() + bytes(1024),
    "a long note": of_size(of_kind("x", tarfile.XHDTYPE), b"7777777\0") + bytes(1024),
    "a size after a zero": of_size(tarfile.TarInfo("x"), b"\x000000001000") + bytes(1024),
    "a size of another base": of_size(tarfile.TarInfo("x"), b"\x80" + bytes(10) + b"\x01") + bytes(1024),
    "files without an archive": b"x" * 1024,
    "bzip2": bz2.compress(FILES),
    "xz": lzma.compress(FILES),
    "zstd": b"\x28\xb5\x2f\xfd" + FILES[4:],
    "an archive that begins like bzip2": tarred([("BZh9", b"")]),
    "an archive that begins like zstd": tarred([("P*M\x18", b"")]),
}


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("case", UNLIKE)
def test_a_layer_that_takes_more_than_its_bytes_is_refused(tmp_path: Path, case: str, gzipped: bool) -> None:
    made = images()
    made[1].layer = UNLIKE[case]
    entries = members(made)
    if gzipped:
        entries = [(name, gzip.compress(content) if content == made[1].layer else content) for name, content in entries]
    with pytest.raises(Unreadable, match="layer"):
        read(tmp_path, packed(entries))


def test_a_layer_as_engines_write_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "_PIECE", 700)  # headers and notes lie across pieces
    large = tarfile.TarInfo("usr/bin/large")
    large.size = 3000
    capable = tarfile.TarInfo("usr/bin/ping")
    capable.pax_headers = {"SCHILY.xattr.security.capability": "\1 size=1\n", "path": "usr/bin/ping size=1"}
    kinds = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    parts = [of_kind(f"m{kind.decode()}", kind, "x").tobuf() for kind in kinds]
    parts += [
        of_kind("l" * 300, tarfile.SYMTYPE, "t" * 300).tobuf(form) for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    ]
    parts += [large.tobuf(), bytes(range(250)) * 12, bytes(72), capable.tobuf(tarfile.PAX_FORMAT), bytes(1024)]
    made = images()
    made[0].layer, made[1].layer, made[2].layer = b"".join(parts), bytes(1024), FILES
    entries = members(made)
    read(tmp_path, packed(entries))
    read(tmp_path, packed([(n, gzip.compress(c) if str(n).endswith("layer.tar") else c) for n, c in entries]))


def test_layers_of_endless_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_file, "MOST_HEADERS", 9)
    made = images()
    for image, count in zip(made, (2, 3, 4), strict=True):
        image.layer = tarred([(f"f{number}", b"") for number in range(count)])
    read(tmp_path, packed(members(made)))
    made[1].layer = tarred([(f"f{number}", b"") for number in range(4)])
    with pytest.raises(Unreadable, match="more files than labenv accepts"):
        read(tmp_path, packed(members(made)))


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (bytes(4_000_000), "goes on after its end"),
        (gzip.compress(b"more"), "goes on after its end"),
        (None, "is truncated"),
    ],
    ids=["zeros after it", "another after it", "cut"],
)
def test_a_layer_is_one_whole_gzip_stream(tmp_path: Path, after: bytes | None, reason: str) -> None:
    made = images()
    whole = gzip.compress(made[1].layer)
    given = whole[:-4] if after is None else whole + after
    entries = [(name, given if content == made[1].layer else content) for name, content in members(made)]
    with pytest.raises(Unreadable, match=reason):
        read(tmp_path, packed(entries))


def test_a_member_with_endless_headers_is_refused(tmp_path: Path) -> None:
    note = of_size(of_kind("x", tarfile.XHDTYPE), b"00000000000")
    with pytest.raises(Unreadable, match="two extended headers for one member"):
        read(tmp_path, gzip.compress(note * 2 + tarred(members(images()))))


def test_an_archive_under_another_name_is_refused(tmp_path: Path) -> None:
    for tag in ("debian:bookworm-slim", "labenv/dovecot:c05914a3f4e3", "labenv-save:other.x.vm2", ""):
        made = images()
        made[1].tag = tag
        with pytest.raises(UsageError, match="it contains the image"):
            read(tmp_path, packed(members(made)))


def test_machines_of_two_saves_are_refused(tmp_path: Path) -> None:
    for key, value in (("labenv.password", "other"), ("labenv.x", "91"), ("labenv.save", "monday")):
        made = images()
        made[2].labels[key] = value
        with pytest.raises(Unreadable, match="do not belong to one save"):
            read(tmp_path, packed(members(made)))


def test_an_archive_without_a_format_label_is_of_the_first_format(tmp_path: Path) -> None:
    made = images()
    for image in made:
        del image.labels["labenv.save-format"]
        del image.labels["labenv.build"]
    read(tmp_path, packed(members(made)))


def test_a_changed_layer_or_configuration_is_refused(tmp_path: Path) -> None:
    whole = members(images())
    for number, (name, content) in enumerate(whole):
        if str(name).endswith(("layer.tar", ".json")) and name != "manifest.json":
            changed = content.replace(b"asmith15.ops", b"asmith16.ops")
            with pytest.raises(Unreadable, match="was changed"):
                read(tmp_path, packed([*whole[:number], (name, changed), *whole[number + 1 :]]))


def test_a_bomb_is_refused_at_the_limit_with_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_file, "LARGEST_WHOLE", 50_000_000)
    entries = members(images())
    bombs = {
        "in the file": packed([*entries, ("x", bytes(60_000_000))]),
        "in a header": gzip.compress(
            of_kind("x", tarfile.XHDTYPE).tobuf().replace(b"00000000000", b"00777777777") + bytes(60_000_000)
        ),
    }
    for bomb in bombs.values():
        tracemalloc.start()
        with pytest.raises(Unreadable):
            read(tmp_path, bomb)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
        tracemalloc.stop()
    made = images()
    made[0].layer = bytes(60_000_000)
    zipped = [(name, gzip.compress(c) if len(c) > 1_000_000 else c) for name, c in members(made)]
    with pytest.raises(Unreadable, match="unpack to more than the 50 MB"):
        read(tmp_path, packed(zipped))


def test_a_pipe_and_a_device_are_no_archives(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises((Unreadable, OSError)):
            plain_tar.opened(path)


def test_what_the_engine_gets_is_what_was_verified(tmp_path: Path) -> None:
    file = tmp_path / "given.labenv"
    file.write_bytes(packed(members(images())))
    given = image_file.verified(file)
    tags = {image.digest: f"labenv-save:x.removed.{n}" for n, image in enumerate(given.images)}
    whole = io.BytesIO(b"".join(image_file._rewritten(given, tags)))
    with tarfile.open(fileobj=whole) as sent:
        names = sent.getnames()
        content = sent.extractfile("manifest.json")
        told = json.load(content) if content else []
    assert names[-1] == "manifest.json"
    assert len(names) == len(set(names)) == 2 * len(MACHINES) + 1
    assert [entry["RepoTags"] for entry in told] == [[tag] for tag in tags.values()]
    assert [layer for entry in told for layer in entry["Layers"]] == names[: len(MACHINES)]
