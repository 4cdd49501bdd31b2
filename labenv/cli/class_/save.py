"""The class save command."""

from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.class_ import told
from labenv.cli.class_.common import AssignmentOption, ClassOption, OnlyOption, open_engine, opened
from labenv.cli.common import JsonOption


def save(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Name of the saves. Default: each student's next of save-1, save-2, …"),
    ] = None,
    folder: ClassOption = None,
    lab: AssignmentOption = None,
    only: OnlyOption = None,
    json: JsonOption = False,
) -> None:
    """Save the environments of the class, each under the same name. A student's saves stay when the environment is removed.

    Examples:

      labenv class save due-date

      labenv class save --only asmith15,bjones3
    """
    from labenv.classroom.running import there as known
    from labenv.classroom.running.save import save as save_all
    from labenv.environments import saves

    of = opened(folder)
    if name is not None:
        saves.check_name(name)
    common.if_interrupted("The saves so far stay. For the other students: the same command with --only")
    with screen.progress() as listen:
        engine = open_engine(of, listen)
        done, errors = told.sorted_out(save_all(engine, known.environments(engine, of, only, lab), name, listen))
        documents = {who: saves.document(engine.holding(who), made) for who, made in done.items()}
    if json:
        common.print_json(told.document(of, documents.values(), errors))
    elif done:
        from labenv.cli import show

        rows = [(who, made["name"], f"{made['bytes'] / 1e6:.1f} MB") for who, made in documents.items()]
        show.table(("student", "save", "size"), rows)
    told.finish(errors, len(done) + len(errors))
