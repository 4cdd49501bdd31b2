"""The submit command."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labenv.classroom.handins.submit import Package


def _complete_part(incomplete: str) -> list[str]:
    from labenv.classroom.handins.handin import CHECKS, PARTS

    return [name for name in PARTS if name.startswith(incomplete) and name != CHECKS]


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, such as asmith15.tar.gz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="NAME",
            autocompletion=_complete_part,
            help="Leave this out: a part, such as history, or a file, as MACHINE:PATH. Repeatable.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be packed.")] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Pack everything to hand in into one archive: evidence, check results, files, hints, log book, shell histories.

    First it lists what it packs. The archive and labenv review name what you leave out. Then it ticks the step of the sheet that is
    about handing in.

    Examples:

      labenv submit asmith15.tar.gz

      labenv submit asmith15.tar.gz --dry-run

      labenv submit asmith15.tar.gz --without history
    """
    from labenv.classroom.handins import submit as core

    core.check_without(without or ())
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        package = core.pack(engine, environment, file, force=force, without=without or (), listen=listen)
    print("\n".join(_listed(package, every=dry_run)), file=sys.stderr)
    if dry_run:
        done = package.submission
        print("Nothing was written.", file=sys.stderr)
    else:
        with screen.progress(quiet=True) as listen:
            done = core.finish(engine, environment, package, listen)
    if json:
        common.print_json(done.to_dict())
        return
    if not dry_run:
        kinds = Counter(name.partition("/")[0] for name in done.members)
        packed = ", ".join(kind if count == 1 else f"{kind} ({count})" for kind, count in kinds.items())
        print(f"Packed into {file}: {packed}")
        if package.tick:
            print(f"Step {package.tick.step} is ticked: {package.tick.words}", file=sys.stderr)
    for sentence in done.missing:
        print(f"- {sentence}")


def _listed(package: "Package", *, every: bool) -> "Iterator[str]":
    """What is packed, by parts, and what is left out. Of the configuration, only the number of files, unless `every` one is wanted."""
    from labenv.classroom.handins.handin import PARTS

    yield f"To be packed into {package.file}:"
    for part, what in PARTS.items():
        there = {name: len(content) for name, content in package.members.items() if name.partition("/")[0] == part}
        if there:
            files = ", ".join(_file(name) for name in there if name != part)
            if part == "config" and not every:
                files = f"{len(there)} files; to list them: --dry-run"
            yield f"  {part:<12}  {what}, {_size(sum(there.values()))}{f': {files}' if files else ''}"
    if package.left_out:
        yield f"Left out, as you wish: {', '.join(map(_file, package.left_out))}"
    else:
        one = next((name for name in package.members if name.startswith("config/")), "")
        or_file = f", or --without {_file(one)}" if one else ""
        yield f"To leave something out: --without history, for example{or_file}"


def _file(member: str) -> str:
    """A member as a student knows it: MACHINE:PATH for a file of a machine."""
    part, _, rest = member.partition("/")
    machine, slash, path = rest.partition("/")
    return f"{machine}:/{path}" if slash and part in ("config", "history") else rest or part


def _size(count: int) -> str:
    return f"{count} bytes" if count < 1000 else f"{count / 1000:.0f} kB"
