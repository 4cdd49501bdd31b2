"""The solve command: the lines of a solution and their output, as on a terminal."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, output, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    from labenv.lab.model import Step
    from labenv.sheet.solve import Line, Typed


def _complete_target(ctx: typer.Context, incomplete: str) -> list[str]:
    known = common.lab_at_hand(ctx)
    steps = [step.id for step in known.steps.values() if not step.is_for_a_person]
    return [name for name in [*(stage.id for stage in known.stages), *steps] if name.startswith(incomplete)]


def solve(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="STEP|STAGE",
            autocompletion=_complete_target,
            help="A step, such as 17, or a stage, such as relay.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All steps, in the order of the sheet.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be typed.")] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Do one step, the steps of a stage, or all steps, by typing their solutions in the machines.

    It shows each line and its output, and stops at the first line that fails. Steps that only a person can do are left to
    you. Exit code 0: every line worked; 1: a line failed.

    Examples:

      labenv solve 17

      labenv solve relay --dry-run

      labenv solve --all -s asmith15
    """
    from labenv.sheet import solve as core

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        lab = common.lab_of(environment)
        steps = core.chosen(lab, target, everything=everything)
        lines = [line for step in steps for line in core.lines(step, lab, environment)]
        transcript = _Transcript(lab.steps, silent=json)
        done: list[Typed] = []
        if dry_run:
            for line in lines:
                transcript.prompt(line)
        else:
            done = core.solve(
                engine,
                environment,
                lines,
                listen,
                said=f"labenv solve {target or '--all'}",
                about_to=transcript.prompt,
                answered=transcript.answer,
            )
    if json:
        typed = [{**vars(line), "rc": None, "output": ""} for line in lines] if dry_run else [_entry(t) for t in done]
        common.print_json({"student": environment.student.id, "lab": lab.id, "typed": typed})
    if done and (last := done[-1]).rc:
        print(
            f"labenv: On {last.line.machine} this command failed with status {last.rc}: {last.line.command}\n"
            f"Nothing after it was typed. To see what fails: labenv check {last.line.step}; if it passes, the cause is elsewhere: labenv next",
            file=sys.stderr,
        )
        raise typer.Exit(1)


class _Transcript:
    """What a terminal would show, with a heading for each step."""

    def __init__(self, steps: "dict[str, Step]", *, silent: bool) -> None:
        self._steps = steps
        self._silent = silent
        self._step = ""

    def prompt(self, line: "Line") -> None:
        """Show a line before it is typed."""
        if self._silent:
            return
        if line.step != self._step:
            step = self._steps[line.step]
            lead = "\n" if self._step else ""
            typer.secho(f"{lead}# Step {step.id}: {step.title}", fg="cyan")
            if step.note:
                typer.secho(f"# Note: {step.note}", fg="yellow")
            self._step = line.step
        typed = f"[root@{line.machine} ~]# {line.command}"
        output.as_it_is((typer.style(typed, bold=True) if sys.stdout.isatty() else typed) + "\n")
        sys.stdout.flush()

    def answer(self, outcome: "Typed") -> None:
        """Show its output."""
        if not self._silent and outcome.output:
            output.as_it_is(outcome.output + "\n" * (not outcome.output.endswith("\n")))
            sys.stdout.flush()


def _entry(outcome: "Typed") -> "dict[str, Any]":
    return {**vars(outcome.line), "rc": outcome.rc, "output": outcome.output}
