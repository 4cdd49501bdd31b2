"""The class as a table: a row a student, a sign for each step. What has not changed is not drawn again."""

import time
from collections.abc import Callable, Mapping
from itertools import groupby

import jinja2
from nicegui import ui

from labenv.classroom.running import row_words
from labenv.classroom.running.board import Row
from labenv.classroom.running.row_words import STATES
from labenv.lab.model import Lab
from labenv.text import many
from labenv.web.class_.watching import Seen
from labenv.web.parts import button, words

_MINUTE = 60
_NEVER = 1 << 62
# How rows are sorted: the heading, and what the smallest of comes first; rows that are equal stay as the roster has them.
_ORDERS: dict[str, Callable[[Row], object]] = {
    "Student": lambda row: row.student,
    "State": lambda row: list(STATES).index(row.state),
    "Steps": lambda row: -sum(mark in ("pass", "warn", "ticked") for mark in row.marks.values()),
    "Stuck at": lambda row: (row.since or 0) if row.stuck else _NEVER,
    "Hints": lambda row: -row.hints,
    "Drills": lambda row: (row.drilling is None, -row.drills),
    "Active": lambda row: -(row.active or 0),
    "Checked": lambda row: -(row.checked or 0),
}
STUCK = "Stuck at"


class Rows:
    """The table. `is_open` says whether a student has a page open, `press` is what the button of a row does."""

    def __init__(
        self, is_open: Callable[[str], bool], press: Callable[[str], object], *, on_servers: bool = False
    ) -> None:
        """Draw it, empty, into the element that is open now; with a column for where each is, if they are `on_servers`."""
        self._on_servers = on_servers
        self._is_open = is_open
        self._press = press
        self._order, self._is_turned = STUCK, False
        self._wanted, self._only_stuck = "", False
        self._seen = Seen()
        self._rows: dict[str, _Row] = {}
        self._heads: dict[str, ui.element] = {}
        with ui.element("div").classes("rows"), ui.element("table").props('aria-label="Students"'):
            with ui.element("thead"), ui.element("tr"):
                for heading in _ORDERS:
                    with ui.element("th").props('scope="col"') as self._heads[heading]:
                        button(heading, lambda heading=heading: self._sort(heading))
                for heading in (*(["Server"] if on_servers else []), "Page", ""):
                    words("th", heading).props('scope="col"')
            self._body = ui.element("tbody")
        self._mark_order()

    def show(self, seen: Seen) -> None:
        """Show what is known now."""
        self._seen = seen
        if seen.lab is None:
            return
        if list(self._rows) != [row.student for row in seen.rows]:
            self._body.clear()
            with self._body:
                self._rows = {row.student: _Row(row, self._press, on_servers=self._on_servers) for row in seen.rows}
        for row in seen.rows:
            self._rows[row.student].show(row, seen.lab, is_open=self._is_open(row.student))
        self._arrange()

    def filter(self, text: str, *, only_stuck: bool) -> str:
        """Show only rows with that text in the id or the name, and only who is stuck if wanted; how many there are, in words."""
        self._wanted, self._only_stuck = text.strip().lower(), only_stuck
        self._arrange()
        return many(sum(map(self._is_wanted, self._seen.rows)), "student")

    def _sort(self, heading: str) -> None:
        self._is_turned = heading == self._order and not self._is_turned
        self._order = heading
        self._mark_order()
        self._arrange()

    def _mark_order(self) -> None:
        for heading, head in self._heads.items():
            head.props(remove="aria-sort")
            if heading == self._order:
                head.props(f'aria-sort="{"descending" if self._is_turned else "ascending"}"')

    def _arrange(self) -> None:
        key: Callable[[Row], object] = _ORDERS[self._order]
        in_order = sorted(self._seen.rows, key=key, reverse=self._is_turned)  # type: ignore[arg-type]  # each has one kind
        elements = [self._rows[row.student].at for row in in_order]
        if self._body.default_slot.children != elements:
            self._body.default_slot.children[:] = elements
            self._body.update()
        for row in in_order:
            self._rows[row.student].at.set_visibility(self._is_wanted(row))

    def _is_wanted(self, row: Row) -> bool:
        return self._wanted in f"{row.student} {row.name}".lower() and not (self._only_stuck and not row.stuck)


class _Row:
    """One student."""

    def __init__(self, row: Row, press: Callable[[str], object], *, on_servers: bool) -> None:
        self._drawn: tuple[Lab, Mapping[str, str]] | None = None
        with ui.element("tr") as self.at:
            with ui.element("th").props('scope="row"'):
                ui.link(row.student, f"/student/{row.student}")
                self._name = words("span", row.name).classes("note")
            self._state = words("td", "")
            self._steps = ui.html("", tag="td", sanitize=False)  # the template escapes
            self._stuck, self._hints, self._drills = (words("td", "") for _ in range(3))
            self._active, self._checked = (words("td", "") for _ in range(2))
            self._server = words("td", "") if on_servers else None
            self._page = words("td", "")
            with ui.element("td"):
                button("Nudge", lambda: press(row.student), f"Send a nudge to {row.student}")

    def show(self, row: Row, lab: Lab, *, is_open: bool) -> None:
        """Show what is known of the student; an element whose text stays is left alone."""
        self._name.set_text(row.name)
        self._state.set_text(STATES[row.state])
        if self._drawn is None or self._drawn[0] is not lab or self._drawn[1] != row.marks or row.note:
            self._drawn = lab, row.marks
            self._steps.set_content(strip(row, lab))
        self._stuck.set_text(f"{row.stuck} for {_ago(row.since)}" if row.stuck else "")
        self._hints.set_text(str(row.hints or ""))
        self._drills.set_text(row_words.drills(row))
        self._active.set_text(_ago(row.active))
        self._checked.set_text(_ago(row.checked))
        if self._server:
            self._server.set_text("; ".join([row_words.server(row), *row_words.lost(row)]))
        self._page.set_text("open" if is_open else "")
        self.at.classes(replace="stuck" if row.stuck else "")


def strip(row: Row, lab: Lab) -> str:
    """The signs of a student's steps as HTML, or the sentence why there are none. What comes from elsewhere is text in it."""
    is_here = row.state not in ("missing", "elsewhere")
    groups = [list(under) for _, under in groupby(lab.steps.values(), lambda step: step.heading)] if is_here else []
    return _TEMPLATES.get_template("strip.html.j2").render(
        row=row,
        groups=groups,
        counts=row_words.counts(row),
        words=row_words.WORDS,
        signs=row_words.SIGNS,
        unknown=row_words.UNKNOWN,
    )


def _ago(moment: int | None) -> str:
    """How long ago that is, in minutes at least: a table whose seconds run cannot be read."""
    return row_words.ago(min(moment, int(time.time()) - _MINUTE) if moment else None)


_TEMPLATES = jinja2.Environment(loader=jinja2.PackageLoader("labenv.web.class_", "."), autoescape=True)
