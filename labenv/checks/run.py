"""Running the checks of an environment's lab: pytest in process, isolated from any configuration in the user's folder."""

import threading
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from labenv.checks.onlooker import Onlooker, Overtaken
from labenv.checks.presence import ENTER
from labenv.checks.results import CheckResult, Report, in_chains, with_persons, with_remarks, with_ticks
from labenv.environment import Environment
from labenv.environments import laid, ticks
from labenv.errors import EngineError, LabenvError, UsageError
from labenv.events import Event, Listener, announced, silent
from labenv.lab import labs
from labenv.lab.model import Lab
from labenv.text import many

if TYPE_CHECKING:
    from labenv.checks.machine import Machine, Site
    from labenv.engine import Engine


def run_checks(
    engine: "Engine",
    environment: Environment,
    *,
    steps: list[str] | None = None,
    reached_only: bool = False,
    written: bool = False,
    whole: bool = False,
    first: bool = False,
    onlooker: Onlooker | None = None,
    listen: Listener = silent,
) -> Report:
    """Run the checks of an environment's lab and return the results, in the order of the sheet.

    Steps that only a person can judge are among the results, as skipped. `steps` limits the run to these step numbers,
    `reached_only` to the steps of the stages up to the environment's own. Each result is announced to `listen` as it
    comes. With `written`, changes in the machines and the results are stored in the environment's history meanwhile.
    With `first`, the run ends at the first step that fails: later ones are not among the results, except those for a person.
    With an `onlooker`, what takes no time is checked first. The report's notes are about what was changed since the machines were made, or with `whole` about all of their programs.
    Raises UsageError for a step that the lab does not have. A machine that does not run is no error: the checks that
    need it fail, and say so. Raises Overtaken if the onlooker had it given up.
    """
    lab = labs.of(environment)
    wanted = _wanted(lab, environment.stage, steps, reached_only)

    from labenv.checks.machine import Site  # what follows takes time; a wrong step number should not wait for it

    site = Site(engine, environment)
    _warm_up(site)

    from labenv.checks import collect  # as above
    from labenv.checks.running import Run  # as above
    from labenv.checks.session import Session  # as above
    from labenv.checks.soonest import Soonest  # as above
    from labenv.engine import origin  # as above

    spoken = labs.spoken_of(environment)
    is_looked_on = onlooker is not None
    run = Run(site, lab, wanted, lambda result: listen(_event(result, spoken)), first=first, is_looked_on=is_looked_on)
    regular = [(machine, site[machine.name].channel) for machine in environment.regular]
    begun_with = partial(laid.digests, environment)
    notes: list[str] = []
    ticked: dict[str, ticks.Tick] = {}
    run.beside(lambda: ticked.update(ticks.read(engine, environment.student.id)))
    if not whole:
        run.beside(lambda: notes.extend(origin.all_strange(engine, regular, since_made=True, laid=begun_with)))
    remarks: list[tuple[str, str]] = []
    run.beside(lambda: remarks.extend(one for part in run.parts for one in part.remarks(lab, run.began)))
    if written:
        from labenv.environments import history  # as above

        channels = {machine.name: channel for machine, channel in regular}
        run.beside(lambda: history.collect(environment, channels, listen))
    with announced(listen, "check", f"checking {many(len(wanted), 'step')} of {lab.id}"):
        soonest = [Soonest(run, onlooker)] if onlooker else []
        code = collect.run(lab, Session(run), *soonest)
    if any(one.is_overtaken for one in soonest):
        raise Overtaken
    _check_end(code, lab, wanted)
    chained = with_remarks(in_chains(run.results, lab, run.waits, run.blamed), remarks)
    results = with_ticks(with_persons(chained, lab, wanted), lab, ticked)
    if whole:  # it takes all of the computer, and would delay the messages of the checks
        with announced(listen, "programs", "comparing all programs with those of the images"):
            notes.extend(origin.all_strange(engine, regular, laid=begun_with))
            site.close()
    failed = {result.step for result in results if result.status == "fail"}
    told = tuple((step, words) for step, words in remarks if step in wanted - failed)
    late = frozenset(step for step, _ in remarks) | {step for step, _ in run.blamed}
    report = Report(environment.student.id, lab.id, results, run.waits, tuple(notes), told, late)
    if written:
        found = {f"{r.step}/{r.check}/{r.machine}": {"status": r.status, "evidence": r.evidence} for r in results}
        history.note(environment, found, listen)
    return report


def _check_end(code: int, lab: Lab, wanted: Collection[str]) -> None:
    """Raise for checks that did not all run (pytest's exit codes)."""
    import pytest  # as above

    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    fine = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    if all(lab.steps[step].is_for_a_person for step in wanted):
        fine.add(pytest.ExitCode.NO_TESTS_COLLECTED)
    if code not in fine:
        raise LabenvError(f"The checks of {lab.id} could not run: pytest ended with '{pytest.ExitCode(code).name}'.")


def check_known(lab: Lab, steps: list[str]) -> None:
    """Raise UsageError, naming the lab's steps, for a step that the lab does not have."""
    unknown = [step for step in steps if step not in lab.steps]
    if unknown:
        raise UsageError(f"{lab.id} has no step {', '.join(unknown)}. Its steps are: {', '.join(lab.steps)}.")


def _wanted(lab: Lab, stage: str, steps: list[str] | None, reached_only: bool) -> frozenset[str]:
    check_known(lab, steps or [])
    return frozenset(
        step.id for step in lab.steps.values() if not reached_only or lab.reached(step.stage, stage)
    ) & frozenset(steps or lab.steps)


def _warm_up(site: "Site") -> None:
    """Open a channel to each machine, which takes the engine a while, in threads that nobody waits for; enter the run there."""

    def open_(machine: "Machine") -> None:
        with suppress(EngineError):  # the checks that need the machine report it
            machine.channel.run(ENTER if machine.has_tools else ":")

    for machine in site.machines.values():
        threading.Thread(target=open_, args=(machine,), daemon=True).start()


def _event(result: CheckResult, lab: Lab) -> Event:
    return Event("check", f"step {result.step} on {result.machine}: {lab.steps[result.step].title}")
