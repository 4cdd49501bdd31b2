"""The pytest plugin that binds tests to steps, starts the slow probes early, and turns outcomes into results.

    @step("19", machine="vm3")
    def test_trusted_networks(vm3: Machine, evidence: Evidence) -> None: ...

`labenv check` runs it in process (run.py). With plain pytest, for a CI job that wants pytest's own reports:

    pytest --pyargs labenv.labs.lab4b.checks -p labenv.checks.plugin --labenv-student asmith15
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine, Site
from labenv.checks.post import Post
from labenv.checks.restarts import all_stale
from labenv.checks.results import CheckResult, Status, in_chains, needed, waiting
from labenv.engine import Engine
from labenv.engine.find import connect
from labenv.errors import EngineError, LabenvError, senseless
from labenv.events import silent
from labenv.lab import labs
from labenv.lab.model import Lab, Step
from labenv.mail import complaints
from labenv.mail.complaints import Complaint
from labenv.student import Student

T = TypeVar("T")

# Seconds from the beginning of a run, and at least, that a check waits for its probes although a step that it needs has failed.
_SOON, _BEHIND = 5, 0.1
# Where only the first step that fails is wanted: how many steps ahead probes are started, at least, and for each step that has passed.
_AHEAD, _MORE = 6, 2
_TOGETHER = 32  # probes, so that none that hangs keeps another from starting

_PROBES: dict[str, Callable[[Site, Post], Any]] = {}


def step(number: str, *, machine: str | tuple[str, ...]) -> pytest.MarkDecorator:
    """Bind a check to a step and the machine that it judges; with several machines it runs on each (fixture `machine`)."""
    return pytest.mark.step(number, machine=machine)


def probe(work: Callable[[Site, Post], T]) -> Callable[[Site, Post], T]:
    """Make a session fixture of `work` that starts, in a thread, before the first check runs, if any check needs it.

    What it raises fails each check that uses it.
    """
    _PROBES[work.__name__] = work

    @pytest.fixture(scope="session", name=work.__name__)
    def outcome(request: pytest.FixtureRequest) -> Any:
        return request.config.stash[RUN].outcome(work.__name__)

    return outcome


@dataclass
class Run:
    """One run of the checks on one environment: what it works on, and its results.

    With `first`, it ends at the first step that fails: after that only steps for a person are looked at that need none that fails.
    """

    site: Site
    lab: Lab
    steps: frozenset[str]
    heard: Callable[[CheckResult], None] = lambda _: None
    results: list[CheckResult] = field(default_factory=list)
    waits: dict[str, set[str]] = field(default_factory=dict)
    blamed: dict[tuple[str, str], str] = field(default_factory=dict)
    first: bool = False

    def __post_init__(self) -> None:
        """Open nothing yet."""
        self.began = time.monotonic()
        self.is_cut = False  # whether what probes still show does not matter
        self.post = Post(self.site)
        self._pool = ThreadPoolExecutor(_TOGETHER)
        self._probes: dict[str, Future[Any]] = {}

    def start(self, names: set[str]) -> None:
        """Start the probes of these names, unless they have been started."""
        for name, work in _PROBES.items():
            if name in names and name not in self._probes:
                self._probes[name] = self._pool.submit(work, self.site, self.post)

    def beside(self, work: Callable[[], None]) -> None:
        """Do something in a thread while the checks run; the run ends only when it has ended."""
        self._pool.submit(work)

    def outcome(self, name: str) -> Any:
        """The result of a probe. Raises what it raised."""
        return self._probes[name].result()

    def await_probes(self, step: str, names: Iterable[str]) -> None:
        """Wait for the probes that a check of that step uses: only a moment once it can no more than wait for another step.

        Raises Waits if they take longer than that; then the end of the run does not wait for them.
        """
        failed = {result.step for result in self.results if result.status == "fail"}
        first = [name for name in self.lab.steps if name in failed & needed(step, self.lab, self.waits)][:1]
        probes = [self._probes[name] for name in names if name in self._probes]
        if first and wait(probes, max(_BEHIND, self.began + _SOON - time.monotonic())).not_done:
            self.is_cut = True
            raise Waits(first[0])

    def is_idle(self, step: str, ahead: Collection[str]) -> bool:
        """Whether a step need not be checked, of those that are `ahead`.

        It need not if it waits for one that fails; nor if the first that fails is found, and neither waits for one that is ahead nor
        comes after it on the sheet.
        """
        failing = {result.step for result in self.results if result.status == "fail"}
        if not self.first or not failing:
            return False
        place = {name: number for number, name in enumerate(self.lab.steps)}

        def waits(name: str) -> bool:
            return bool(needed(name, self.lab, self.waits) & failing)

        judged = in_chains(self.results, self.lab, self.waits, self.blamed)
        found = min((result.step for result in judged if result.status == "fail"), key=place.__getitem__, default="")
        before = {name for name in ahead if found and place[name] < place[found] and not waits(name)}
        is_over = bool(found) and not before and not needed(found, self.lab, self.waits) & set(ahead)
        self.is_cut |= is_over
        return waits(step) or (is_over and not self.lab.steps[step].is_for_a_person)

    def takes(self, result: CheckResult) -> bool:
        """Whether a result counts: not the failure of a step that may wait for one that was passed over."""
        passed_over = needed(result.step, self.lab, self.waits) - {other.step for other in self.results}
        return not (self.first and self.is_cut and result.status == "fail" and passed_over)

    def explained(self, machine: str) -> Complaint | None:
        """What the servers of a machine logged against themselves since the run began, if that explains anything."""
        try:
            seconds = round(time.monotonic() - self.began) + 1
            asked = complaints.command(f"-{seconds}s", f"-{seconds + complaints.THROTTLED}s")
            told = self.site[machine].run(asked)
        except EngineError:  # the check says already that the machine is not there
            return None
        return complaints.explained(told.stdout)

    def finish(self) -> None:
        """Wait for the probes, remove their messages and their lines in the logs, close the channels."""
        if self.is_cut:
            self.post.give_up()
            self._hang_up()
        self._pool.shutdown(cancel_futures=True)
        self._hang_up()  # what the servers log of that is to be in the logs before they are tidied
        try:
            self.post.sweep()
            self.post.tidy()
        finally:
            self.site.close()

    def _hang_up(self) -> None:
        for machine in self.site.machines.values():
            machine.hang_up()


class _Idle(Exception):
    """A check that is passed over: it has no result."""


RUN = pytest.StashKey[Run]()
_EVIDENCE = pytest.StashKey[Evidence]()


class Session:
    """The part of the plugin that needs a run."""

    def __init__(self, run: Run) -> None:
        """Work for this run."""
        self._run = run

    def pytest_configure(self, config: pytest.Config) -> None:
        """Give the run to the fixtures."""
        config.stash[RUN] = self._run

    def pytest_sessionstart(self) -> None:
        """If all steps are wanted, start all the lab's probes at once: collecting the checks takes a while."""
        if self._run.steps == frozenset(self._run.lab.steps) and not self._run.first:
            self._run.start(self._probes())

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Deselect the checks of steps that are not wanted, and sort the others in the order of the sheet.

        With `first`, what a step needs comes before it.
        """
        names = needs_first(self._run.lab) if self._run.first else self._run.lab.steps
        order = {name: place for place, name in enumerate(names)}
        wanted = [item for item in items if _step(item).args[0] in self._run.steps]
        config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
        items[:] = sorted(wanted, key=lambda item: order[_step(item).args[0]])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Start the probes that the chosen checks need.

        With `first`, those that none needs and those of the steps for a person, which are looked at in any case; others come later.
        """
        needed_here = _fixtures(session.items)
        own = _fixtures(item for item in session.items if self._run.lab.steps[_step(item).args[0]].is_for_a_person)
        self._run.start((self._probes() - needed_here) | own if self._run.first else needed_here)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Pass over what is not wanted any more, and do not wait for what can no longer make a difference."""
        if self._run.first:
            steps = _steps(item.session.items)
            here = steps.index(_step(item).args[0])
            if self._run.is_idle(steps[here], steps[here:]):
                raise _Idle
            soon = steps[here : here + (1 if self._run.is_cut else max(_AHEAD, _MORE * here))]
            self._run.start(_fixtures(other for other in item.session.items if _step(other).args[0] in soon))
        self._run.await_probes(_step(item).args[0], getattr(item, "fixturenames", ()))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
        """Keep the outcome as a result."""
        report = yield
        if call.excinfo and isinstance(call.excinfo.value, _Idle):
            return report
        if call.when == "call" or (call.when == "setup" and call.excinfo):
            result = self._result(item, call.excinfo.value if call.excinfo else None)
            if self._run.takes(result):
                self._run.results.append(result)
                self._run.heard(result)
        return report

    def pytest_sessionfinish(self) -> None:
        """Clean up."""
        self._run.finish()

    def _probes(self) -> set[str]:
        """All probes of the lab."""
        here = f".{self._run.lab.id}."
        return {name for name, work in _PROBES.items() if here in work.__module__}

    def _result(self, item: pytest.Item, error: BaseException | None) -> CheckResult:
        mark = _step(item)
        bound = self._run.lab.steps[mark.args[0]]
        evidence = item.stash.get(_EVIDENCE, Evidence())
        status: Status = "warn" if evidence.doubts else "pass"
        text, seen, expected = str(evidence), evidence.seen, evidence.expected
        machine = _machine_of(item, mark.kwargs["machine"])
        if isinstance(error, CheckFailed):
            error = self._with_cause(error, bound)
        if error is not None:
            status = "skip" if isinstance(error, pytest.skip.Exception) else "fail"
            text = seen = _sentence(error, machine)
            expected = ""
        if isinstance(error, CheckFailed):
            seen, expected = error.saw, error.wanted
        if isinstance(error, Waits):
            self._run.waits.setdefault(bound.id, set()).add(error.step)
            text = seen = waiting(self._run.lab, error.step)  # the other step says whether that is a failure or a skip
        return CheckResult(
            step=bound.id,
            check=getattr(item, "originalname", item.name).removeprefix("test_"),
            machine=machine,
            title=bound.title,
            status=status,
            evidence=text,
            hint=bound.hints[0] if bound.hints else "",
            seen=seen,
            expected=expected,
        )

    def _with_cause(self, failure: CheckFailed, bound: Step) -> Exception:
        """The failure with what the server that erred says about it, or the step to wait for, whose setting it is about."""
        machine = self._run.site.machines.get(failure.by)
        if not machine:
            return failure
        complaint = self._run.explained(machine.name)
        if not complaint:
            return _with_restarts(failure, machine)
        told = f"on {machine.name}, {complaint}"
        owner = self._run.lab.owner(complaint.setting.name, machine.name) if complaint.setting else None
        if owner and owner.id != bound.id and owner.id in self._run.steps:
            self._run.blamed.setdefault((owner.id, machine.name), told[0].upper() + told[1:])
            return Waits(owner.id)
        if complaint.text.removeprefix("doveconf: ") in failure.saw:
            told = str(complaint.setting or "")
        return _with_restarts(CheckFailed("; ".join(filter(None, (failure.saw, told))), failure.wanted), machine)


def _with_restarts(failure: CheckFailed, machine: Machine) -> CheckFailed:
    """The failure with the restarts that are missing on the machine that erred, unless it has them already."""
    try:
        told = [f"{found}" for found in all_stale(machine) if found.remedy not in failure.saw]
    except EngineError:  # the check says already that the machine is not there
        return failure
    return CheckFailed("; ".join([failure.saw, *told]), failure.wanted)


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
    request.node.stash[_EVIDENCE] = collected
    return collected


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Site:
    """All machines of the environment."""
    return request.config.stash[RUN].site


@pytest.fixture(scope="session")
def post(request: pytest.FixtureRequest) -> Post:
    """The probe messages."""
    return request.config.stash[RUN].post


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


def _step(item: pytest.Item) -> pytest.Mark:
    mark = item.get_closest_marker("step")
    if mark is None:
        raise pytest.UsageError(f"{item.nodeid} is not bound to a step. Add @step(ID, machine=…).")
    return mark


def _steps(items: Iterable[pytest.Item]) -> list[str]:
    return list(dict.fromkeys(_step(item).args[0] for item in items))


def needs_first(lab: Lab) -> list[str]:
    """The steps in the order of the sheet, but each behind those that it needs."""
    found: dict[str, None] = {}
    for name in lab.steps:
        ahead = needed(name, lab, {})
        while ahead:
            ready = [other for other in lab.steps if other in ahead and not needed(other, lab, {}) & ahead]
            found |= dict.fromkeys(ready)
            ahead -= set(ready)
        found[name] = None
    return list(found)


def _fixtures(items: Iterable[pytest.Item]) -> set[str]:
    return {name for item in items for name in getattr(item, "fixturenames", ())}


def _machine_of(item: pytest.Item, named: str | tuple[str, ...]) -> str:
    if isinstance(named, str):
        return named
    chosen: str = item.callspec.params["machine"]  # type: ignore[attr-defined]
    return chosen


def _sentence(error: BaseException, machine: str) -> str:
    """An outcome in words: the error's own text if it is for users, else that the check itself failed to run."""
    if isinstance(error, (CheckFailed, LabenvError, pytest.skip.Exception)):
        return str(error)
    if isinstance(
        error, (ValueError, LookupError, RecursionError)
    ):  # what reading an answer raises, in a lab's check too
        return senseless(machine, error)
    return f"The check itself crashed: {type(error).__name__}: {error}"
