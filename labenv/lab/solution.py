"""What a step's solution types: its actions as commands, for one student."""

from collections.abc import Sequence

from labenv.environment import Machine
from labenv.lab import templates
from labenv.lab.model import Action, Lab
from labenv.lab.topology import Node
from labenv.student import Student


def commands(
    action: Action,
    lab: Lab,
    student: Student,
    machine: Machine | Node,
    machines: Sequence[Machine | Node],
) -> list[str]:
    """The commands of an action on one of its machines: a template that can use what the file templates can use.

    Raises templates.Unrenderable for one that cannot be rendered.
    """
    text = templates.text(
        action.type,
        student=student,
        network=student.prefix,
        machine=machine,
        machines=machines,
        # A solution leads to the end of the sheet, whatever stage the environment began at.
        reached=lambda stage: lab.reached(stage, lab.last_stage),
    )
    return [line for line in text.splitlines() if line.strip()]
