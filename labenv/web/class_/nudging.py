"""Writing a sentence to one student, to all who are stuck at a step, or to all."""

from collections.abc import Mapping

from nicegui import ui

from labenv.classroom.serving.nudges import LONGEST
from labenv.text import many
from labenv.web.class_.calls import Calls
from labenv.web.parts import button, told, words

_ALL, _ONE = "All", "To "


async def nudge(calls: Calls, stuck: Mapping[str, str], student: str = "") -> None:
    """Ask the teacher what to say to whom, and send it. `stuck` has each student with the step where they are stuck, or "".

    It begins with a student, if one is given.
    """
    groups = {_ALL: list(stuck)}
    groups |= {_at(step): [one for one in stuck if stuck[one] == step] for step in sorted(set(stuck.values()) - {""})}
    groups |= {f"{_ONE}{one}": [one] for one in stuck}
    shown = {
        name: name.removeprefix(_ONE) if name.startswith(_ONE) else f"{name} ({len(whom)})"
        for name, whom in groups.items()
    }
    with ui.dialog() as dialog, ui.card().classes("hint"):
        words("h3", "Send a nudge")
        to = ui.select(shown, value=f"{_ONE}{student}" if student else _ALL, label="To").props("dense").classes("wide")
        text = ui.textarea("Sentence").props(f"dense autogrow counter maxlength={LONGEST}").classes("wide")
        ui.label("It is shown on their page until they close it, and waits for those who are away.").classes("note")
        with ui.row():
            button("Send", lambda: dialog.submit(True))
            button("Cancel", lambda: dialog.submit(False))
    try:
        while await dialog:
            with told():
                students = groups[str(to.value)]
                await calls.nudge(students, text.value or "")
                ui.notify(f"Sent to {many(len(students), 'student')}.")
                return
    finally:
        dialog.delete()


def _at(step: str) -> str:
    return f"All who are stuck at step {step}"
