"""Commands that look back: history, diff, when."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import EngineError, UsageError

if TYPE_CHECKING:
    from labenv.engine import Engine
    from labenv.engine.saves import Save
    from labenv.environment import Environment
    from labenv.events import Listener
    from labenv.history.repository import Edit, Repository
    from labenv.history.story import Story

PatchOption = Annotated[bool, typer.Option("--patch", "-p", help="With the lines that came and went.")]


def history(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Only this: main.cf, /etc/dovecot, vm2, vm2:/etc/postfix/main.cf, …"),
    ] = None,
    patch: PatchOption = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """List what was changed in the files that matter: when, on which machine, how many lines; the newest first.

    They are the configuration of Postfix, Dovecot, BIND and the firewall, the zones, aliases, accounts and enabled
    services; and the firewall's rules in force, as "iptables-save".

    Examples:

      labenv history

      labenv history main.cf --patch

      labenv history vm3:/etc/dovecot --json
    """
    with screen.progress(quiet=True) as listen:
        engine, environment, book = _book(listen, student)
        begun, edits = book.began(), book.edits()
        chosen = [edit for edit in edits if file is None or _means(file, edit)]
        if file and not chosen:
            raise UsageError(f"Nothing that is called {ascii(file)[1:-1]} has been changed since {_time(begun)}.")
        saved = [] if file else [(int(save.made.timestamp()), save.name) for save in _saves(engine, environment)]
    if json:
        common.print_json(
            {
                "student": environment.student.id,
                "began": begun,
                "edits": [edit.to_dict() | ({"patch": book.patch(edit)} if patch else {}) for edit in chosen],
                "saves": [{"name": name, "time": time} for time, name in saved],
            }
        )
        return
    from labenv.cli import show

    if patch:
        for edit in chosen:
            typer.secho(f"{_time(edit.time)}  {edit.machine}:{edit.file}  {edit.said}".rstrip(), bold=True)
            print(book.patch(edit, colour=sys.stdout.isatty()))
        return
    rows = [_row(edit) for edit in chosen]
    rows += [(_time(time), "", f"saved as {name}", "", "") for time, name in saved]
    show.edits([*sorted(rows, key=lambda row: row[0], reverse=True), (_time(begun), "", "as it began", "", "")])


def _complete_moment(ctx: typer.Context, incomplete: str) -> list[str]:
    from labenv.cli.saves import complete_save

    return [*complete_save(ctx, incomplete), *common.complete_stage(incomplete)]


def diff(
    since: Annotated[
        str | None,
        typer.Argument(
            metavar="STAGE|SAVE|TIME",
            autocompletion=_complete_moment,
            help="Default: the start. A time is 10:30, '2026-11-23 10:30', '20 minutes ago' or yesterday.",
        ),
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Only this, as `history` takes it.")
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", envvar="LABENV_TEACHER", help="A stage's solution may be shown.")
    ] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Show in which lines the files that matter are now others than at the start, or at any moment since.

    With a stage it is the reference solution that they are compared with; that is for teachers.

    Examples:

      labenv diff

      labenv diff before-tls --file main.cf

      labenv diff '20 minutes ago'

      labenv diff relay --teacher -s asmith15
    """
    with screen.progress(quiet=True) as listen:
        engine, environment, book = _book(listen, student)
        old = _moment(engine, environment, book, since, teacher=teacher)
        paths = [path for path in book.differing(old) if file is None or _means_path(file, path)]
        patch = book.diff(old, *paths, colour=sys.stdout.isatty() and not json) if paths else ""
    if json:
        common.print_json(
            {"student": environment.student.id, "since": since or "start", "files": paths, "patch": patch}
        )
    elif patch:
        print(patch, end="")
    else:
        print(f"Nothing is different since {since or 'the start'}.", file=sys.stderr)


def when(
    check: Annotated[str, typer.Argument(metavar="CHECK", help="A step, such as 17, or a check's name from --json.")],
    patch: PatchOption = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Say since when a check has been failing (or holding), and what was changed before that was seen.

    It goes by all runs of `labenv check`, `next` and `up` in this environment.

    Examples:

      labenv when 17

      labenv when 31 --patch
    """
    from labenv.history import story

    with screen.progress(quiet=True) as listen:
        _, environment, book = _book(listen, student)
        stories = story.when(book, check)
    if json:
        common.print_json({"student": environment.student.id, "checks": [told.to_dict() for told in stories]})
        return
    for told in stories:
        _tell(told, book, patch=patch)


def _tell(told: "Story", book: "Repository", *, patch: bool) -> None:
    from labenv.cli import show

    name = f"{told.step}  {told.check} on {told.machine}"
    if told.since is None:
        print(f"{name}: not judged so far; {told.evidence}")
        return
    now, then = ("holds", "failed") if told.holds else ("fails", "held")
    past = (
        f"it last {then} at {_time(told.before)}" if told.before else f"it has never {then if told.holds else 'held'}"
    )
    typer.secho(f"{name}: {now} since {_time(told.since)}; {past}", fg="green" if told.holds else "red")
    if told.evidence and not told.holds:
        print(f"  {told.evidence}")
    if told.before and not told.edits:
        print("  No file that matters was changed in between: look at what runs, and at what was started again.")
    if patch:
        for edit in told.edits:
            print(book.patch(edit, colour=sys.stdout.isatty()))
    elif told.edits:
        show.edits([_row(edit) for edit in told.edits])


def _book(listen: "Listener", student: str | None) -> "tuple[Engine, Environment, Repository]":
    """The history of an environment, with what has just been changed."""
    from labenv import history as keeping
    from labenv.engine import saves as kept

    if not keeping.has_git():
        raise EngineError("There is no git on this computer, so no history is kept. Install it, then go on as before.")
    engine = common.open_engine(listen)
    environment = common.chosen(engine, student)
    if kept.has_drill(engine, environment.student.id):
        raise UsageError(
            "A drill is running, and its history would tell what was broken. End it first: labenv drill check"
        )
    keeping.collect_now(engine, environment, listen)
    book = keeping.Repository(environment)
    if not book.began():
        raise EngineError(
            f"There is no history of {environment.student.id}'s environment: it was made by another version of labenv, or "
            f"none of its machines runs."
        )
    return engine, environment, book


def _moment(
    engine: "Engine", environment: "Environment", book: "Repository", since: str | None, *, teacher: bool
) -> str:
    """The commit that is meant. Raises UsageError."""
    from labenv import lab as labs
    from labenv.history import reference, story

    if since is None:
        return book.start()
    lab = labs.load(environment.lab)
    for save in _saves(engine, environment):
        if save.name == since:
            return book.kept_by(save.made.timestamp())
    if since in [stage.id for stage in lab.stages]:
        if not teacher:
            raise UsageError("What a stage looks like in the reference solution is for teachers: --teacher shows it.")
        return book.reference(reference.files(environment, since, set(book.files(book.tip()))))
    if (time := story.moment(since, datetime.now().astimezone())) is None:
        raise UsageError(
            f"{since!a} is no stage, no save and no time. A time is 10:30, '2026-11-23 10:30', '20 minutes ago' or yesterday."
        )
    return book.at(int(time.timestamp()))


def _saves(engine: "Engine", environment: "Environment") -> "list[Save]":
    from labenv.engine import saves as kept

    return kept.found(engine, environment.student.id)


def _means(word: str, edit: "Edit") -> bool:
    from labenv.history import story

    return story.means(word, edit.machine, edit.file)


def _means_path(word: str, path: str) -> bool:
    from labenv.history import story
    from labenv.history.repository import place

    return story.means(word, *place(path))


def _row(edit: "Edit") -> tuple[str, ...]:
    return _time(edit.time), edit.machine, edit.file, f"+{edit.added} -{edit.removed}", edit.said


def _time(seconds: int | None) -> str:
    return datetime.fromtimestamp(seconds or 0).strftime("%Y-%m-%d %H:%M:%S")
