"""Where labs are found, and that nothing of one from elsewhere runs before its user has said so."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest
import yaml

from labenv import resources
from labenv.checks import collect
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.lab import labs, model, modules, trust
from labenv.student import Student

LABENV = Path(sys.executable).with_name("labenv")


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.delenv(labs.FOLDERS, raising=False)


def make(folder: Path, name: str, **keys: object) -> Path:
    """A lab that is large enough to be found and read."""
    (folder / "checks").mkdir(parents=True)
    tree = {"id": name, "title": name.title(), "topology": "lab4b", "stages": [{"id": "done", "title": "Done"}], **keys}
    (folder / "lab.yaml").write_text(yaml.safe_dump(tree))
    (folder / "steps.yaml").write_text("headings: {}\nsteps: []\n")
    return folder


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return make(tmp_path / "some folder", "router")


def installed(folder: Path, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with a lab, as an installation leaves it."""
    about = folder / f"{name}_pack-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-pack\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[labenv.labs]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_labs_are_found_in_each_of_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = make(labs.own_folder() / "mine", "mine")
    one, below = make(tmp_path / "one", "one"), make(tmp_path / "labs" / "two-in-folder", "two")
    monkeypatch.setenv(labs.FOLDERS, os.pathsep.join([str(one), str(below.parent), "", str(tmp_path / "nothing")]))
    packed = make(tmp_path / "site" / "pack" / "web", "web")
    (packed.parent / "__init__.py").write_text("raise SystemExit('nothing of a lab is run to find it')")
    installed(tmp_path / "site", "web", "pack.web", monkeypatch)
    assert {name: labs.named(name) for name in ("mine", "one", "two", "web", "two-in-folder", "../one", "")} == {
        "mine": mine,
        "one": one,
        "two": below,
        "web": packed,
        "two-in-folder": None,
        "../one": None,
        "": None,
    }
    assert labs.named("lab4b") == resources.labs() / "lab4b"
    assert labs.default() == "lab4b"
    assert labs.names() == [
        *(path.parent.name for path in sorted(resources.labs().glob("*/lab.yaml"))),
        "mine",
        "one",
        "two",
        "web",
    ]
    assert [place.where for place in labs.everywhere()][-1] == "the installed package web-pack"


def test_a_lab_can_be_named_by_its_folder(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.parent)
    assert labs.find("./some folder") == labs.find("some folder") == labs.find(str(lab)) == lab
    monkeypatch.chdir(lab)
    assert labs.find(".") == lab


def test_a_name_that_labenv_has_is_never_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "lab4b", "lab4b")
    monkeypatch.chdir(tmp_path)
    assert labs.find("lab4b") == resources.labs() / "lab4b"
    assert labs.find("./lab4b") == tmp_path / "lab4b"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("lab9", "There is no lab 'lab9'. The labs are: lab3, lab4a, lab4b, "),
        ("./lab9", "./lab9 is not a lab: it has no file lab.yaml. To begin one: labenv lab new NAME"),
        ("..", ".. is not a lab: it has no file lab.yaml."),
    ],
)
def test_what_is_no_lab_is_refused(given: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        labs.find(given)
    assert sentence in str(caught.value)


def test_two_labs_of_one_name_are_refused_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = make(labs.own_folder() / "a", "router"), make(tmp_path / "b", "router")
    hidden = make(labs.own_folder() / "lab4b", "lab4b")
    monkeypatch.setenv(labs.FOLDERS, str(two))
    with pytest.raises(UsageError) as caught:
        labs.find("router")
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)
    assert labs.doubled() == {
        "router": str(caught.value),
        "lab4b": f"labenv's own lab 'lab4b' is used, not {hidden}. Give that one another id.",
    }
    assert labs.find("lab4b") == resources.labs() / "lab4b"


def test_one_folder_that_is_named_twice_is_one_lab(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(labs.FOLDERS, f"{lab}{os.pathsep}{lab.parent}")
    assert labs.find("router") == lab
    assert labs.doubled() == {}


@pytest.mark.parametrize("name", ["../x", "Router", "a" * 41, "", 7])
def test_an_odd_name_is_not_read(tmp_path: Path, name: object) -> None:
    with pytest.raises(UsageError, match=r"lab\.yaml is not a valid file of a lab"):
        model.read(make(tmp_path / "odd", "odd", id=name))


def test_a_lab_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        model.read(make(tmp_path / "new", "new", format=2))
    assert "lab.yaml: format: this is a lab of format 2, and labenv " in str(caught.value)
    assert "reads format 1. Install the version" in str(caught.value)


def environment(lab: str, folder: str) -> Environment:
    return Environment(Student("asmith15", 5, "anna", "x"), lab, "done", (), "lab4b", lab_folder=folder)


def test_an_environment_finds_its_lab_where_it_was_or_by_its_name(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust.trust(lab)
    assert labs.of(environment("router", str(lab))).folder == lab
    moved = lab.rename(lab.with_name("elsewhere"))
    with pytest.raises(labs.Missing) as caught:
        labs.of(environment("router", str(lab)))
    assert f"of the lab 'router', whose folder {lab} is gone. Put the lab there again, into" in str(caught.value)
    assert "these work: status, shell, exec, logs, save, down." in str(caught.value)
    monkeypatch.setenv(labs.FOLDERS, str(moved))
    assert labs.of(environment("router", str(lab))).folder == moved


def test_another_lab_in_the_folder_is_not_the_environments(lab: Path) -> None:
    with pytest.raises(labs.Missing):
        labs.of(environment("switch", str(lab)))


def test_a_lab_from_elsewhere_is_not_loaded_until_it_is_trusted(lab: Path) -> None:
    assert model.read(lab).id == "router"  # which runs nothing
    with pytest.raises(trust.Untrusted) as caught:
        labs.load(str(lab))
    assert f"The lab 'router' (Router) in {lab} is not a part of labenv. A lab is a program:" in str(caught.value)
    assert f"If you trust who wrote it: labenv lab trust '{lab}'" in str(caught.value)
    trust.trust(lab)
    assert labs.load(str(lab)).id == "router"


def changed(lab: Path) -> None:
    (lab / "checks" / "test_new.py").write_text("import os\n")


def test_a_lab_that_has_changed_is_asked_about_again(lab: Path) -> None:
    trust.trust(lab)
    trust.require(model.read(lab))
    changed(lab)
    with pytest.raises(trust.Untrusted, match="and has changed since you trusted it"):
        trust.require(model.read(lab))
    trust.trust(lab)
    trust.require(model.read(lab))
    (lab / "checks" / "test_new.py").unlink()
    trust.require(model.read(lab))  # that state was trusted before


def test_its_author_is_asked_once(lab: Path) -> None:
    trust.trust(lab, always=True)
    changed(lab)
    trust.require(model.read(lab))
    trust.forget(lab)
    with pytest.raises(trust.Untrusted):
        trust.require(model.read(lab))


def test_the_same_files_are_trusted_elsewhere_and_with_other_times(lab: Path, tmp_path: Path) -> None:
    trust.trust(lab)
    os.utime(lab / "lab.yaml", (1, 1))
    trust.require(model.read(lab))
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", lab, copy], check=True)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "x.pyc").write_bytes(b"?")
    trust.require(model.read(copy))


def test_what_a_link_leads_to_counts(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("1\n")
    (lab / "checks" / "code.py").symlink_to(tmp_path / "code.py")
    trust.trust(lab)
    trust.require(model.read(lab))
    (tmp_path / "code.py").write_text("2\n")
    with pytest.raises(trust.Untrusted):
        trust.require(model.read(lab))
    (lab / "more").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="more is a link to a folder outside the lab"):
        trust.digest(lab)


@pytest.mark.parametrize("link", ["images", "images/mine", "images/mine/Dockerfile"])
def test_an_image_behind_a_link_counts_too(lab: Path, tmp_path: Path, link: str) -> None:
    """It is built from what the link leads to, which could be changed after the lab was trusted."""
    there = tmp_path / "there" / link
    outside = there / {"images": "mine/Dockerfile", "images/mine": "Dockerfile"}.get(link, "")
    outside.parent.mkdir(parents=True)
    outside.write_text("ARG BASE=labenv/base\n")
    (lab / link).parent.mkdir(parents=True, exist_ok=True)
    (lab / link).symlink_to(there)
    if link != "images/mine/Dockerfile":
        with pytest.raises(UsageError, match="is a link to a folder outside the lab"):
            trust.digest(lab)
        return
    trust.trust(lab)
    outside.write_text("ARG BASE=labenv/base\nRUN true\n")
    with pytest.raises(trust.Untrusted):
        trust.require(model.read(lab))


def test_a_damaged_answer_is_none(lab: Path) -> None:
    trust.trust(lab)
    for file in (trust._place()).iterdir():
        file.write_text('{"folder": 1')
    with pytest.raises(trust.Untrusted):
        trust.require(model.read(lab))


def test_asking_again_takes_no_time(tmp_path: Path) -> None:
    folder = make(tmp_path / "large", "large")
    for number in range(200):
        (folder / f"file{number}").write_bytes(os.urandom(20_000))
    trust.trust(folder)
    found = model.read(folder)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        trust.require(found)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05


@pytest.mark.parametrize(("answer", "code"), [("y", 3), ("n", 2)])
def test_at_a_terminal_labenv_asks_once(lab: Path, answer: str, code: int) -> None:
    nowhere = os.environ | {"DOCKER_HOST": "tcp://127.0.0.1:9"}
    for again in range(2 if answer == "y" else 1):
        child = pexpect.spawn(
            str(LABENV), ["up", "asmith15", "--lab", str(lab)], env=nowhere, encoding="utf-8", timeout=30
        )
        if not again:
            child.expect("Do you trust who wrote it, and run it")
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code  # with yes, it goes on until it needs the engine
        assert ("Do you trust" in (child.before or "")) is False


def test_without_a_terminal_it_is_refused(lab: Path) -> None:
    done = subprocess.run([LABENV, "up", "asmith15", "--lab", lab], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "labenv lab trust" in done.stderr
    told = subprocess.run([LABENV, "lab", "trust", lab], capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"Trusted: {lab}, as it is now (SHA-256 ")


def test_the_modules_of_two_labs_do_not_meet(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        folder = make(tmp_path / name, name)
        (folder / "checks" / "common.py").write_text(f"NAME = {name!r}\n")
        (folder / "checks" / "test_it.py").write_text("from . import common\nfrom .common import NAME\n")
        found.append(modules.load(folder, "checks.test_it"))
    assert [module.NAME for module in found] == ["one", "two"]
    with pytest.raises(ModuleNotFoundError):
        modules.load(tmp_path / "one", "claims")


def test_checks_that_cannot_be_loaded_say_where(lab: Path) -> None:
    found = model.read(lab)
    (lab / "checks" / "test_it.py").write_text("\n\nimport nothing_of_that_name\n")
    with pytest.raises(UsageError) as caught:
        collect.run(found)
    assert str(caught.value).startswith(f"{lab}/checks/test_it.py:3: the checks cannot be loaded: ModuleNotFoundError:")
    (lab / "checks" / "conftest.py").write_text("def broken(:\n")
    with pytest.raises(UsageError) as caught:
        collect.run(found)
    assert str(caught.value).startswith(f"{lab}/checks/conftest.py:1: the checks cannot be loaded: SyntaxError:")


def test_a_file_is_no_lab(lab: Path) -> None:
    with pytest.raises(UsageError, match=r"lab\.yaml is a file, and a lab is a folder"):
        labs.find(str(lab / "lab.yaml"))


def test_what_a_check_prints_is_not_in_the_output(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It would spoil the document of `check --json`."""
    (lab / "checks" / "test_it.py").write_text("print('noise')\n")
    collect.run(model.read(lab))
    assert capsys.readouterr() == ("", "noise\n")


def test_what_lies_compiled_in_a_lab_is_not_run(lab: Path) -> None:
    source = lab / "checks" / "conftest.py"
    source.write_text("raise ValueError('compiled')\n")
    before = source.stat()
    import py_compile

    py_compile.compile(str(source), doraise=True)
    source.write_text("raise ValueError('written!')\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UsageError, match="written!"):
        collect.run(model.read(lab))
