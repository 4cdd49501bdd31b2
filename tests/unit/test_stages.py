"""A stage that a lab's files name and that it does not have: said with its place before anything is made."""

from pathlib import Path

import pytest

from labenv.environments import plan
from labenv.environments.plan import Request
from labenv.errors import UsageError
from labenv.lab import model, new, stages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lab that an author begins with."""
    for kind in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    return new.write("mylab", tmp_path / "mylab")


@pytest.mark.parametrize(
    ("file", "old", "new_", "said"),
    [
        (
            "steps.yaml",
            "stage: open",
            "stage: opne",
            ": step 1: the stage 'opne' is unknown. The stages are: start, open,",
        ),
        ("lab.yaml", "since: open", "since: opne", ": the stage 'opne' is unknown. The stages are: start, open, done."),
        ("lab.yaml", "since: done}", "since: opne}", ": the stage 'opne' is unknown."),
    ],
)
def test_an_unknown_stage_is_said_with_its_place_before_anything_is_made(
    folder: Path, file: str, old: str, new_: str, said: str
) -> None:
    stages.check(model.read(folder))
    text = (folder / file).read_text()
    line = text[: text.index(old)].count("\n") + 1
    (folder / file).write_text(text.replace(old, new_, 1))
    with pytest.raises(UsageError) as error:
        plan.wished(Request("asmith15", stage="start", lab=str(folder)))
    assert str(error.value).startswith(f"{folder / file}:{line}:")
    assert said in str(error.value)
    assert f"labenv lab lint {folder}" in str(error.value)


def test_a_stage_that_nobody_knows_is_no_traceback(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"mylab has no stage 'opne'\. Its stages are: start, open, done\."):
        model.read(folder).reached("opne", "start")
