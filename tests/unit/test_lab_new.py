"""`labenv lab new`: what it writes has no errors, and it writes over nothing."""

from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from labenv.cli.app import app
from labenv.errors import UsageError
from labenv.lab import drills, lint, model, mutations, new, trust


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.chdir(tmp_path)


def test_a_new_lab_has_no_errors_and_is_its_authors() -> None:
    done = CliRunner().invoke(app, ["lab", "new", "mylab"])
    assert done.exit_code == 0
    folder = Path("mylab").resolve()
    assert done.stdout.startswith(f"Wrote {folder}. Next:\n  labenv lab lint ./mylab ")
    assert lint.lint(folder) == []
    lab = model.read(folder)
    assert (lab.id, len(lab.stages), len(lab.steps)) == ("mylab", 3, 3)
    assert mutations.faults(lab)
    assert drills.catalogue(lab)
    (folder / "steps.yaml").write_text((folder / "steps.yaml").read_text() + "\n")
    trust.require(lab)
    assert not list(folder.rglob("__pycache__"))


def test_an_editor_finds_the_schema_that_each_file_names() -> None:
    folder = new.write("mylab", Path("mylab"))
    for path in [*folder.glob("*.yaml"), *folder.glob("drills/*.yaml")]:
        first = path.read_text().splitlines()[0]
        if path.name == "topology.yaml":
            continue
        schema = (path.parent / first.partition("$schema=")[2]).resolve()
        jsonschema.Draft202012Validator.check_schema(model.parsed(schema))


@pytest.mark.parametrize(
    ("name", "folder", "sentence"),
    [
        ("My lab", "x", "A lab cannot be called 'My lab'"),
        ("lab4b", "x", "There is a lab 'lab4b' already, in "),
        ("mylab", "there", "there exists. Choose another folder: labenv lab new mylab FOLDER"),
        ("mylab", "there/file/x", "there/file/x cannot be written: Not a directory."),
    ],
)
def test_nothing_is_written_over(name: str, folder: str, sentence: str) -> None:
    Path("there").mkdir()
    Path("there/file").write_text("mine")
    with pytest.raises(UsageError) as caught:
        new.write(name, Path(folder))
    assert sentence in str(caught.value)
