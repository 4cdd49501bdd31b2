"""Images are identified by their content, and travel in one file."""

import contextlib
import gzip
import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from labenv import resources
from labenv.engine import Engine, debian, image_file
from labenv.engine.image_sources import usual, wanted
from labenv.engine.images import Images
from labenv.errors import EngineError, UsageError
from labenv.events import silent
from tests.e2e.conftest import Cli
from tests.unit import made_archives
from tests.unit.made_archives import Image

MEGABYTE = 1_000_000


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of images/ that labenv uses instead of the real one."""
    copy = shutil.copytree(resources.images(), tmp_path / "images", symlinks=True)
    monkeypatch.setattr(resources, "images", lambda: copy)
    wanted.cache_clear()
    yield copy
    wanted.cache_clear()


@pytest.fixture(scope="module")
def documents(bundle: Path) -> dict[str, Any]:
    """The small files of the bundle, which describe its content: manifest.json and each image's configuration."""
    found = {}
    with tarfile.open(bundle, "r|gz") as archive:
        for member in archive:
            if member.isfile() and member.size < MEGABYTE and (content := archive.extractfile(member)):
                with contextlib.suppress(ValueError):
                    found[member.name] = json.load(content)
    return found


def tags() -> dict[str, str]:
    wanted.cache_clear()
    return {name: wanted()[name].tag for name in usual()}


def ids(engine: Engine) -> dict[str, str]:
    """The engine's id of each current image."""
    return {tag: engine.api.inspect_image(tag)["Id"] for tag in tags().values()}


def packed(file: Path, members: dict[str, Any]) -> Path:
    """A gzipped tar of JSON documents."""
    with tarfile.open(file, "w:gz") as archive:
        for name, document in members.items():
            content = json.dumps(document).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file


def test_an_unchanged_image_is_never_built_again(cli: Cli, engine: Engine) -> None:
    before = ids(engine)
    assert cli("images", "build").stdout == "All images are already built.\n"
    assert ids(engine) == before


def test_the_list_names_every_image_with_its_size(cli: Cli) -> None:
    listed = cli.json("images", "list")
    current = {image["name"]: image["tag"] for image in listed["images"] if image["current"]}
    assert current.items() >= tags().items()
    assert listed["missing"] == []
    assert all(image["bytes"] > 50 * MEGABYTE for image in listed["images"])


def test_what_git_does_not_keep_makes_no_other_tag(folders: Path) -> None:
    before = tags()
    for path in folders.rglob("*"):
        os.utime(path, (1, 1))
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)
    (folders / "base" / "empty").mkdir()
    assert tags() == before


def add_a_line(folder: Path) -> None:
    with (folder / "Dockerfile").open("a") as file:
        file.write("# one more line\n")


def add_a_file(folder: Path) -> None:
    (folder / "new").touch()


def make_executable(folder: Path) -> None:
    (folder / "Dockerfile").chmod(0o755)


def rename(folder: Path) -> None:
    add_a_file(folder)
    (folder / "new").rename(folder / "newer")


def link(folder: Path) -> None:
    (folder / "link").symlink_to("Dockerfile")


def link_elsewhere(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")


CHANGES: list[Callable[[Path], None]] = [add_a_line, add_a_file, make_executable, rename, link, link_elsewhere]


def test_every_change_that_git_keeps_makes_another_tag(folders: Path, tmp_path: Path) -> None:
    seen = {tags()["host"]}
    for change in CHANGES:
        shutil.copytree(folders / "host", tmp_path / "kept", symlinks=True)
        change(folders / "host")
        seen.add(tags()["host"])
        shutil.rmtree(folders / "host")
        (tmp_path / "kept").rename(folders / "host")
    assert len(seen) == 1 + len(CHANGES)


@pytest.mark.parametrize(
    ("changed", "others"),
    [
        ("machine", {"machine", "base", "gateway", "host", "outside", "mail", "dovecot"}),
        ("base", {"base", "gateway", "host", "outside", "mail", "dovecot"}),
        ("gateway", {"gateway", "host", "outside"}),
        ("host", {"host", "outside"}),
        ("mail", {"mail", "dovecot"}),
        ("dovecot", {"dovecot"}),
    ],
)
def test_a_change_changes_the_images_that_stand_on_it_and_no_other(
    folders: Path, changed: str, others: set[str]
) -> None:
    before = tags()
    add_a_line(folders / changed)
    after = tags()
    assert {name for name in after if after[name] != before[name]} == others


def test_a_failing_step_shows_its_last_lines_and_leaves_nothing(cli: Cli, engine: Engine, folders: Path) -> None:
    (folders / "host" / "Dockerfile").write_text(
        "ARG BASE=labenv/base\nFROM ${BASE}\nRUN seq -f 'line %g' 100; echo no such package >&2; exit 7\n"
    )
    with pytest.raises(EngineError) as failure:
        Images(engine).ensure(["host"], silent)
    said = str(failure.value)
    assert "image host" in said
    assert "non-zero code: 7" in said
    assert "no such package" in said
    assert "line 100\n" in said
    assert "line 2\n" not in said, "the last lines, not all"
    assert not [c["Id"] for c in engine.api.containers(all=True) if "no such package" in c["Command"]]
    assert tags()["host"] not in {image.tag for image in Images(engine).present()}


def test_images_that_stand_on_none_are_said(folders: Path) -> None:
    (folders / "host" / "Dockerfile").write_text("ARG BASE=labenv/nothing\nFROM ${BASE}\n")
    with pytest.raises(UsageError, match="host"):
        tags()


def test_a_bundle_is_small_enough_to_carry(bundle: Path) -> None:
    assert bundle.stat().st_size <= 250 * MEGABYTE
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_bundle_is_loaded_again_as_it_was(cli: Cli, engine: Engine, bundle: Path) -> None:
    before = ids(engine)
    said = cli("images", "import", str(bundle)).stdout
    assert said == "".join(f"loaded {tag}\n" for tag in tags().values())
    assert ids(engine) == before


def truncated(bundle: Path, file: Path, _: dict[str, Any]) -> None:
    with bundle.open("rb") as whole:
        file.write_bytes(whole.read(bundle.stat().st_size * 2 // 3))


def lacking_its_last_byte(bundle: Path, file: Path, _: dict[str, Any]) -> None:
    shutil.copy(bundle, file)
    os.truncate(file, bundle.stat().st_size - 1)


def empty(_bundle: Path, file: Path, _: dict[str, Any]) -> None:
    file.touch()


def no_gzip(_bundle: Path, file: Path, _: dict[str, Any]) -> None:
    file.write_text("a thesis\n")


def no_tar(_bundle: Path, file: Path, _: dict[str, Any]) -> None:
    file.write_bytes(gzip.compress(b"a thesis\n" * 1000))


def no_manifest(_bundle: Path, file: Path, documents: dict[str, Any]) -> None:
    packed(file, {name: document for name, document in documents.items() if name != "manifest.json"})


def odd_manifest(_bundle: Path, file: Path, _: dict[str, Any]) -> None:
    packed(file, {"manifest.json": {"Config": "x"}})


def odd_entry(_bundle: Path, file: Path, _: dict[str, Any]) -> None:
    packed(file, {"manifest.json": [1]})


@pytest.mark.parametrize(
    "breakage",
    [truncated, lacking_its_last_byte, empty, no_gzip, no_tar, no_manifest, odd_manifest, odd_entry],
)
def test_what_is_no_whole_bundle_is_refused(
    cli: Cli,
    bundle: Path,
    documents: dict[str, Any],
    tmp_path: Path,
    breakage: Callable[[Path, Path, dict[str, Any]], None],
) -> None:
    file = tmp_path / "broken.tar.gz"
    breakage(bundle, file, documents)
    said = cli("images", "import", str(file), rc=2).stderr
    assert f"{file} is not a complete labenv bundle" in said
    assert "Copy it or export it again." in said
    assert "loading" not in said, "the engine has seen nothing of it"


def test_a_folder_and_a_missing_file_are_no_bundle(cli: Cli, tmp_path: Path) -> None:
    assert "not a complete labenv bundle" in cli("images", "import", str(tmp_path), rc=2).stderr
    assert f"no file {tmp_path}/none" in cli("images", "import", str(tmp_path / "none"), rc=2).stderr


def small(file: Path, architecture: str, tags: Iterable[tuple[str, str]], **settings: Any) -> Path:
    """A whole bundle of small images, by name and tag."""
    images = [
        Image(n, {"Labels": {debian.LABEL: n}} | settings, made_archives.tarred([(n, b"")]), tag, architecture)
        for n, tag in tags
    ]
    file.write_bytes(made_archives.packed(made_archives.members(images)))
    return file


def test_a_bundle_of_another_version_is_refused_with_what_it_lacks(cli: Cli, engine: Engine, tmp_path: Path) -> None:
    host = tags()["host"]
    without = [(name, tag) for name, tag in tags().items() if tag != host]
    said = cli("images", "import", str(small(tmp_path / "older.tar.gz", engine.architecture, without)), rc=2).stderr
    assert f"another version of labenv: it does not contain {host}." in said


def test_a_bundle_for_other_processors_is_refused(cli: Cli, engine: Engine, tmp_path: Path) -> None:
    said = cli("images", "import", str(small(tmp_path / "foreign.tar.gz", "s390x", tags().items())), rc=2).stderr
    assert f"s390x processors, but this engine runs on {engine.architecture}" in said


def test_a_bundle_brings_in_images_of_labenv_alone(cli: Cli, engine: Engine, tmp_path: Path) -> None:
    before = ids(engine)
    for name, tag, reason in (
        ("slim", "debian:bookworm-slim", "which is not an image of labenv"),
        ("evil", "labenv/evil:1", "which is not an image of this version of labenv"),
    ):
        file = small(tmp_path / "more.tar.gz", engine.architecture, [*tags().items(), (name, tag)])
        assert reason in cli("images", "import", str(file), rc=2).stderr
    for key, value in (
        ("OnBuild", ["RUN id"]),
        ("Volumes", {"/x": {}}),
        ("User", "daemon"),
        ("Healthcheck", {"Test": ["x"]}),
    ):
        file = small(tmp_path / "more.tar.gz", engine.architecture, tags().items(), **{key: value})
        assert f"sets {key}, which no image of labenv does" in cli("images", "import", str(file), rc=2).stderr
    assert ids(engine) == before


def test_an_image_that_the_engine_reads_otherwise_gets_no_name(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_file, "_once", dict)  # the next difference between two readers of JSON
    name = f"labenv-test:{secrets.token_hex(4)}"
    image = Image(
        "host", {"Labels": {debian.LABEL: "host"}}, made_archives.tarred([("x", b"")]), name, engine.architecture
    )
    image.edit = ('"os"', '"CONFIG": {"Labels": {"labenv.topology": "/etc/shadow"}, "Volumes": {"/evil": {}}}, "os"')
    file = tmp_path / "evil.tar.gz"
    file.write_bytes(made_archives.packed(made_archives.members([image])))
    given = image_file.verified(file)
    first = f"{name}.incoming"
    try:
        with pytest.raises(EngineError, match=r"other settings than those that were verified \(Labels, Volumes\)"):
            image_file.load(engine, given, {given.images[0].digest: (first, name)}, silent)
        assert not engine.api.images(name=name)
        assert not engine.api.images(name=first)
    finally:
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.api.remove_image(name)


def test_a_bundle_goes_only_where_it_can_be_written(cli: Cli, tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "labenv.tar.gz"
    assert f"{nowhere} cannot be written" in cli("images", "export", str(nowhere), rc=2).stderr
    assert not list(tmp_path.iterdir())


def test_images_in_use_are_not_removed(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    before = ids(engine)
    said = cli("images", "remove", rc=3).stderr
    assert f"{tags()['mail']} by labenv-" in said  # this student's, or one of another user of labenv here
    assert ids(engine) == before


def test_a_dry_run_removes_no_image(cli: Cli, engine: Engine) -> None:
    before = ids(engine)
    said = cli("images", "remove", "--dry-run").stdout
    assert all(f"would remove {tag}\n" in said for tag in before)
    assert ids(engine) == before
