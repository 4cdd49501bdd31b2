"""The mutation table: every single fault trips the checks that it must and no others, every right variant trips none.

Each line of labs/lab4b/mutations.yaml gets a finished environment of its own. They are brought up ahead of the tests that
ask for them, a few at a time, by processes that stay.
"""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from labenv.checks.results import CheckResult
from labenv.lab import labs
from labenv.lab.mutations import Mutation, faults, variants
from tests.e2e.conftest import Cli
from tests.mutations import disagreement

LAB = labs.load("lab4b")
TABLE = [*faults(LAB), *variants(LAB)]
AT_ONCE = 3


def found(mutation: Mutation) -> tuple[CheckResult, ...]:
    """What the checks find in an environment with that one change."""
    from labenv.checks.run import run_checks
    from labenv.engine import Engine
    from labenv.engine.channel import Channel
    from labenv.engine.find import connect
    from labenv.environments.down import down
    from labenv.environments.plan import Request
    from labenv.environments.up import up
    from labenv.events import silent

    engine = Engine(connect(silent))
    who = f"m-{secrets.token_hex(4)}"
    try:
        environment = up(engine, Request(who, first="ada"), silent).environment
        for name in mutation.machines:
            channel = Channel(engine.api, environment.machine(name).container)
            typed = channel.run(mutation.script(environment.student), timeout=120)
            channel.close()
            assert typed.rc == 0, f"{mutation.id} could not be typed on {name}: {typed.stderr.decode()}"
        return run_checks(engine, environment).results
    finally:
        for environment in engine.environments(who):
            down(engine, environment, silent)


@pytest.fixture(scope="module")
def find(request: pytest.FixtureRequest, cli: Cli) -> Iterator[Callable[[Mutation], Future[tuple[CheckResult, ...]]]]:
    """What the checks find: of each mutation that a test of this run asks for it is looked for ahead, but once only."""
    parameters = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [each.params["mutation"] for each in parameters if each and "mutation" in each.params]
    # Spawned, not forked: a copy of this process would hold locks that other threads of it had taken.
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as pool:
        ahead = {mutation.id: pool.submit(found, mutation) for mutation in chosen}
        yield lambda mutation: ahead.pop(mutation.id, None) or pool.submit(found, mutation)
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("mutation", TABLE, ids=lambda mutation: mutation.id)
def test_the_checks_tell_right_from_wrong(
    find: Callable[[Mutation], Future[tuple[CheckResult, ...]]], mutation: Mutation
) -> None:
    results = find(mutation).result(timeout=1200)
    assert not disagreement(mutation, results), disagreement(mutation, results)
