"""The labs that labenv ships are as they say: every row that `labenv lab test` has is judged here, each as a test of its own.

A worker judges one row after the other in the same places, as a process of the proof does. And the command itself, on a lab that is
wrong in every way that only real machines show.
"""

from collections.abc import Callable, Iterator

import pytest

from labenv.engine import Engine
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.proof import names
from labenv.proof.judge import judged
from labenv.proof.place import Place
from labenv.proof.rows import Row, rows
from tests.e2e.conftest import Cli

# Those that labenv ships, whatever else this computer has. What stages say is asserted by test_stages.
LABS = [labs.load(place.name) for place in labs.everywhere() if labs.is_shipped(place.folder)]
ROWS = [(lab, row) for lab in LABS for row in rows(lab) if row.kind != "stage"]


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
