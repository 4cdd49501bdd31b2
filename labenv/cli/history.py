"""The history command."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, output, screen
from labenv.cli.common import JsonOption, NoPagerOption, PatchOption, StudentOption
from labenv.errors import UsageError

if TYPE_CHECKING:
    pass


def history(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Only this: a file, a folder, a machine, or MACHINE:FILE."),
    ] = None,
    patch: PatchOption = False,
    reverse: Annotated[bool, typer.Option("--reverse", help="The oldest first.")] = False,
    student: StudentOption = None,
    json: JsonOption = False,
    no_pager: NoPagerOption = False,
) -> None:
    """List the changes in the watched files: when, on which machine, how many lines. The newest come first.

    What one command has changed, such as an installation, is one entry: many files of a folder are counted. To see each, name
    the folder: labenv history /etc/dovecot

    Each lab says which files are watched: mostly the configuration of its services, accounts and enabled services. The active
    firewall rules are among them, as "iptables-save".

    Examples:

      labenv history

      labenv history main.cf --patch

      labenv history vm3:/etc/dovecot --json
    """
    from labenv.cli import pager, show
    from labenv.environments.history import look_back, story

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        book = look_back.opened(engine, environment, listen)
        begun, edits = book.began(), book.edits()
        chosen = [edit for edit in edits if file is None or story.means(file, edit.machine, edit.file)]
        if file and not chosen:
            raise UsageError(f"Nothing named {ascii(file)[1:-1]} has changed since {story.clock(begun)}.")
        saved = (
            [] if file else [(int(save.made.timestamp()), save.name) for save in look_back.saves(engine, environment)]
        )
    turn = -1 if reverse else 1
    if json:
        common.print_json(
            {
                "student": environment.student.id,
                "began": begun,
                "edits": [edit.to_dict() | ({"patch": book.patch(edit)} if patch else {}) for edit in chosen[::turn]],
                "saves": [{"name": name, "time": time} for time, name in saved],
            }
        )
        return
    with pager.paged(no_pager):
        if patch:
            for edit in chosen[::turn]:
                typer.secho(f"{story.clock(edit.time)}  {edit.machine}:{edit.file}  {edit.said}".rstrip(), bold=True)
                output.as_it_is(book.patch(edit, colour=sys.stdout.isatty()) + "\n")
            return
        entries = [(e.edits[0].time, show.entry_rows(e, every=bool(file))) for e in story.entries(chosen)]
        entries += [(time, [(story.clock(time), "", f"saved as {name}", "", "")]) for time, name in saved]
        entries = [*sorted(entries, key=lambda entry: entry[0], reverse=True)]
        entries += [(begun, [(story.clock(begun), "", "start", "", "")])]
        show.edits([row for _, rows in entries[::turn] for row in rows])
