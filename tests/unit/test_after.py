"""A lab that begins where another ends has that one's files and images, and its own win."""

import re
from pathlib import Path

import pytest
import yaml

from labenv.engine.labels import PAST, environment_labels, past_in
from labenv.environment import Environment, PastLab
from labenv.environments import foreign
from labenv.errors import UsageError
from labenv.lab import labs, topology, trust
from labenv.lab.lint import lint
from labenv.lab.overlay import overlay
from labenv.student import Student

ANNA = Student("anna", 7, "anna", "abcdefgh")


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    labs._load.cache_clear()


def make(name: str, after: str, *, lines: dict[str, str] | None = None, images: object = None) -> Path:
    """A lab with lab4b's machines, whose file of vm2 at /etc/motd comes with its second stage."""
    folder = labs.own_folder() / name
    (folder / "templates").mkdir(parents=True)
    files = [{"path": path, "template": f"{number}.j2"} for number, path in enumerate(lines or {})]
    for number, text in enumerate((lines or {}).values()):
        (folder / "templates" / f"{number}.j2").write_text(text, encoding="utf-8")
    shipped = labs.named("lab4b")
    assert shipped
    (folder / "topology.yaml").write_bytes((shipped / "topology.yaml").read_bytes())
    tree: dict[str, object] = {
        "id": name,
        "title": name,
        "topology": "topology.yaml",
        "after": after,
        "files": {"vm2": files},
    }
    tree |= {"stages": [{"id": "begun", "title": "Begun"}, {"id": "done", "title": "Done"}]}
    tree |= {"images": images} if images else {}
    (folder / "lab.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    (folder / "steps.yaml").write_text("headings: {}\nsteps: []\n", encoding="utf-8")
    return folder


def laid(name: str, machine: str, stage: str) -> dict[str, bytes]:
    lab = labs.read(labs.named(name) or Path())
    whole = topology.load_for(lab, None, ANNA)
    node = next(node for node in whole.nodes if node.name == machine)
    return {item.path: item.content for item in overlay(lab, whole, node, ANNA, stage)}


def test_the_files_of_the_end_of_the_lab_before_are_there_at_every_stage() -> None:
    make("webmail", "lab4b")
    wanted = laid("lab4b", "vm3", "done")
    assert laid("webmail", "vm3", "begun") == laid("webmail", "vm3", "done") == wanted
    assert wanted != laid("lab4b", "vm3", "lab4a")


def test_its_own_file_wins_and_knows_its_own_stages() -> None:
    make("webmail", "lab4b", lines={"/etc/postfix/main.cf": "{{ reached('done') }}"})
    assert laid("webmail", "vm2", "begun")["/etc/postfix/main.cf"] == b"False"
    assert laid("webmail", "vm2", "done")["/etc/postfix/main.cf"] == b"True"
    assert b"mydomain" in laid("lab4b", "vm2", "done")["/etc/postfix/main.cf"]


def test_a_complete_lab_has_its_own_files_alone() -> None:
    folder = make("webmail", "lab4b", lines={"/etc/motd": "webmail"})
    (folder / "lab.yaml").write_text(
        (folder / "lab.yaml").read_text(encoding="utf-8") + "complete: true\n", encoding="utf-8"
    )
    assert laid("webmail", "vm2", "begun").keys() == {"/etc/motd", "/etc/labenv/machine"}
    lab = labs.read(folder)
    assert lab.image_of("vm3", "mail", "begun") == "mail"
    assert [each.id for each in lab.course][-2:] == ["lab4b", "webmail"]


def test_a_course_may_have_many_labs() -> None:
    make("webmail", "lab4b", lines={"/etc/motd": "webmail"})
    make("tls", "webmail", lines={"/etc/issue": "tls"})
    assert [lab.id for lab in labs.read(labs.named("tls") or Path()).course] == [
        "lab3",
        "lab4a",
        "lab4b",
        "webmail",
        "tls",
    ]
    there = laid("tls", "vm2", "begun")
    assert (there["/etc/motd"], there["/etc/issue"]) == (b"webmail", b"tls")
    assert "webmail" in labs.next_after(labs.load("lab4b"))
    assert labs.next_after(labs.read(labs.named("webmail") or Path())) == ["tls"]


def test_the_images_of_the_end_of_the_lab_before_are_there_until_its_own() -> None:
    folder = make("webmail", "lab4b", images={"vm3": [{"since": "done", "image": "mail"}]})
    lab = labs.read(folder)
    assert lab.image_of("vm3", "base", "begun") == "dovecot"
    assert lab.image_of("vm3", "base", "done") == "mail"
    assert lab.image_of("vm2", "base", "done") == "base"


def test_what_its_machines_are_made_from_changes_with_the_lab_before() -> None:
    make("first", "lab4b", lines={"/etc/motd": "first"})
    folder = make("second", "first")
    was = labs.read(folder).digest
    (labs.own_folder() / "first" / "templates" / "0.j2").write_text("changed", encoding="utf-8")
    assert labs.read(folder).digest != was


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ("nothing", "there is no lab 'nothing'. The labs are: lab3, "),
        ("webmail", "'webmail', which is after 'webmail'. The first lab of a course has no `after`."),
    ],
)
def test_a_lab_before_that_cannot_be_is_said_with_its_place(after: str, sentence: str) -> None:
    folder = make("webmail", after)
    with pytest.raises(UsageError, match=r"lab\.yaml: after: ") as error:
        labs.read(folder)
    assert sentence in str(error.value)
    [finding] = lint(folder)
    assert (finding.file, sentence in finding.sentence) == ("lab.yaml", True)
    assert finding.line > 0


def test_labs_that_are_after_each_other_are_refused() -> None:
    make("one", "two")
    folder = make("two", "one")
    with pytest.raises(UsageError, match="'two', which is after 'one', which is after 'two'"):
        labs.read(folder)


def test_the_lab_before_is_asked_about_too() -> None:
    make("first", "lab4b")
    second = make("second", "first")
    trust.trust(second)
    with pytest.raises(trust.Untrusted, match="The lab 'first'"):
        labs.load("second")
    trust.trust(second.parent / "first")
    assert labs.load("second").before


def test_an_environment_tells_by_its_labels_what_was_done_in_it_before() -> None:
    past = (
        PastLab("lab3", ("1", "11b"), (), "2026-11-30T10:00:00+00:00"),
        PastLab("lab4a", (), ("3",), "2026-12-07T10:00:00+00:00"),
    )
    labels = environment_labels(Environment(ANNA, "lab4b", "lab4a", (), "topology", past=past))
    assert past_in(labels) == past
    assert past_in(environment_labels(Environment(ANNA, "lab4b", "lab4a", (), "topology"))) == ()
    assert re.fullmatch(foreign._WORDS[PAST], labels[PAST], re.ASCII), "an archive of it can be imported"
