"""The pytest plugin that binds tests to steps, starts the slow probes early, and turns outcomes into results.

    @step("3", machine="web")
    def test_the_page_is_there(web: Machine, evidence: Evidence) -> None: ...

`labenv check` runs it in process (run.py). With plain pytest, for a CI job that wants pytest's own reports:

    pytest --pyargs labenv.labs.LAB.checks -p labenv.checks.plugin --labenv-student asmith15
"""

from typing import Any

import pytest

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.running import RUN, Run, probe
from labenv.checks.session import EVIDENCE, Session
from labenv.engine import Engine
from labenv.engine.find import connect
from labenv.events import silent
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.student import Student

__all__ = ["RUN", "machine_fixture", "probe", "step"]


def step(number: str, *, machine: str | tuple[str, ...]) -> pytest.MarkDecorator:
    """Bind a check to a step and the machine that it judges; with several machines it runs on each (fixture `machine`)."""
    return pytest.mark.step(number, machine=machine)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for plain pytest."""
    parser.getgroup("labenv").addoption(
        "--labenv-student", metavar="ID", help="Run the checks against this student's environment."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; under plain pytest, find the environment that the option names."""
    config.addinivalue_line("markers", "step(id, machine): the step of the sheet and the machine that a check judges")
    if student := config.getoption("--labenv-student"):
        engine = Engine(connect(silent, start=False))
        there = engine.environments(student)
        if not there:
            raise pytest.UsageError(f"{student} has no environment. Make one: labenv up {student}")
        found = labs.of(there[0])
        config.pluginmanager.register(Session(Run(Site(engine, there[0]), found, frozenset(found.steps))))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a check that asks for `machine` on each machine that its step names."""
    if "machine" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("step")
        assert mark is not None, f"{metafunc.definition.nodeid} has no step"
        names = mark.kwargs["machine"]
        metafunc.parametrize("machine", (names,) if isinstance(names, str) else names, indirect=True)


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Machine:
    """The machine under test, for a step that is done on several."""
    return request.config.stash[RUN].site[request.param]


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Takes what the check saw."""
    collected = Evidence()
    request.node.stash[EVIDENCE] = collected
    return collected


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Site:
    """All machines of the environment."""
    return request.config.stash[RUN].site


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    """The lab that the checks are of."""
    return request.config.stash[RUN].lab


@pytest.fixture(scope="session")
def student(site: Site) -> Student:
    """The student whose environment it is."""
    return site.student


@pytest.fixture(scope="session")
def domain(student: Student) -> str:
    """The student's domain."""
    return student.domain


def machine_fixture(name: str) -> Any:
    """A fixture for one machine of the lab, to be assigned to the machine's name in the lab's conftest."""

    @pytest.fixture(scope="session", name=name)
    def named(site: Site) -> Machine:
        return site[name]

    return named
