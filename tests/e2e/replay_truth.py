"""By hand: does replay judge each mutation of a lab as the running machines do?

    .venv/bin/python -m tests.e2e.replay_truth lab4b
    .venv/bin/python -m tests.e2e.replay_truth lab3 'zone|named'

One line a mutation, as each is done: the steps in which they differ, what was seen in the first of them, and what was not carried. A
difference is no fault if a boot brings it about (a service that was not restarted), or if it is a program of the student's own
(docs/teacher.md, "On clean machines").
"""

import hashlib
import re
import sys
import tempfile
from pathlib import Path

from labenv.checks.results import Report
from labenv.classroom.handins import gather, handin, pieces, submit
from labenv.classroom.replay.replay import Replayed, replay_all, transient
from labenv.classroom.running.checking import Checkers
from labenv.classroom.running.waves import paced
from labenv.engine import Engine
from labenv.engine.find import connect
from labenv.environments.down import down
from labenv.environments.plan import Request
from labenv.environments.up import up
from labenv.errors import LabenvError
from labenv.events import silent
from labenv.lab import labs, mutations
from labenv.lab.model import Lab
from labenv.lab.mutations import Mutation
from labenv.text import one_line


def verdict(lab: Lab, report: Report) -> dict[str, str]:
    """The worst of each step's checks, of the steps that replay judges; a warning is a pass."""
    there: dict[str, set[str]] = {}
    for result in report.results:
        if not lab.steps[result.step].is_for_a_person and result.step not in transient(lab):
            there.setdefault(result.step, set()).add(result.status)
    return {step: next((s for s in ("fail", "skip") if s in seen), "pass") for step, seen in there.items()}


def seen(report: Report, step: str) -> str:
    """What the checks of a step saw, without those that pass."""
    return " | ".join(
        f"{r.check}: {one_line(r.evidence)}" for r in report.results if r.step == step and r.status != "pass"
    )


def main(name: str, pattern: str = "") -> int:
    """Try the mutations that match; returns how many differ."""
    lab, engine = labs.load(name), Engine(connect(silent))
    wanted = handin.wanted(lab)
    rows = [m for m in (*mutations.faults(lab), *mutations.variants(lab)) if re.search(pattern, m.id)]
    with tempfile.TemporaryDirectory() as folder, Checkers(engine) as checkers:

        def handed_in(mutation: Mutation) -> Report:
            student = f"truth-{hashlib.sha256(mutation.id.encode()).hexdigest()[:10]}"
            there = up(engine, Request(student, lab=lab.id), silent).environment
            try:
                for machine in mutation.machines:
                    with engine.shell(there.machine(machine)) as shell:
                        shell.run(mutation.script(there.student), 60)
                report = checkers.check(there, written=False)
                found = {x.name: gather.gathered(engine, there, lab, x.name, wanted) for x in there.regular}
                secret, stars = there.student.password.encode(), b"*" * len(there.student.password)
                members = {pieces.member(x): one.to_json().replace(secret, stars) for x, one in found.items()}
                about = submit.manifest(there, members, hints=0, began=0)
                submit.write(Path(folder, f"{mutation.id}.tar.gz"), members, about)
                return report
            finally:
                down(engine, there, silent)

        ran = {m.id: there for m, there in paced(rows, handed_in, silent, name=lambda m: m.id)}
        files = [Path(folder, f"{tried}.tar.gz") for tried, there in ran.items() if isinstance(there, Report)]
        differ = 0
        for file, told in replay_all(engine, files, silent):
            own = ran[file.name.removesuffix(".tar.gz")]
            assert isinstance(own, Report)
            words, more = [], []
            if isinstance(told, LabenvError):
                words = [str(told)]
            else:
                there, here = verdict(lab, own), verdict(lab, told.report)
                differing = [step for step in here if there.get(step) != here[step]]
                words = [f"{step}: {there.get(step)} there, {here[step]} here" for step in differing]
                more = [
                    f"{step} {where}: {seen(report, step)}"
                    for step in differing[:1]
                    for where, report in (("there", own), ("here", told.report))
                ]
            differ += bool(words)
            more += [f"not carried: {r}" for r in (told.refused if isinstance(told, Replayed) else ())]
            print(
                f"{file.name}: {'; '.join(words) or 'the same'}",
                *(f"    {line}" for line in more),
                sep="\n",
                flush=True,
            )
    for tried, told_there in ran.items():
        if isinstance(told_there, LabenvError):
            print(f"{tried}: not tried: {told_there}")
    print(f"{len(files)} tried, {differ} differ")
    return differ


if __name__ == "__main__":
    main(*sys.argv[1:])
