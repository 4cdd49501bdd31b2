"""A lab on plain Debian with a router between two networks, written by somebody who had only docs/author.md, is as it says."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Cli

LAB = Path(__file__).parents[1] / "labs" / "router"


@pytest.mark.soak
def test_the_stages_solutions_and_drills_of_a_router_lab_are_as_they_say(cli: Cli) -> None:
    assert cli("lab", "lint", str(LAB)).stdout == "router: no errors\n"
    cli("lab", "trust", str(LAB))
    said = cli.json(
        "lab", "test", str(LAB), "--only", "^(stage|drill)/", "--only", "solution/filtered", "--again", "--jobs", "2"
    )
    assert {row["status"] for row in said["rows"]} == {"pass"}, said
    assert len(said["rows"]) == 6
