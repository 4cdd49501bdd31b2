"""Stages: `up --at` leads to a state in which exactly the steps of later stages do not pass."""

from labenv.proof import verdict
from labenv.proof.place import Place
from labenv.proof.rows import Row


def problems(place: Place, row: Row) -> list[str]:
    """Where an environment at a stage is not as the steps' stages say. Raises LabenvError if it does not come up."""
    with place.at(row.name) as environment:
        return verdict.of_stage(place.lab, row.name, place.checked(environment))
