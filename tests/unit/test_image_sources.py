"""A lab's own images, and which images a lab needs."""

import os
import shutil
from pathlib import Path

import pytest
import yaml

from labenv import resources
from labenv.engine import image_sources
from labenv.engine.image_sources import current, needed, of, title, usual, wanted
from labenv.errors import UsageError
from labenv.lab import model, trust


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    made = tmp_path / "router"
    made.mkdir()
    shutil.copy(resources.labs() / "lab4b" / "topology.yaml", made)
    stages = [{"id": "start", "title": "Start"}, {"id": "done", "title": "Done"}]
    images = {"vm3": [{"since": "done", "image": "site"}]}
    (made / "lab.yaml").write_text(
        yaml.safe_dump({"id": "router", "title": "x", "topology": "topology.yaml", "stages": stages, "images": images})
    )
    return made


def image(folder: Path, name: str, base: str) -> None:
    made = folder / "images" / name
    made.mkdir(parents=True)
    (made / "Dockerfile").write_text(f"ARG BASE={base}\nFROM ${{BASE}}\n")


def test_a_labs_own_images_come_first(folder: Path) -> None:
    assert of(model.read(folder)) == wanted()
    image(folder, "site", "labenv/mail")
    image(folder, "mail", "labenv/mail")
    image(folder, "bare", "debian:bookworm-slim")
    image_sources._of.cache_clear()
    own = of(model.read(folder))
    assert own["base"] is wanted()["base"]
    assert own["mail"].below is wanted()["mail"]  # its own name stands for labenv's
    assert own["site"].below is own["mail"]
    assert own["bare"].below is None
    assert [title(own[name].tag) for name in ("site", "mail", "base")] == ["router-site", "router-mail", "base"]
    assert wanted()["mail"].tag != own["mail"].tag


def test_a_lab_needs_the_images_of_its_machines_at_all_stages(folder: Path) -> None:
    image(folder, "site", "labenv/mail")
    assert {"base", "mail", "host", "outside", "tools", "site"} <= {*needed(model.read(folder))}
    assert "desktop" not in usual()
    assert set(usual()) <= set(wanted())


@pytest.mark.parametrize(
    ("name", "base", "sentence"),
    [
        ("site", "labenv/nothing", "site stand on images that do not exist"),
        ("site", "labenv/site", "site stand on images that do not exist"),
        ("Web", "labenv/base", "an image cannot be called 'Web' here"),
    ],
)
def test_a_folder_that_cannot_be_an_image_is_refused(folder: Path, name: str, base: str, sentence: str) -> None:
    image(folder, name, base)
    with pytest.raises(UsageError, match=sentence):
        of(model.read(folder))


def test_an_image_that_a_lab_names_must_be_there(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no image 'site'\. The images are: "):
        needed(model.read(folder))


def test_the_images_of_a_lab_in_use_are_not_old(folder: Path) -> None:
    image(folder, "site", "labenv/base")
    tag = of(model.read(folder))["site"].tag
    assert tag not in current()
    trust.trust(folder)
    assert current()[tag].lab == "router"


def test_what_cannot_go_into_an_image_is_not_waited_for(folder: Path) -> None:
    image(folder, "site", "labenv/mail")
    os.mkfifo(folder / "images" / "site" / "pipe")
    image_sources._of.cache_clear()
    with pytest.raises(UsageError, match=r"site/pipe is not a regular file. Remove it from the image's folder."):
        of(model.read(folder))
    (folder / "images" / "site" / "pipe").unlink()
    with (folder / "images" / "site" / "large").open("wb") as large:
        large.truncate(2_000_000_000)
    with pytest.raises(UsageError, match=r"site has more than 1000 MB. Remove what the image does not need."):
        of(model.read(folder))
    (folder / "images" / "site" / "Dockerfile").unlink()
    os.mkfifo(folder / "images" / "site" / "Dockerfile")
    with pytest.raises(UsageError, match=r"Dockerfile cannot be read .it is not a regular file"):
        of(model.read(folder))
