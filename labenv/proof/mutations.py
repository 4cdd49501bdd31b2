"""Faults and variants: each is typed into a finished environment, and all checks judge it."""

from dataclasses import replace

from labenv.lab.model import Lab
from labenv.lab.mutations import Mutation, faults, variants
from labenv.proof import verdict
from labenv.proof.place import Place
from labenv.proof.rows import Row


def problems(place: Place, row: Row) -> list[str]:
    """Where the checks judge a mutation differently from what its entry says. Raises LabenvError if it cannot be tried."""
    mutation = _named(place.lab, row)
    environment = place.finished()
    place.typed_into(mutation.machines)
    place.type(environment, mutation.machines, mutation.script(environment.student))
    results = place.checked(environment)
    told = replace(mutation, says=mutation.words(environment.student))
    return verdict.of_mutation(told, results) + verdict.untold(results)


def _named(lab: Lab, row: Row) -> Mutation:
    return next(one for one in (faults if row.kind == "fault" else variants)(lab) if one.id == row.name)
