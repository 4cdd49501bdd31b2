"""What the images are made of is pinned where it comes from, and named where it is."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex

import docker.errors
import pytest

from labenv.engine import Engine, debian, packages
from labenv.engine.image_sources import wanted
from labenv.engine.images import Images
from labenv.errors import EngineError, UsageError
from labenv.events import Event, silent
from tests.e2e.conftest import Cli
from tests.e2e.test_images import folders  # noqa: F401  # a fixture
from tests.unit import made_archives

QUERY = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n"]
TIME = "20260801T000000Z"


def ran(engine: Engine, image: str, command: list[str]) -> str:
    """What a command prints in a container of the image that uses the engine's network."""
    output: bytes = engine.client.containers.run(image, command, remove=True, network_mode="host", stderr=True)
    return output.decode()


@contextmanager
def serving(answers: dict[str, tuple[str, bytes]]) -> Iterator[tuple[str, list[str]]]:
    """A web server with these answers (kind, content) by path; yields its address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            kind, content = answers.get(self.path, ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815  # as its base wants it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def registry(engine: Engine, layer: bytes) -> tuple[str, dict[str, tuple[str, bytes]]]:
    """What a registry answers for an image `debian` with one layer, and the digest of its manifest (OCI distribution)."""
    config = made_archives.Image("debian", {}, layer, architecture=engine.architecture).config
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    parts = {"config": (config, "container.image.v1+json"), "layer": (layer, "image.rootfs.diff.tar")}
    told = {
        name: {"mediaType": f"application/vnd.docker.{suffix}", "size": len(content), "digest": sha256(content)}
        for name, (content, suffix) in parts.items()
    }
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": kind, "config": told["config"], "layers": [told["layer"]]}
    ).encode()
    answers = {f"/v2/debian/blobs/{sha256(c)}": ("application/octet-stream", c) for c, _ in parts.values()}
    return sha256(manifest), {
        "/v2/": ("application/json", b"{}"),
        f"/v2/debian/manifests/{sha256(manifest)}": (kind, manifest),
        **answers,
    }


def test_the_packages_of_an_image_are_listed_as_its_own_record_names_them(cli: Cli, engine: Engine) -> None:
    for name in ("dovecot", "host"):
        tag = wanted()[name].tag
        said = cli("images", "packages", name).stdout
        assert sorted(said.splitlines()) == sorted(ran(engine, tag, QUERY).splitlines())
        assert cli.json("images", "packages", name) == packages.installed(engine, tag)
    assert not [c for c in engine.api.containers(all=True) if "labenv-packages-" in c["Names"][0]]


def test_one_value_tells_whether_two_images_have_the_same_packages(cli: Cli) -> None:
    listed = {image["name"]: image for image in cli.json("images", "list")["images"] if image["current"]}
    host, dovecot = listed["host"], listed["dovecot"]
    assert host["packages"] == packages.digest(host["versions"]) != dovecot["packages"]
    assert packages.digest({**host["versions"], "bind9": "0"}) != host["packages"]
    assert packages.digest(dict(reversed(host["versions"].items()))) == host["packages"]
    lines = cli("images", "list").stdout.splitlines()
    assert [line for line in lines if host["tag"] in line and host["packages"] in line]


def test_an_image_without_a_record_of_packages_says_so(cli: Cli, engine: Engine) -> None:
    tag = f"labenv-test:t-{token_hex(4)}"
    engine.api.import_image_from_data(made_archives.tarred([("etc/none", b"")]), *tag.split(":"))
    try:
        with pytest.raises(EngineError, match=r"has no list of its packages .* Build it again"):
            packages.installed(engine, tag)
    finally:
        engine.api.remove_image(tag)
    assert "There is no image 'nothing'" in cli("images", "packages", "nothing", rc=2).stderr


def test_debian_is_pulled_by_its_digest_and_found_by_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, answers = registry(engine, made_archives.tarred([("etc/debian_version", b"12\n")]))
    with serving(answers) as (address, asked):
        monkeypatch.setattr(debian, "STOCK", f"{address}/debian@{digest}")
        monkeypatch.setattr(debian, "OWN", "labenv/debian:t-none")
        try:
            assert debian.root(engine, silent) == debian.STOCK
            assert f"/v2/debian/manifests/{digest}" in asked
            asked.clear()
            assert debian.root(engine, silent) == debian.STOCK
            assert asked == [], "it is there"
        finally:
            engine.api.remove_image(debian.STOCK, force=True)


def test_a_registry_that_answers_with_another_debian_is_not_believed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, _ = registry(engine, made_archives.tarred([("etc/debian_version", b"12\n")]))
    other, answers = registry(engine, made_archives.tarred([("etc/debian_version", b"evil\n")]))
    answers[f"/v2/debian/manifests/{digest}"] = answers[f"/v2/debian/manifests/{other}"]
    notes: list[Event] = []
    with serving(answers) as (address, asked):
        monkeypatch.setattr(debian, "STOCK", f"{address}/debian@{digest}")
        monkeypatch.setattr(debian, "OWN", "labenv/debian:t-none")
        monkeypatch.setattr(debian, "_made", lambda *_: "made")  # which would take half a minute
        assert debian.root(engine, notes.append) == "made"
    assert f"/v2/debian/manifests/{digest}" in asked
    assert any("cannot be pulled" in event.message for event in notes)
    with pytest.raises(docker.errors.ImageNotFound):
        engine.api.inspect_image(debian.STOCK)


def test_with_a_snapshot_packages_come_from_that_day(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    folders: Path,  # noqa: F811
) -> None:
    # The server below has no packages, so the image ends where its first ones would be installed.
    dockerfile = folders / "machine" / "Dockerfile"
    begun, mark, _ = dockerfile.read_text(encoding="utf-8").partition("    # dpkg-query also knows")
    assert mark
    dockerfile.write_text(f"{begun}    :\n", encoding="utf-8")
    wanted.cache_clear()
    machine, ready = wanted()["machine"].tag, debian.root(engine, silent)
    with serving({}) as (address, asked):
        monkeypatch.setenv(debian.SNAPSHOT, f"http://{address}/archive/{TIME}")
        engine.api.tag(ready, *debian.own().split(":"), force=True)
        try:
            Images(engine).ensure(["machine"], silent)
            assert ran(engine, machine, ["cat", "/etc/apt/sources.list"]) == debian.sources()
            ran(engine, machine, ["sh", "-c", "apt-get update || :"])
        finally:
            for image in (machine, debian.own()):
                engine.api.remove_image(image, force=True)
    assert f"/archive/debian/{TIME}/dists/bookworm/InRelease" in asked
    assert f"/archive/debian-security/{TIME}/dists/bookworm-security/InRelease" in asked
    assert all(path.split("/")[3] == TIME for path in asked)


@pytest.mark.parametrize(
    "wrong", ["2026", "20260801T000000Z ", "http://a b/20260801T000000Z", "file:///x/20260801T000000Z"]
)
def test_a_snapshot_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv(debian.SNAPSHOT, wrong)
    with pytest.raises(UsageError, match="20260801T000000Z"):
        debian.sources()
