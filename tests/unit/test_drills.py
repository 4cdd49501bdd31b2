"""The parts of a drill that need no engine: which one is chosen, what counts as beyond its fault, the table of a class."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labenv.checks.results import CheckResult, Report, Status
from labenv.cli.app import app
from labenv.cli.drill import report
from labenv.engine import Engine, records
from labenv.engine.content import beyond
from labenv.environments import drill_records
from labenv.environments.drill_records import Diagnosis, Running
from labenv.errors import UsageError
from labenv.events import Event
from labenv.lab import drills, labs
from labenv.lab.drills import BadLink
from labenv.sheet.drill import _failures

LAB = labs.load("lab4b")
TABLE = drills.catalogue(LAB)
MAIN = "vm2:/etc/postfix/main.cf"
BEFORE = {MAIN: ["myorigin = $mydomain", "relayhost = vm3", "inet_interfaces = all"], "vm2:/etc/hosts": ["localhost"]}
FAULT = BEFORE | {MAIN: ["myorigin = $mydomain", "relayhost = vm33", "inet_interfaces = all"]}


def test_a_seed_gives_a_student_the_same_drill_again_and_a_class_several() -> None:
    first = drills.drawn(TABLE, "asmith15", "week 7")[0]
    assert drills.drawn(reversed(TABLE), "asmith15", "week 7")[0] == first
    assert len({drills.drawn(TABLE, f"student{n}", "week 7")[0].name for n in range(20)}) > 5
    rest = [drill for drill in TABLE if drill.name != "mail-that-vanishes"]
    assert first.name == "mail-that-vanishes" or drills.drawn(rest, "asmith15", "week 7")[0] == first


def test_a_backup_that_the_fault_made_out_of_date_does_not_keep_a_drill_going() -> None:
    def found(step: str, status: Status) -> CheckResult:
        return CheckResult(step, "look", "vm3", LAB.steps[step].title, status, "what was seen", "")

    report = Report("asmith15", "lab4b", (found("31", "fail"), found("35", "pass"), found("48", "fail")))
    assert [one.step for one in _failures(LAB, report)] == ["31"]


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        (BEFORE, 0),
        (BEFORE | {MAIN: ["myorigin = $mydomain", "relayhost = vm3.asmith15.ops", "inet_interfaces = all"]}, 0),
        (BEFORE | {MAIN: [*BEFORE[MAIN], "# mine", "# too"]}, 2),
        (BEFORE | {"vm2:/etc/hosts": []}, 1),
        (BEFORE | {"vm2:/etc/aliases": ["root: ann", "ann: root"]}, 2),
    ],
)
def test_only_lines_away_from_the_fault_are_beyond_it(after: dict[str, list[str]], lines: int) -> None:
    assert beyond(BEFORE, FAULT, after) == lines


def test_the_first_right_diagnosis_counts() -> None:
    drill = next(drill for drill in TABLE if drill.layer == "relay")
    said = (("10:00:20", "dns"), ("10:00:50", "relay"), ("10:01:10", "relay"))
    at = [Diagnosis(f"2026-01-05T{time}+00:00", layer, touched=False) for time, layer in said]
    found = Running(drill, begun="2026-01-05T10:00:00+00:00", diagnoses=tuple(at))
    result = drill_records.result(found, ("why", "how"), (BEFORE, FAULT), BEFORE, mended=True)
    assert (result.to_diagnosis, result.beyond) == (50, 0)
    never = replace(found, diagnoses=found.diagnoses[:1])
    assert drill_records.result(never, ("why", "how"), None, BEFORE, mended=True).to_diagnosis is None


def test_every_layer_that_has_the_fault_is_a_right_diagnosis() -> None:
    drill = next(drill for drill in TABLE if drill.name == "old-mail-has-gone")
    for layer in ("lda", "imap"):
        said = (Diagnosis("2026-01-05T10:00:30+00:00", layer, touched=False),)
        found = Running(drill, begun="2026-01-05T10:00:00+00:00", diagnoses=said)
        result = drill_records.result(found, ("why", "how"), None, BEFORE, mended=True)
        assert result.to_diagnosis == 30
        assert "(lda or imap)" in "\n".join(report.lines(result))
    wrong = replace(found, diagnoses=(replace(said[0], layer="relay"),))
    assert drill_records.result(wrong, ("why", "how"), None, BEFORE, mended=True).to_diagnosis is None


def test_a_layer_is_not_named_twice(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = (LAB.folder / "drills" / "old-mail-has-gone.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("also: [imap]", "also: [imap, lda]"), encoding="utf-8")
    [finding] = drills.lint(path, LAB)
    assert (finding.line, "'lda' is the drill's layer already" in finding.sentence) == (5, True)
    path.write_text(text.replace("also: [imap]", "also: [disk]"), encoding="utf-8")
    [finding] = drills.lint(path, LAB)
    assert (finding.line, "disk" in finding.sentence) == (5, True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("impair: {down: true}", "", ":2: a drill needs `break` and `fix`"),
        ("impair: {down: true}", "break: 'true'", ":6: a drill needs `break` and `fix`"),
        ("impair: {down: true}", "impair: {}", ":6: impair"),
        ("{down: true}", "{loss: 101}", ":6: impair: loss"),
        ("{down: true}", "{delay: 0}", ":6: impair: delay"),
        ("survives-reboot: false", "survives-reboot: true", "a reboot ends what `impair` does"),
    ],
)
def test_a_bad_link_is_a_fault_until_a_reboot(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (LAB.folder / "drills" / "one-machine-is-silent.yaml").read_text(encoding="utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    drill = drills.read(file, LAB)
    assert (drill.impair, drill.remedy) == (BadLink(down=True), "labenv reboot vm3")
    assert drills.from_dict(drill.name, json.loads(json.dumps(drills.to_dict(drill)))) == drill
    file.write_text(text.replace(old, new), encoding="utf-8")
    assert said in str(drills.lint(file, LAB)[0])


def test_the_layers_are_the_labs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = (LAB.folder / "drills" / "old-mail-has-gone.yaml").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    assert not drills.lint(path, LAB), "a drill of before labs had layers of their own"
    found = drills.lint(path, replace(LAB, layers={"zone": "what a zone says"}))
    assert [finding.line for finding in found] == [4, 5]
    assert found[0].sentence == "the layer 'lda' is unknown. The layers are: zone (what a zone says)."
    [first, _] = drills.lint(path, replace(LAB, layers={}))
    assert first.sentence == "the layer 'lda' is unknown. lab4b has no layers: name them in its lab.yaml."


def test_ones_own_drills_are_for_the_lab_that_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABENV_DRILLS", str(tmp_path))
    text = (LAB.folder / "drills" / "old-mail-has-gone.yaml").read_text(encoding="utf-8")
    (tmp_path / "usual.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "other.yaml").write_text(f"lab: lab3\n{text}", encoding="utf-8")
    other = replace(LAB, id="lab3", folder=tmp_path / "lab3")
    assert [path.stem for path in drills.files(other)] == ["other"]
    assert "usual" in {path.stem for path in drills.files(LAB)}
    assert "other" not in {path.stem for path in drills.files(LAB)}
    [finding] = drills.lint(tmp_path / "other.yaml", LAB)
    assert (finding.line, "labenv drill lint --lab lab3" in finding.sentence) == (1, True)


def test_the_table_of_a_class_is_csv() -> None:
    row = drill_records.DrillEntry(
        "asmith15", "mine", 1, "dns", "mended", "2026-01-05T10:00:00+00:00", 60, None, 0, 2, 3
    )
    assert next(csv.DictReader(io.StringIO(drill_records.as_csv([row])))) == {
        "student": "asmith15",
        "name": "mine",
        "level": "1",
        "layer": "dns",
        "outcome": "mended",
        "begun": "2026-01-05T10:00:00+00:00",
        "seconds": "60",
        "to_diagnosis": "",
        "hints": "0",
        "looks": "2",
        "beyond": "3",
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("level: 1", "level: 4", ":3: level"),
        ("{{ network }}.0/24", "{{ password }}", "cannot be rendered"),
        ("{{ network }}.0/24", "{{ student.__class__.__mro__ }}", "cannot be rendered"),
        ("symptom:", "symptoms:", "symptom"),
        ("survives-reboot: true", "survives-reboot: perhaps", "survives-reboot"),
    ],
)
def test_a_file_that_is_no_drill_is_refused_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (LAB.folder / "drills" / "reading-times-out.yaml").read_text()
    assert old in text
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(old, new))
    assert said in "\n".join(map(str, drills.lint(file, LAB)))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A drill's file as it was written before its key `mend` was renamed to `fix`."""
    text = (LAB.folder / "drills" / "reading-times-out.yaml").read_text()
    assert text.count("\nfix: |\n") == 1
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("\nfix: |\n", "\nmend: |\n"))
    return file


def test_a_file_with_the_old_key_is_read_and_noted(old: Path) -> None:
    assert drills.lint(old, LAB) == []
    heard: list[Event] = []
    [read] = [drill for drill in drills.catalogue(LAB, old.parent, heard.append) if drill.name == "mine"]
    shipped = next(drill for drill in TABLE if drill.name == "reading-times-out")
    assert replace(read, name=shipped.name) == shipped
    [said] = heard
    assert said.kind == "note"
    assert said.message == f"{old}:9: the key 'mend' is now called 'fix'. Rename it; the old name still works."


def test_lint_notes_the_old_key_and_ends_with_0(old: Path) -> None:
    done = CliRunner().invoke(app, ["drill", "lint", str(old.parent)])
    assert done.exit_code == 0, done.output
    assert f"{old}:9: note: the key 'mend' is now called 'fix'." in done.stdout
    done = CliRunner().invoke(app, ["drill", "lint", str(old.parent), "--json"])
    document = json.loads(done.stdout)
    assert (done.exit_code, document["drills"], document["findings"]) == (0, 1, [])
    assert [(note["file"], note["line"]) for note in document["notes"]] == [(str(old), 9)]


def test_the_shipped_drills_have_no_notes() -> None:
    assert [note for path in drills.files(LAB) for note in drills.notes(path)] == []


def test_a_problem_under_the_old_key_has_its_line(old: Path) -> None:
    old.write_text(old.read_text().replace("mend: |\n", "mend: 7\nsymptoms: |\n"))
    assert f"{old}:9: fix: expected text in quotes, found a number." in "\n".join(map(str, drills.lint(old, LAB)))


def test_a_file_with_the_old_and_the_new_key_is_refused(old: Path) -> None:
    old.write_text(old.read_text() + "fix: 'true'\n")
    sentence = f"{old}:9: the key 'mend' is the old name of 'fix', and both are here. Remove 'mend'."
    assert list(map(str, drills.lint(old, LAB))) == [sentence]
    assert drills.notes(old) == []
    with pytest.raises(UsageError, match=r"Remove 'mend'\. To see all problems: labenv drill lint"):
        drills.read(old, LAB)
    assert CliRunner().invoke(app, ["drill", "lint", str(old.parent)]).exit_code == 2


def test_a_drill_that_an_earlier_labenv_started_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    drill = TABLE[0]
    tree = {{"fix": "mend"}.get(key, key): value for key, value in drills.to_dict(drill).items()}
    packed = {"name": drill.name, "tree": tree}
    kept = {"drill": packed, "begun": "", "saved": "before", "diagnoses": [], "hinted": [], "looked": []}
    monkeypatch.setattr(records, "read", lambda *_: json.loads(json.dumps(kept)))
    found = drill_records.running(Engine.__new__(Engine), "asmith15")
    assert found is not None
    assert found.drill == drill
    assert "mend" not in drills.to_dict(found.drill)


def test_a_finished_drill_of_another_version_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(TABLE[0], begun="2026-01-05T10:00:00+00:00", diagnoses=(Diagnosis("2026-01-05", "dns", False),))
    result = drill_records.result(running, ("why", "fix"), None, {}, mended=True)
    entry = result.to_dict()
    earlier = {key: value for key, value in entry.items() if key != "also"}
    kept = [entry, earlier, entry | {"later": [1]}]
    monkeypatch.setattr(records, "read", lambda *_: json.loads(json.dumps(kept)))
    found = drill_records.over(Engine.__new__(Engine), "asmith15")
    assert found == [result, replace(result, also=()), result]
