"""The mutation table: each single fault trips exactly the checks that it must, and no right variant trips any.

Each row of labs/lab4b/mutations.yaml is typed into machines that were made from scratch; the environment's other machines
stay from row to row, because nothing was typed there. A row fails only if it also fails in a new environment.
"""

import secrets
from collections.abc import Iterator

import pytest

from labenv.checks.run import run_checks
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.environments.changing import changing
from labenv.environments.down import down
from labenv.environments.machines import remake_machine
from labenv.environments.plan import Request
from labenv.environments.settle import settle
from labenv.environments.up import up
from labenv.events import silent
from labenv.lab import labs
from labenv.lab.mutations import Mutation, faults, variants
from tests.e2e.conftest import Cli
from tests.mutations import disagreement

LAB = labs.load("lab4b")
TABLE = [*faults(LAB), *variants(LAB)]


class Proving:
    """A finished environment for one row after the other."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.student = ""
        self.touched: tuple[str, ...] = ()

    def fresh(self) -> Environment:
        """The environment as `up` makes it: machines that were typed into are made again."""
        if not self.student:
            self.student = f"m-{secrets.token_hex(4)}"
            return up(self.engine, Request(self.student, first="ada"), silent).environment
        with changing(self.engine, self.student, silent) as change:
            for name in self.touched:
                remake_machine(self.engine, change.environment, change.plan, name, silent)
            there = change.environment
            settle(self.engine, there, [there.machine(name) for name in self.touched], silent)
        self.touched = ()
        return there

    def remove(self) -> None:
        for environment in self.engine.environments(self.student) if self.student else ():
            down(self.engine, environment, silent)
        self.student, self.touched = "", ()

    def verdict(self, mutation: Mutation) -> str:
        """Where the checks judge the row differently from what it says; empty if nowhere."""
        environment = self.fresh()
        self.touched = mutation.machines
        for name in mutation.machines:
            with self.engine.shell(environment.machine(name)) as shell:
                typed = shell.run(mutation.script(environment.student), timeout=120)
            assert typed.rc == 0, f"{mutation.id} could not be typed on {name}: {typed.complaint}"
        return disagreement(mutation, run_checks(self.engine, environment).results)


@pytest.fixture(scope="session")
def proving(cli: Cli, engine: Engine) -> Iterator[Proving]:
    place = Proving(engine)
    yield place
    place.remove()


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.id)
def test_the_checks_tell_right_from_wrong(proving: Proving, mutation: Mutation) -> None:
    if proving.verdict(mutation):
        proving.remove()
        assert not proving.verdict(mutation)
