"""The submit command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    pass


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, such as asmith15.tar.gz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Pack everything to hand in into one archive: evidence, check results, files, hints, log book, shell histories.

    Example:

      labenv submit asmith15.tar.gz
    """
    from labenv.classroom import submit as core

    with screen.progress() as listen:
        engine = common.open_engine(listen)
        done = core.submit(engine, common.chosen(engine, student), file, force=force, listen=listen)
    if json:
        common.print_json(done.to_dict())
        return
    kinds: dict[str, int] = {}
    for name in done.members:
        kinds[name.partition("/")[0]] = kinds.get(name.partition("/")[0], 0) + 1
    packed = ", ".join(kind if count == 1 else f"{kind} ({count})" for kind, count in kinds.items())
    print(f"Packed into {file}: {packed}")
    for sentence in done.missing:
        print(f"- {sentence}")
