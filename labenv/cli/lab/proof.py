"""The command that proves a lab on real machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption

if TYPE_CHECKING:
    from labenv.proof.run import Proof


def prove(
    lab: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FOLDER",
            autocompletion=common.complete_lab,
            help="A lab, or its folder. Default: the lab that `up` makes.",
        ),
    ] = None,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT", help="stages, solutions, mutations, faults, variants, drills. Default: all of them."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="REGEX",
            help="Only rows whose name matches, such as fault/dns or stage/. Can be repeated.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            max=64,
            help="How many environments to use at once. Default: two per processor, if the memory is enough.",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Judge from scratch, also what passed in an earlier run and has not changed."),
    ] = False,
    json: JsonOption = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML for CI.")] = None,
) -> None:
    """Prove a lab on real machines: its stages, solutions, faults, variants and drills.

    At each stage exactly the checks of later stages must fail; solutions must lead from stage to stage; each fault must trip the
    checks that it names, each right variant none; each drill must be as it says; and no check may pass everywhere. The environments
    are its own, and it removes them. What passed need not run again while nothing about it changes, so an interrupted run continues.

    Exit code 0: the lab is as it says; 1: it is not; 2: its files have errors; 3: the engine failed.

    Examples:

      labenv lab test ./mylab

      labenv lab test ./mylab faults drills --only dns

      labenv lab test ./mylab --junit results.xml
    """
    from labenv.lab import labs
    from labenv.proof import run

    source = lab or labs.default()
    known = labs.load(source)
    if junit:
        common.check_writable(junit)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        proof = run.prove(engine, known, source, listen, what=what or (), only=only or (), jobs=jobs, again=again)
    if junit:
        from labenv.proof import junit as as_junit

        common.write_text(junit, as_junit.xml(proof))
    if json:
        common.print_json(proof.to_dict())
    else:
        _show(proof)
    if proof.failed:
        raise typer.Exit(1)


def _show(proof: "Proof") -> None:
    """Print how many of each kind passed and failed, then what is wrong, in sentences."""
    from labenv.cli import show

    counts = proof.counts()
    bad = [place for place, (_, _, failed, _) in enumerate(counts) if failed]
    rows = [(kind, str(passed), str(failed or ""), str(earlier or "")) for kind, passed, failed, earlier in counts]
    show.table((proof.lab.id, "passed", "failed", "of them earlier"), rows, bad)
    for one in proof.outcomes:
        if one.problems:
            print(f"\n{one.row}")
            print("\n".join(f"  {said}" for said in one.problems))
    for said in proof.findings:
        print(f"\n{said}")
    told = [f"{one.row}: {said}" for one in proof.outcomes for said in one.notes]
    if told or proof.notes:
        print()
    for said in (*told, *proof.notes):
        print(f"note: {said}")
    count = "1 thing is" if proof.failed == 1 else f"{proof.failed} things are"
    verdict = f"{count} not as the lab says." if proof.failed else "The lab is as it says."
    print(f"\n{verdict} {proof.seconds:.0f} s")
