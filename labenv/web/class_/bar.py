"""What a page of a class has in its head beside the lab's own: how the machines stand, messages, and the way out."""

from nicegui import ui

from labenv.gate import menu
from labenv.gate.actions import assignment_of
from labenv.web.class_.desk import ClassDesk, Standing
from labenv.web.parts import button, words


class Bar:
    """The student's menu in the head of their page. As a visitor of the gate it is told what the gate tells its visitors."""

    def __init__(self, desk: ClassDesk) -> None:
        """Draw into the element that is open now."""
        self.student = desk.student
        self._client = ui.context.client
        of = desk.gate.current()
        assignment = assignment_of(of, desk.sight.environment)
        with button(self.student, None, f"Menu of {self.student}"), ui.menu().classes("whose"):
            words("p", of.name)
            if assignment and assignment.due:
                words("p", f"{assignment.name} is due {menu.said(assignment.due, of)}").classes("note")
            self._start = ui.menu_item("Start my machines", desk.start)
            self._stop = ui.menu_item("Stop my machines; my work is kept", desk.stop)
            sign_out()
        self._client.on_delete(desk.stand(self._show))

    async def tell(self, text: str, *, in_shells: bool = False) -> None:
        """Show what the gate says to its visitors, until the student closes it."""
        del in_shells  # a page has room beside its shells
        with self._client:
            ui.notify(text, type="info", multi_line=True, timeout=0, close_button="Close")

    def _show(self, standing: Standing) -> None:
        for each in (self._start, self._stop):
            each.set_enabled(not standing.doing)


# Where the form to sign in is offered, nobody is signed in any more: who is, is sent on.
_LEAVE = """window.socket.on('connect_error', async () => {
    if ((await fetch('/sign-in', {redirect: 'manual'})).ok) location.reload();
})"""


def sign_out() -> None:
    """Draw the button that signs out: a plain form, which works also when the line to the server has dropped.

    A page whose session ended elsewhere, or in the night, leads to the form to sign in.
    """
    ui.run_javascript(_LEAVE)
    with ui.element("form").props('method="post" action="/sign-out"'):
        button("Sign out", None).props("type=submit")
