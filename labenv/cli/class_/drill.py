"""The class drill commands: start, report, give-up."""

from pathlib import Path
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import AssignmentOption, ClassOption, DryRunOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption, YesOption
from labenv.cli.drill import report as shown

app = typer.Typer(
    no_args_is_help=True,
    help="Drills for the whole class: a fault in each environment, to find and fix.",
    epilog="Example: labenv class drill start --level 1",
)


@app.command()
def start(
    level: Annotated[int | None, typer.Option(min=1, max=3, help="Drills of this level; 1 is the easiest.")] = None,
    seed: Annotated[
        str | None, typer.Option(help="The same seed gives each student the same drill again. Default: the day.")
    ] = None,
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Put one fault into each environment of the class. All checks must pass there; each is saved first.

    Neighbours in the roster get different drills. `drills` of the lab in class.yaml restricts the choice.

    Examples:

      labenv class drill start --level 1

      labenv class drill start --seed week7 --dry-run
    """
    from labenv.classroom.running import drills
    from labenv.classroom.running import there as known

    of = opened(folder)
    assignment = of.assignment(lab)
    with screen.progress() as listen:
        engine = open_engine(of, listen)
        there = known.environments(engine, of, only, assignment.name)
        among = drills.on_offer(assignment, level, listen)
        order = drills.orders(of, there, among, drills.usual_seed(of) if seed is None else seed)
        if not dry_run:
            done, errors = told.sorted_out(drills.start(engine, there, order, listen))
    if dry_run:
        done, errors = {}, {}
    rows = (
        [(who, each[0].name, each[0].level) for who, each in order.items()]
        if dry_run
        else [(who, running.drill.name, running.drill.level) for who, running in done.items()]
    )
    if json:
        documents = [{"student": who, "drill": name, "level": hard} for who, name, hard in rows]
        common.print_json(told.document(of, documents, errors))
    elif rows:
        from labenv.cli import show

        show.table(("student", "would get" if dry_run else "drill", "level"), [(*row[:2], f"{row[2]}") for row in rows])
        if not dry_run:
            print("The students see the symptom with: labenv drill status. How they fare: labenv class drill report")
    told.finish(errors, len(done) + len(errors))


@app.command()
def report(
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table as CSV.")] = None,
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    json: JsonOption = False,
) -> None:
    """Show the drills of the class as a table, running ones too.

    `labenv class down` removes these records, so look before.

    Examples:

      labenv class drill report

      labenv class drill report --csv drills.csv
    """
    from labenv.classroom.running import drills
    from labenv.classroom.running import there as known
    from labenv.environments import drill_records

    of = opened(folder)
    if csv:
        common.check_writable(csv)
    with screen.progress(quiet=True) as listen:
        engine = open_engine(of, listen)
        rows = drills.report(engine, known.environments(engine, of, only, lab))
    if csv:
        common.write_text(csv, drill_records.as_csv(rows))
    if json:
        common.print_json({"class": of.id, "drills": [vars(row) for row in rows]})
    elif rows:
        shown.table(rows)
    else:
        print(f"No drill was started in the environments of {of.name}. To start some: labenv class drill start")


@app.command("give-up")
def give_up(
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """End all drills that run, and take the faults out. What was found until then stays in the report.

    Exit code 0: all checks pass afterwards; 1: a check fails.

    Example:

      labenv class drill give-up --yes
    """
    from labenv.classroom.running import drills
    from labenv.classroom.running import there as known

    of = opened(folder)
    with screen.progress(quiet=True) as listen:
        engine = open_engine(of, listen)
        there = drills.with_drill(engine, known.environments(engine, of, only, lab))
    if dry_run or not there:
        if json:
            common.print_json(told.document(of, ({"student": each.student.id} for each in there), {}))
        else:
            print(f"Drills run in {told.environments(there)}" if there else "No drill runs.")
        return
    if not told.agreed(f"End the drills and take out the faults in {told.environments(there)}?", (), yes=yes):
        return
    with screen.progress() as listen:
        done, errors = told.sorted_out(drills.give_up(engine, there, listen))
    failing = [who for who, verdict in done.items() if verdict.failed]
    if json:
        rows = [{"student": who, **verdict.to_dict()} for who, verdict in done.items()]
        common.print_json(told.document(of, rows, errors))
    elif done:
        fail = f"; checks fail for {', '.join(failing)}" if failing else ""
        print(f"Ended the drills of {told.students(len(done))}{fail}")
    told.finish(errors, len(done) + len(errors), at_least=1 if failing else 0)
