"""Reports to keep or pass on: the results as JUnit XML, as one HTML page, as Markdown.

What a machine or a student said is always data in them, never markup.
"""

import re
from collections.abc import Callable

from labenv.reports import pages
from labenv.reports.cases import xml
from labenv.reports.paper import Paper
from labenv.sheet import guide, progress
from labenv.text import clean


def junit(paper: Paper) -> str:
    """The report as JUnit XML."""
    return clean(xml(paper))


def html(paper: Paper) -> str:
    """The report as one self-contained HTML page."""
    return _rendered("report.html.j2", paper)


def markdown(paper: Paper) -> str:
    """The report as Markdown."""
    return _rendered("report.md.j2", paper)


KINDS: dict[str, Callable[[Paper], str]] = {"junit": junit, "html": html, "markdown": markdown}


def as_text(text: str) -> str:
    """Text in which Markdown sees no markup (CommonMark, backslash escapes), on one line, as a table cell needs."""
    return re.sub(r"([\\`*_\[\]<>#|~&$])", r"\\\1", " ".join(text.split()))


def _rendered(template: str, paper: Paper) -> str:
    there = pages.templates()
    there.filters["text"] = as_text
    page = there.get_template(template)
    return clean(page.render(paper=paper, symbols=progress.SYMBOLS, words=progress.WORDS, levels=guide.SAID))
