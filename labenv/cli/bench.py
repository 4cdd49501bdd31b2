"""The bench command."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption
from labenv.errors import UsageError


def bench(
    runs: Annotated[int, typer.Option("--runs", "-n", min=1, max=20, help="How often to repeat each measurement.")] = 3,
    cold: Annotated[
        bool, typer.Option("--cold/--no-cold", help="Also build all images from scratch (a minute).")
    ] = True,
    labs: Annotated[int, typer.Option("--labs", min=1, max=40, help="How many labs to bring up at once.")] = 10,
    class_: Annotated[
        int | None,
        typer.Option("--class", metavar="N", min=1, max=250, help="Measure a class of so many students instead."),
    ] = None,
    pages: Annotated[
        int | None,
        typer.Option("--pages", metavar="N", min=1, max=60, help="Measure so many open pages of a class instead."),
    ] = None,
    swarm: Annotated[
        int | None,
        typer.Option(
            "--swarm",
            metavar="N",
            min=1,
            max=250,
            help="Measure a class of so many students on the swarm that this server manages instead, and the same on its engine alone.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure how fast labenv is on this computer. Everything it creates is removed again.

    Examples:

      labenv bench --runs 5 --no-cold

      labenv bench --class 30

      labenv bench --pages 30

      labenv bench --swarm 12
    """
    if sum(map(bool, (class_, pages, swarm))) > 1:
        raise UsageError("Only one of --class, --pages and --swarm can be given.")
    from labenv import bench as core

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        if class_:
            rows = core.run_class(engine, listen, runs=runs, students=class_)
        elif pages:
            rows = core.run_pages(engine, listen, runs=runs, count=pages)
        elif swarm:
            rows = core.run_swarm(engine, listen, runs=runs, students=swarm)
        else:
            rows = core.run(engine, listen, runs=runs, labs_at_once=labs, cold=cold)
    if json:
        common.print_json(core.as_json(rows))
    else:
        from labenv.cli import show

        show.bench(rows)
