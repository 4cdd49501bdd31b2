"""The impair command."""

import re
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, MachineArgument, StudentOption
from labenv.errors import UsageError
from labenv.text import shown

_ALWAYS = "always"
_LATEST = 10_000  # milliseconds


def impair(
    machine: MachineArgument,
    loss: Annotated[
        str | None,
        typer.Option("--loss", metavar="PERCENT", help="Lose this part of its packets, each way, such as 5%."),
    ] = None,
    delay: Annotated[
        str | None,
        typer.Option("--delay", metavar="TIME", help="Let packets to it come this much later, such as 200ms."),
    ] = None,
    down: Annotated[
        str | None,
        typer.Option(
            "--down", metavar="TIME", help="Let nothing pass for this time, such as 30s; with `always`, until --clear."
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Nothing is wrong with its link any more.")] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Give a machine a bad link: packets are lost or late, or none passes, as with a bad cable.

    It happens outside the machine: its own firewall rules are as they were, and nothing in it says why. All its links are bad, and
    what was wrong before is replaced. `labenv status` shows it; --clear or a reboot ends it, and so does a day.
    The kernel of the engine's computer needs netem for --delay.

    Examples:

      labenv impair vm2 --loss 5%

      labenv impair vm3 --down 30s

      labenv impair vm2 --clear
    """
    from labenv.engine.link import LONGEST, Impairment
    from labenv.environments import impair as core

    if clear == any([loss, delay, down]):
        raise UsageError(
            "Say either what is wrong with the link (--loss 5%, --delay 200ms, --down 30s; several may be combined), or --clear."
        )
    seconds = LONGEST if down == _ALWAYS else int(common.duration("--down", down)) if down else 0
    if seconds > LONGEST:
        raise UsageError("--down is for a day (24h) at most.")
    wrong = Impairment(_loss(loss) if loss else 0, _delay(delay) if delay else 0, seconds)
    with screen.progress() as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        bad = core.impair(engine, environment, environment.machine(machine).name, wrong, listen)
    if json:
        about = {"student": environment.student.id, "machine": machine}
        common.print_json({**about, "impaired": bad.to_dict() if bad else None})
    else:
        print(f"{machine}'s link is bad: {bad.sentence}." if bad else f"{machine}'s link is good.")


def _loss(text: str) -> int:
    """How many of 10000 packets a part such as 5% or 0.5% is. Raises UsageError for none, for more than all, and for another text."""
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?) ?%?", text)
    if not match or not 0 < float(match[1]) <= 100:
        raise UsageError(f"--loss needs a part of all packets, from 0.01% to 100%, and {shown(text)} is none.")
    return round(float(match[1]) * 100)


def _delay(text: str) -> int:
    """The milliseconds of a time such as 200ms or 1s. Raises UsageError for none, for one too long, and for another text."""
    match = re.fullmatch(r"(\d{1,5})(ms|s)?", text)
    time = int(match[1]) * (1000 if match[2] == "s" else 1) if match else 0
    if not 0 < time <= _LATEST:
        raise UsageError(f"--delay needs a time from 1ms to 10s, such as 200ms, and {shown(text)} is none.")
    return time
