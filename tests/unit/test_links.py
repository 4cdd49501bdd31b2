"""What a record says of bad links counts for the machine's present life and until its time is over, and no record breaks it."""

import time
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labenv.engine import Engine
from labenv.environment import Environment, Machine
from labenv.environments import links
from labenv.student import Student

ENGINE = cast(Engine, None)
VM2 = Machine("vm2", "vm2.amy.ops", "192.168.90.3", "running", "labenv-amy-vm2")
THERE = Environment(Student("amy", 90, "amy", ""), "lab4b", "done", (VM2,))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["vm2", "life", "loss", "down"]), inner)
    ),
    max_leaves=8,
)


@pytest.fixture(autouse=True, scope="module")
def lives() -> Any:
    """All machines have been up since they were made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "life", lambda *_: "one")
        yield


def noted(**other: Any) -> dict[str, Any]:
    """A record about vm2."""
    return {"vm2": {"life": "one", "loss": 500, "delay": 0, "since": time.time(), "down": 0} | other}


def test_what_is_in_force_is_told() -> None:
    assert links.in_force(ENGINE, THERE, noted())["vm2"].sentence == "5 % of the packets are lost"
    late = links.in_force(ENGINE, THERE, noted(loss=0, delay=200, down=time.time() + 60))["vm2"]
    assert late.sentence.startswith("it is down until ")
    assert late.sentence.endswith(" UTC, packets to it come 200 ms late")
    assert late.to_dict().keys() == {"delay", "down_until"}


@pytest.mark.parametrize(
    "record",
    [
        None,
        noted(life="the one before"),
        noted(loss=0, down=time.time() - 1),
        noted(since=time.time() - 90_000),
        {"vm9": noted()["vm2"]},
    ],
)
def test_what_is_over_or_was_another_machines_is_not(record: Any) -> None:
    assert links.in_force(ENGINE, THERE, record) == {}


@given(JSON, JSON)
def test_no_record_breaks_it(record: Any, entry: Any) -> None:
    for each in (record, {"vm2": record}, noted(loss=record, delay=entry), noted(down=record, since=entry)):
        links.in_force(ENGINE, THERE, each)
