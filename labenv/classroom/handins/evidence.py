"""The course's own evidence of a machine: what the course's check looks at, field by field, as text."""

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labenv.classroom.handins import handin
from labenv.classroom.handins.handin import Field
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.lab import labs

if TYPE_CHECKING:
    from labenv.engine import Engine

_PATIENCE = 90  # seconds; host(1) waits for a name server that does not answer


@dataclass(frozen=True)
class Evidence:
    """The evidence of one machine as `text`, and `remarks` on settings that are in force but not visible in it."""

    machine: str
    text: str
    remarks: tuple[str, ...]


def collect(engine: "Engine", environment: Environment, machine: str) -> Evidence:
    """The evidence of a machine, collected in one command.

    Raises UsageError for a machine that the course asks nothing about, EngineError if it is not running.
    """
    wanted = handin.wanted(labs.of(environment))
    record = environment.machine(machine)
    if machine not in wanted.machines:
        raise UsageError(f"The course asks for no evidence of {machine}. It asks for: {', '.join(wanted.machines)}.")
    fields = [entry for entry in wanted.fields if machine in entry.machines]
    mark = secrets.token_hex(16)
    commands = [command for entry in fields for command in (entry.command, entry.effective or ":")]
    script = "\n".join(f"{{ {command}\n}} 2>&1; printf '\\n{mark}\\n'" for command in commands)
    with engine.shell(record) as shell:
        said = shell.run(script, _PATIENCE).text
    answers = said.split(f"\n{mark}\n")
    shown, effective = answers[: 2 * len(fields) : 2], answers[1 : 2 * len(fields) : 2]
    lead = f"Evidence of {record.fqdn}, {environment.student.id}"
    blocks = [f"{lead}\n{'=' * len(lead)}\n"]
    blocks += [_block(entry, text) for entry, text in zip(fields, shown, strict=True)]
    remarks = [r for entry, a, b in zip(fields, shown, effective, strict=True) for r in unseen(entry, machine, a, b)]
    return Evidence(machine, "\n".join(blocks), tuple(remarks))


def unseen(entry: Field, machine: str, shown: str, effective: str) -> list[str]:
    """A sentence for each value that is in force on a machine but not in the field's output."""
    visible = settings(shown)
    return [
        f"On {machine}, {name} is {value or 'empty'}, but the course's own check will not see it: "
        f"it runs {entry.command.partition(' | ')[0]}. Set it in that file, on one line that begins with {name}."
        for name, value in (settings(effective) if entry.effective else {}).items()
        if value and visible.get(name) != value
    ]


def settings(text: str) -> dict[str, str]:
    """The `name = value` lines of a text; if a name occurs twice, the last one counts."""
    pairs = re.findall(r"^(\w+)[^\S\n]*=[^\S\n]*(.*)$", text, re.MULTILINE)
    return {name: " ".join(value.split()) for name, value in pairs}


def _block(entry: Field, said: str) -> str:
    lines = [f"## {entry.title}", f"# {entry.command}", said.strip("\n") or entry.silent]
    return "\n".join([*lines, *([f"({entry.note})"] if entry.note else [])]) + "\n"
