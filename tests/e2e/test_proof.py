"""The labs that labenv ships are as they say: the rows that `labenv lab test` has are judged here, each as a test of its own.

Of the faults, `make test` judges as many as it takes to see each check fail, of the right variants and the drills every second, and of
the solutions those of the whole sheet in a row; `make soak` judges all. A worker judges one row after the
other in the same places, as a process of the proof does. And the command itself, on a lab that is wrong in every way that only real
machines show.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from labenv.engine import Engine
from labenv.environment import Environment
from labenv.lab import labs, mutations
from labenv.lab.model import Lab
from labenv.proof import names
from labenv.proof.judge import judged
from labenv.proof.place import Place
from labenv.proof.rows import EVERYTHING, Row, rows
from tests.e2e.conftest import Cli

# Those that labenv ships, whatever else this computer has. What stages say is asserted by test_stages.
LABS = [labs.load(place.name) for place in labs.everywhere() if labs.is_shipped(place.folder)]


def _enough(lab: Lab) -> Iterator[str]:
    """The faults that are judged: each that trips a check which none before it does."""
    tripped: set[str] = set()
    for fault in mutations.faults(lab):
        if not tripped.issuperset(fault.trips):
            yield fault.id
        tripped.update(fault.trips)


def _rows(lab: Lab) -> list[Row]:
    there = [row for row in rows(lab) if row.kind != "stage"]
    if os.environ.get("SOAK"):
        return there
    enough = {f"fault/{name}" for name in _enough(lab)}
    left_out = {row.id for row in there if row.kind == "fault"} - enough
    left_out.update(row.id for row in there if row.kind == "solution" and row.name != EVERYTHING)
    for kind in ("variant", "drill"):
        left_out.update(row.id for row in [row for row in there if row.kind == kind][1::2])
    return [row for row in there if row.id not in left_out]


ROWS = [(lab, row) for lab in LABS for row in _rows(lab)]


@pytest.fixture(scope="session")
def places(cli: Cli, engine: Engine) -> Iterator[Callable[[Lab], Place]]:
    """Gives the place of a lab. Another lab's is given up, because a worker has room for one."""
    with names.claimed() as claim:
        there: dict[str, Place] = {}

        def of(lab: Lab) -> Place:
            for name in [name for name in there if name != lab.id]:
                there.pop(name).remove()
            return there.setdefault(lab.id, Place(engine, lab, lab.id, claim.student))

        yield of
        names.remove(engine, claim.prefix)


@pytest.mark.parametrize(("lab", "row"), ROWS, ids=lambda value: value.id)
def test_a_lab_is_as_it_says(places: Callable[[Lab], Place], lab: Lab, row: Row) -> None:
    assert judged(places(lab), row).problems == ()


@pytest.fixture(scope="module")
def wrong_lab(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with one thing of each kind that is wrong, and some that are right."""
    folder = tmp_path_factory.mktemp("labs") / "wronglab"
    cli("lab", "new", "wronglab", str(folder))
    shutil.rmtree(folder / "drills")

    def change(file: str, how: Callable[[Any], object]) -> None:
        tree = yaml.safe_load((folder / file).read_text())
        how(tree)
        (folder / file).write_text(yaml.safe_dump(tree, sort_keys=False))

    def of_lab(tree: Any) -> None:
        # At the stage open, the machine switches itself off while it boots.
        unit, link = "/etc/systemd/system/off.service", "/etc/systemd/system/multi-user.target.wants/off.service"
        tree["files"]["server"] += [
            {"path": unit, "template": "off.j2", "since": "open", "until": "done"},
            {"path": link, "link": unit, "since": "open", "until": "done"},
        ]

    def of_steps(tree: Any) -> None:
        tree["steps"][2]["solution"][0]["type"] = "true"

    def of_mutations(tree: Any) -> None:
        kept = ("socket-stopped", "another-domain", "address-of-client")
        tree["faults"] = [fault for fault in tree["faults"] if fault["id"] in kept]
        tree["faults"][0]["trips"] = ["1/starts_at_boot"]
        tree["variants"][0]["warns"] = ["2/names_the_domain"]

    change("lab.yaml", of_lab)
    change("steps.yaml", of_steps)
    change("mutations.yaml", of_mutations)
    (folder / "templates/off.j2").write_text("[Service]\nExecStart=/usr/bin/systemctl poweroff --force\n")
    with (folder / "checks/test_lab.py").open("a") as file:
        file.write('\n\n@step("3", machine="client")\ndef test_all_is_well(evidence: Evidence) -> None:\n')
        file.write('    evidence(True, "all is well", "nothing")\n')
    return folder


def test_what_is_wrong_in_a_lab_is_found(cli: Cli, engine: Engine, wrong_lab: Path, tmp_path: Path) -> None:
    junit = tmp_path / "results.xml"
    done = cli("lab", "test", str(wrong_lab), "--json", "--junit", str(junit), rc=1)
    proof = json.loads(done.stdout)
    problems = {row["id"]: " ".join(row["problems"]) for row in proof["rows"]}
    wrong = {row: said for row, said in problems.items() if said}
    assert set(wrong) == {
        "stage/open",
        "solution/all",
        "solution/done",
        "fault/socket-stopped",
        "variant/more-to-say",
    }, wrong
    assert "it could not be tried: " in wrong["stage/open"]
    assert (
        "at the end of the sheet: 3/finds_server@client fails (client takes server for nothing" in wrong["solution/all"]
    )
    assert "it could not be tried" in wrong["solution/done"]
    assert "1/starts_at_boot did not fail 1/answers failed: client cannot connect" in wrong["fault/socket-stopped"]
    assert wrong["variant/more-to-say"] == "2/names_the_domain did not warn"
    [said] = proof["findings"]
    assert "the check all_is_well never fails" in said
    assert proof["notes"] == [
        "step 1: no fault in mutations.yaml trips answers",
        "step 3: no fault in mutations.yaml trips all_is_well",
    ]
    assert proof["summary"]["failed"] == len(wrong) + 1
    cases = ElementTree.parse(junit).getroot()
    assert int(cases.get("failures", "")) == proof["summary"]["failed"] == len(cases.findall(".//failure"))
    assert not [one for one in engine.environments() if one.lab == "wronglab"]
    # What passed is not judged again; a fault whose entry was corrected is.
    file = wrong_lab / "mutations.yaml"
    tree = yaml.safe_load(file.read_text())
    tree["faults"][0]["trips"] = ["1/answers"]
    file.write_text(yaml.safe_dump(tree, sort_keys=False))
    told = cli("lab", "test", str(wrong_lab), "faults")
    assert "2 of 3 rows passed in an earlier run" in told.stderr
    assert "The lab is as it says." in told.stdout
    again = cli.json("lab", "test", str(wrong_lab), "faults", "--only", "socket")
    assert [row["earlier"] for row in again["rows"]] == [True]
    assert again["notes"] == ["checks that never fail were not looked for: that needs all rows"]


def test_a_killed_proof_goes_on_where_it_ended_and_what_it_left_is_removed(
    cli: Cli, engine: Engine, wrong_lab: Path
) -> None:
    command = [sys.executable, "-m", "labenv", "lab", "test", str(wrong_lab), "faults", "--again", "--jobs", "1"]
    words = ["--only", "another-domain", "--only", "address-of-client"]
    book = Path(os.environ["XDG_STATE_HOME"], "labenv/proofs")

    def there() -> list[Environment]:
        return [one for one in engine.environments() if one.lab == "wronglab"]

    with subprocess.Popen([*command, *words], stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while not (there() and any("fault/another-domain" in file.read_text() for file in book.glob("wronglab-*"))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        below = " ".join(file.read_text() for file in Path(f"/proc/{killed.pid}/task").glob("*/children"))
        for process in [*below.split(), str(killed.pid)]:
            os.kill(int(process), signal.SIGKILL)
    assert there()
    done = cli("lab", "test", str(wrong_lab), "faults", "--jobs", "1", "--json", *words)
    assert [row["earlier"] for row in json.loads(done.stdout)["rows"]] == [True, False]
    assert "which a run that was killed has left" in done.stderr
    assert not there()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lab4b", "stages", "--only", "nothing"], "Nothing is left to prove: no row of stages matches nothing"),
        (["lab4b", "stages", "--only", "("], "is not a valid regular expression"),
        (["lab4b", "steps"], "Choose among: stages, solutions, mutations, faults, variants, drills"),
        (["lab4b", "--junit", "/nowhere/results.xml"], "The report /nowhere/results.xml cannot be written"),
    ],
)
def test_what_cannot_be_proven_is_said_before_anything_is_made(cli: Cli, words: list[str], sentence: str) -> None:
    assert sentence in cli("lab", "test", *words, rc=2).stderr


def test_a_lab_with_errors_is_refused(cli: Cli, wrong_lab: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wronglab"
    shutil.copytree(wrong_lab, folder)
    file = folder / "steps.yaml"
    file.write_text(file.read_text().replace("stage: open", "stage: nowhere"))
    cli("lab", "trust", str(folder))
    said = cli("lab", "test", str(folder), rc=2).stderr
    assert "wronglab has errors, so nothing was made" in said
    assert "nowhere" in said
