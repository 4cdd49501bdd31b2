"""A lab's texts in another language: who gets which, what a missing or old one leads to, and what lint says of it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from labenv import resources
from labenv.checks.results import CheckResult, Report, waiting
from labenv.cli.app import app
from labenv.errors import UsageError
from labenv.lab import drill_translations, drills, labs, lint, model, translation
from labenv.lab.model import Lab

Tree = dict[str, Any]
SHIPPED = resources.labs() / "lab4b"


@pytest.mark.parametrize(
    ("environ", "languages"),
    [
        ({}, ()),
        ({"LANG": "C.UTF-8"}, ()),
        ({"LANG": "en_CA.UTF-8"}, ()),
        ({"LANG": "fr_CA.UTF-8"}, ("fr_CA", "fr")),
        ({"LANG": "fr"}, ("fr",)),
        ({"LANG": "fr_FR", "LC_MESSAGES": "de_DE"}, ("de_DE", "de")),
        ({"LANG": "fr_FR", "LC_MESSAGES": "de_DE", "LC_ALL": "es"}, ("es",)),
        ({"LANG": "fr_FR", "LC_ALL": ""}, ("fr_FR", "fr")),
        ({"LANGUAGE": "fr"}, ("fr",)),
        ({"LANGUAGE": "fr", "LANG": "C.UTF-8"}, ("fr",)),
        ({"LANGUAGE": "fr_CA:fr:en", "LANG": "en_US.UTF-8"}, ("fr_CA", "fr")),
        ({"LANGUAGE": "en:fr", "LANG": "fr_CA"}, ()),
        ({"LANGUAGE": "en", "LANG": "fr_CA.UTF-8"}, ()),
        ({"LANGUAGE": "de:C:fr", "LANG": "fr_CA"}, ("de",)),
        ({"LANGUAGE": "fr", "LANG": "fr_CA", "LC_ALL": "C"}, ()),
        ({"LANGUAGE": "fr", "LANG": "POSIX"}, ()),
        ({"LANG": "sr_RS.UTF-8@latin"}, ("sr_RS@latin", "sr_RS", "sr@latin", "sr")),
        ({"LANGUAGE": "../../etc:f:FR:fr/x::fr_ca:fr_CA"}, ("fr_CA", "fr")),
    ],
)
def test_the_language_is_chosen_as_gettext_does(environ: dict[str, str], languages: tuple[str, ...]) -> None:
    assert translation.wanted(environ) == languages


def test_a_lab_is_read_once_where_nothing_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "en_CA:en")
    assert labs.spoken("lab4b") is labs.load("lab4b")
    monkeypatch.setenv("LANGUAGE", "fr_CA:en")
    assert labs.spoken("lab4b").languages == ("fr_CA", "fr")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped lab, whose translations can be changed."""
    made = tmp_path / "mylab"
    shutil.copytree(resources.labs() / "lab4b", made, ignore=shutil.ignore_patterns("__pycache__"))
    return made


def change(file: Path, how: Callable[[Tree], object]) -> None:
    tree = model.parsed(file)
    how(tree)
    file.write_text(yaml.dump(tree, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False))


def entry(tree: Tree, name: str = "17") -> Tree:
    found: Tree = next(entry for entry in tree["steps"] if entry["id"] == name)
    return found


def without_texts(lab: Lab) -> list[object]:
    kept: list[object] = [
        (s.id, s.number, s.machines, s.stage, s.by, s.needs, s.settings, s.solution) for s in lab.steps.values()
    ]
    return [*kept, *(s.heading for s in lab.steps.values())]


def test_a_translation_changes_the_texts_and_nothing_else() -> None:
    there, french = labs.load("lab4b"), model.read(SHIPPED, ("fr_CA", "fr"))
    assert without_texts(french) == without_texts(there)
    for name, step in there.steps.items():
        told = french.steps[name]
        assert told.title != step.title
        assert (told.how != step.how) == bool(step.how)
        assert [told.note != step.note, *(a != b for a, b in zip(told.hints, step.hints, strict=True))] == [
            bool(step.note),
            *(True for _ in step.hints),
        ]


def test_without_a_language_no_translation_is_looked_for(folder: Path) -> None:
    (folder / "steps.fr.yaml").write_text("no: [yaml")
    assert model.read(folder).steps == labs.load("lab4b").steps
    assert model.read(folder, ("de",)).steps == labs.load("lab4b").steps


def test_what_is_missing_or_older_than_the_original_is_shown_as_it_is(folder: Path) -> None:
    there, french = labs.load("lab4b").steps, model.read(SHIPPED, ("fr",)).steps
    change(folder / "steps.fr.yaml", lambda t: (entry(t).pop("hints"), t["steps"].remove(entry(t, "18"))))
    change(folder / "steps.yaml", lambda t: entry(t, "19").update(title="Only the lab's network is trusted"))
    told = model.read(folder, ("fr",)).steps
    assert (told["17"].title, told["17"].hints) == (french["17"].title, there["17"].hints)
    assert told["18"] == there["18"]
    assert (told["19"].title, told["19"].hints) == ("Only the lab's network is trusted", there["19"].hints)
    assert told["20"] == french["20"]


def test_the_best_language_comes_first_and_the_others_fill_it_up(folder: Path) -> None:
    of = entry(model.parsed(folder / "steps.fr.yaml"))["of"]
    tree = {"headings": {"relay": "Relais"}, "steps": [{"id": "17", "of": of, "title": "Titre du Canada"}]}
    (folder / "steps.fr_CA.yaml").write_text(yaml.dump(tree))
    french = model.read(SHIPPED, ("fr",)).steps
    told = model.read(folder, ("fr_CA", "fr")).steps
    assert (told["17"].title, told["17"].hints, told["18"].title) == (
        "Titre du Canada",
        french["17"].hints,
        french["18"].title,
    )
    assert told["17"].heading == "Relais"
    assert model.read(folder, ("fr",)).steps == french


@pytest.mark.parametrize("text", ["steps: 3\n", "- 1\n", "steps:\n- 17\n", "steps:\n- id: '17'\n", "a: [1\n"])
def test_a_translation_that_is_none_is_an_error_with_the_way_out(folder: Path, text: str) -> None:
    (folder / "steps.fr.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"steps\.fr\.yaml is not (a valid file of a lab|valid YAML)"):
        model.read(folder, ("fr",)).steps  # noqa: B018  # reading is the point
    assert all(str(finding).startswith("steps.fr.yaml") for finding in lint.lint(folder))
    assert lint.lint(folder)


WRONG: list[tuple[Callable[[Tree], object], str]] = [
    (lambda t: entry(t).update(id="99"), "step 99: steps.yaml has no such step. Remove it here."),
    (
        lambda t: entry(t).update(titel="x"),
        "step 17: the key 'titel' is unknown here. Remove it, or use one of: hints,",
    ),
    (lambda t: entry(t)["hints"].pop(), "step 17: hints: expected at least 3 entries, found 2."),
    (lambda t: entry(t).update(title=" "), "step 17: title: the text is empty."),
    (lambda t: entry(t).update(note="Une note."), "step 17: this step has no 'note' in steps.yaml. Remove it here."),
    (lambda t: entry(t).pop("of"), "step 17: the key 'of' is missing. Eight letters and digits in quotes,"),
    (lambda t: entry(t).update(of=12345678), "step 17: of: expected text in quotes, found a number."),
    (lambda t: t["steps"].append(entry(t)), "step 17: 2 steps have this id. Give each its own."),
    (lambda t: t.update(headings={"relais": "Relais"}), "the heading 'relais' is unknown. The headings are: client,"),
    (
        lambda t: entry(t, "18").update(hints=["a", "b", "Tapez systemctl restart postfix."]),
        "step 18: hint 3 gives the answer away: systemctl restart postfix. Describe it in words.",
    ),
]


@pytest.mark.parametrize(("how", "sentence"), WRONG, ids=[sentence[:40] for _, sentence in WRONG])
def test_lint_finds_what_a_translation_must_not_have(
    folder: Path, how: Callable[[Tree], object], sentence: str
) -> None:
    change(folder / "steps.fr.yaml", how)
    [said] = map(str, lint.lint(folder))
    assert re.match(rf"steps\.fr\.yaml:\d+:\d+: {re.escape(sentence)}", said)


def test_lint_finds_a_file_whose_name_is_of_no_language(folder: Path) -> None:
    (folder / "steps.fr.yaml").rename(folder / "steps.french.yaml")
    [said] = map(str, lint.lint(folder))
    assert said == (
        "steps.french.yaml:5:1: 'french' is not a language to translate into. Name it as in LANG: steps.fr.yaml or steps.fr_CA.yaml."
    )


def test_lint_notes_what_is_missing_or_older_than_the_original_and_ends_with_0(folder: Path) -> None:
    change(folder / "steps.fr.yaml", lambda t: (entry(t).pop("hints"), t["steps"].remove(entry(t, "18"))))
    change(folder / "steps.yaml", lambda t: entry(t, "19").update(title="Only the lab's network is trusted"))
    tree = model.parsed(folder / "steps.yaml")
    old, new = (translation.digest(entry(tree, name), translation.STEP) for name in ("18", "19"))
    done = CliRunner().invoke(app, ["lab", "lint", str(folder)])
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "mylab: note: steps.fr.yaml: step 17: 'hints' is not translated yet.",
            f'mylab: note: steps.fr.yaml: step 18: not translated yet. Its entry begins with of: "{old}"',
            "mylab: note: steps.fr.yaml: step 19: the original has changed, and is shown. When the translation fits it again, "
            f'write of: "{new}"',
            "mylab: no errors",
        ],
    )
    [document] = json.loads(CliRunner().invoke(app, ["lab", "lint", str(folder), "--json"]).stdout)["labs"]
    assert (document["findings"], [note["step"] for note in document["notes"]]) == ([], ["17", "18", "19"])
    change(folder / "steps.fr.yaml", lambda t: entry(t, "19").update(of=new))
    assert len(lint.notes(folder)) == 2


def test_a_step_that_another_waits_for_is_named_in_the_language_as_well() -> None:
    there, french = labs.load("lab4b"), model.read(SHIPPED, ("fr",))
    said = (waiting(there, "17"), "relayhost is wrong", "waits for step 99: a later lab's", "waits for step 17")
    report = Report("a", "lab4b", tuple(CheckResult("18", "x", "vm2", "t", "skip", one, "") for one in said))
    assert report.spoken(there) is report
    assert [r.evidence for r in report.spoken(french).results] == [
        "waits for step 17: vm2 a vm3 comme relais",
        *said[1:3],
        "waits for step 17: vm2 a vm3 comme relais",
    ]


def test_a_countrys_file_need_not_repeat_what_the_languages_has(folder: Path) -> None:
    of = entry(model.parsed(folder / "steps.fr.yaml"))["of"]
    texts = folder / "steps.fr_CA.yaml"
    texts.write_text(yaml.dump({"steps": [{"id": "17", "of": of, "title": "Titre du Canada"}]}))
    assert lint.notes(folder) == []
    change(texts, lambda t: entry(t).update(of="00000000"))
    assert [(note.file, note.step) for note in lint.notes(folder)] == [("steps.fr_CA.yaml", "17")]
    (folder / "steps.fr.yaml").unlink()
    assert len({note.step for note in lint.notes(folder) if note.file == texts.name}) == len(labs.load("lab4b").steps)


@pytest.fixture
def drill(tmp_path: Path) -> Path:
    """A drill of one's own with a translation."""
    there = labs.load("lab4b").folder / "drills"
    for ending in (".yaml", ".fr.yaml"):
        shutil.copy(there / f"reading-times-out{ending}", tmp_path / f"mine{ending}")
    return tmp_path / "mine.yaml"


def test_a_drill_is_told_in_another_language(drill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABENV_DRILLS", str(drill.parent))
    french = model.read(SHIPPED, ("fr",))
    there = drills.read(drill, french)
    told = drill_translations.spoken(there, french)
    assert told.symptom.startswith("Mon logiciel de courriel attend")
    assert {key for key, value in vars(told).items() if value != getattr(there, key)} == {
        "title",
        "symptom",
        "hints",
        "explanation",
    }
    assert drill_translations.spoken(there, labs.load("lab4b")) == there
    other = drills.from_dict("mine", drills.to_dict(there) | {"symptom": "Another drill of this name."})
    assert drill_translations.spoken(other, french) == other
    (drill.parent / "mine.fr.yaml").write_text("- 1\n")
    with pytest.raises(
        UsageError, match=r"mine\.fr\.yaml is not a translation\. To see what is wrong: labenv drill lint"
    ):
        drill_translations.spoken(there, french)


def test_a_translation_is_no_drill_unless_it_has_none(drill: Path) -> None:
    assert drills.originals(drill.parent) == [drill]
    drill.unlink()
    done = CliRunner().invoke(app, ["drill", "lint", str(drill.parent)])
    assert done.exit_code == 2
    assert "mine.fr.yaml:2: the key 'level' is missing." in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "rc", "said"),
    [
        (
            "hints:",
            "hint:",
            2,
            "mine.fr.yaml:5: the key 'hint' is unknown here. Remove it, or use one of: explanation,",
        ),
        (
            'symptom: "',
            'symptom: "{{ password }}',
            2,
            "mine.fr.yaml:4: this template cannot be rendered: 'password' is undef",
        ),
        ("title:", "a: [\ntitle:", 2, "mine.fr.yaml is not valid YAML"),
        ('of: "', 'of: "0', 2, "mine.fr.yaml:2: of: '0"),
        ("explanation:", "#", 0, "mine.fr.yaml:1: note: 'explanation' is not translated yet."),
        ("", "", 0, "1 drill: no errors"),
    ],
)
def test_drill_lint_reads_the_translations_as_well(drill: Path, old: str, new: str, rc: int, said: str) -> None:
    texts = drill.with_name("mine.fr.yaml")
    assert old in texts.read_text()
    texts.write_text(texts.read_text().replace(old, new, 1))
    done = CliRunner().invoke(app, ["drill", "lint", str(drill.parent)])
    assert (done.exit_code, said in done.stdout) == (rc, True), done.stdout


def test_lint_notes_a_drill_that_is_not_translated_or_has_changed(folder: Path) -> None:
    (folder / "drills/reading-times-out.fr.yaml").unlink()
    changed = folder / "drills/home-is-closed.yaml"
    changed.write_text(changed.read_text().replace("permission denied", "access denied"))
    assert [str(note).partition(". ")[0] for note in lint.notes(folder)] == [
        "drills/home-is-closed.fr.yaml: the original has changed, and is shown",
        "drills/reading-times-out.fr.yaml: not translated yet",
    ]


@pytest.mark.parametrize("name", labs.names())
def test_each_text_of_a_shipped_lab_is_there_in_french(name: str) -> None:
    """After a change of an English text: change the French one too, and its `of` as `labenv lab lint` says."""
    there = resources.labs() / name
    assert (there / "steps.fr.yaml").is_file()
    assert [str(note) for note in lint.notes(there)] == []
