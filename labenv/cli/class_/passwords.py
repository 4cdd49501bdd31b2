"""The class passwords command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common
from labenv.cli.class_.common import ClassOption, OnlyOption, opened
from labenv.cli.class_.gate import check_there
from labenv.cli.common import JsonOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Class


def passwords(
    folder: ClassOption = None,
    only: OnlyOption = None,
    new: Annotated[
        bool,
        typer.Option(
            "--new", help="Also for students who have some: theirs are replaced, and their browsers signed out."
        ),
    ] = False,
    count: Annotated[int, typer.Option("--count", min=1, max=99, help="How many each student gets.")] = 10,
    server: Annotated[str, typer.Option("--server", help="The server's name, for the sheet.")] = "SERVER",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The gate's port, for the sheet.")] = 2222,
    page: Annotated[
        str,
        typer.Option(
            "--page",
            metavar="URL",
            help="The page's address, for the sheet. Default: `origin` of `page` in class.yaml.",
        ),
    ] = "",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page to print and cut up.")
    ] = None,
    txt: Annotated[Path | None, typer.Option("--txt", metavar="FILE", help="Write the sheet as plain text.")] = None,
    links: Annotated[
        Path | None,
        typer.Option(
            "--links", metavar="FILE", help="Write a CSV file with a link to the page for each, to send by e-mail."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make one-time passwords for the gate and the page, and print them as a sheet to cut up. Only their hashes are kept.

    Each is good for one login. Once inside the gate, students can add an SSH key of their own, and need no more of them there.
    A link of --links uses up the student's first password.

    Examples:

      labenv class passwords --server lab.example.org

      labenv class passwords --only asmith15 --new

      labenv class passwords --html sheet.html

      labenv class passwords --page https://lab.example.org --links links.csv
    """
    check_there("class passwords")
    from labenv.classroom.folder import load
    from labenv.classroom.serving import passwords as core
    from labenv.classroom.serving import sessions, sheet
    from labenv.gate import server as gate

    of = opened(folder, writes=True)
    page = page or of.page.origin
    load.check_origin("--page", page)
    if links and not page:
        raise UsageError(
            "--links needs the page's address: --page https://lab.example.org, or `origin` of `page` in class.yaml"
        )
    for report in filter(None, (html, txt, links)):
        common.check_writable(report)
    chosen = of.chosen(only)
    left = core.left(of)
    wanted = [one for one in chosen if new or one.id not in left]
    made = core.make(of, [one.id for one in wanted], count)
    for one in wanted:
        sessions.forget(of, one.id)
    slips = [sheet.Slip(one.id, one.name, tuple(made[one.id]), one.email) for one in wanted]
    where = sheet.Where(of.name, server, port, gate.host_key(of).get_fingerprint(), page)
    for file, drawn in ((html, sheet.html), (txt, sheet.text), (links, sheet.links)):
        if file:
            common.write_text(file, drawn(slips, where), private=True)
    if json:
        common.print_json({"class": of.id, "passwords": made, "left": _left(of, [one.id for one in chosen])})
    elif not (html or txt or links):
        print(sheet.text(slips, where), end="")
    if kept := len(chosen) - len(wanted):
        have = "1 student has" if kept == 1 else f"{kept} students have"
        print(f"{have} passwords already, which nobody can read again. To replace them: --new", file=sys.stderr)


def _left(of: "Class", students: list[str]) -> dict[str, int]:
    from labenv.classroom.serving import passwords as core

    there = core.left(of)
    return {student: there.get(student, 0) for student in students}
