"""Reports to keep or pass on: the results as JUnit XML, as one HTML page, as Markdown.

What a machine or a student said is always data in them, never markup.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from labenv import __version__
from labenv.checks.results import Report
from labenv.environment import Environment
from labenv.lab.model import Lab
from labenv.sheet import guide, progress
from labenv.sheet.guide import Asked, Next
from labenv.sheet.progress import Heading

_TEMPLATES = Path(__file__).parent / "templates"
# Characters that XML 1.0 does not allow (section 2.2, Char), and that no reader of a page or a file wants.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Paper:
    """The content of a report: the results, whose they are, which hints were asked for, and the time."""

    report: Report
    lab: Lab
    environment: Environment
    asked: tuple[Asked, ...]
    time: datetime
    version: str = __version__

    @cached_property
    def headings(self) -> list[Heading]:
        """The steps by the headings of the sheet."""
        return progress.headings(self.report, self.lab)

    @property
    def counted(self) -> str:
        """How many steps pass, fail, wait and so on."""
        return progress.counted(self.headings)

    @property
    def next(self) -> Next:
        """What to do next."""
        return guide.next_step(self.report, self.lab)

    @property
    def stamp(self) -> str:
        """The time, in UTC, as ISO 8601."""
        return self.time.astimezone(UTC).isoformat(timespec="seconds")

    def asked_about(self, step: str) -> list[Asked]:
        """The hints that were asked for at a step."""
        return [ask for ask in self.asked if ask.step == step]


def junit(paper: Paper) -> str:
    """The report as JUnit XML."""
    from labenv.reports.cases import xml

    return printable(xml(paper))


def html(paper: Paper) -> str:
    """The report as one self-contained HTML page."""
    return _rendered("report.html.j2", paper)


def markdown(paper: Paper) -> str:
    """The report as Markdown."""
    return _rendered("report.md.j2", paper)


KINDS: dict[str, Callable[[Paper], str]] = {"junit": junit, "html": html, "markdown": markdown}


def printable(text: str) -> str:
    """The text, with U+FFFD in place of each character that cannot be shown."""
    return _UNPRINTABLE.sub("\ufffd", text)


def as_text(text: str) -> str:
    """Text in which Markdown sees no markup (CommonMark, backslash escapes), on one line, as a table cell needs."""
    return re.sub(r"([\\`*_\[\]<>#|~&$])", r"\\\1", " ".join(text.split()))


def _rendered(template: str, paper: Paper) -> str:
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["text"] = as_text
    page = templates.get_template(template)
    return printable(page.render(paper=paper, symbols=progress.SYMBOLS, words=progress.WORDS, levels=guide.SAID))
