"""The sheet of one-time passwords: one slip a student, to cut up and hand out."""

import csv
import html as markup
import io
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from labenv.text import cell, one_line

_WIDE = 72
_RULE = "Each password is good for one login. Cross out the one that you used."
_STYLE = """\
body { font: 11pt/1.4 sans-serif; margin: 1cm; }
section { border-bottom: 1px dashed #888; padding: .6cm 0; break-inside: avoid; }
h2 { font-size: 12pt; margin: 0 0 .2cm; }
p { margin: 0 0 .2cm; }
ol { font-family: monospace; columns: 2; list-style: none; margin: 0; padding: 0; }
"""


@dataclass(frozen=True)
class Slip:
    """What one student gets: id, name and e-mail address as the roster has them, passwords."""

    student: str
    name: str
    passwords: tuple[str, ...]
    email: str = ""


@dataclass(frozen=True)
class Where:
    """The name of the class, where its gate is, and the fingerprint of its host key, which clients ask about at the first login.

    `page` is the address of its page, "" if that is not known.
    """

    course: str
    server: str
    port: int
    fingerprint: str
    page: str = ""

    def command(self, student: str) -> str:
        """How a student logs in."""
        return f"ssh -p {self.port} {student}@{self.server}"

    def link(self, slip: Slip) -> str:
        """How a student signs in to the page: what stands behind the "#" is not sent to a server, and fills the form there."""
        return f"{self.page}/sign-in#{urlencode({'student': slip.student, 'password': slip.passwords[0]})}"


def text(slips: Sequence[Slip], where: Where) -> str:
    """The sheet as plain text; empty if there is no slip."""
    return "".join(_slip(slip, where) for slip in slips)


def links(slips: Sequence[Slip], where: Where) -> str:
    """A table in CSV with a link for each student, for letters of a series; each uses up the student's first password."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(("student", "name", "email", "link"))
    table.writerows((slip.student, cell(slip.name), cell(slip.email), where.link(slip)) for slip in slips)
    return out.getvalue()


def _slip(slip: Slip, where: Where) -> str:
    rows = [slip.passwords[at : at + 3] for at in range(0, len(slip.passwords), 3)]
    lines = [
        one_line(f"{where.course}: {slip.name or slip.student}"),
        f"  {where.command(slip.student)}",
        *([f"  In a browser: {where.page}"] if where.page else []),
        f"  The server's key: {where.fingerprint}",
        f"  {_RULE}",
        *(f"    {'   '.join(row)}" for row in rows),
        "- " * (_WIDE // 2),
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def html(slips: Sequence[Slip], where: Where) -> str:
    """The sheet as a page to print; what comes from the roster is escaped."""

    def said(words: str) -> str:
        return markup.escape(one_line(words))

    body = "".join(
        f"<section><h2>{said(where.course)}: {said(slip.name or slip.student)}</h2>"
        f"<p><code>{said(where.command(slip.student))}</code></p>"
        f"{f'<p>In a browser: <code>{said(where.page)}</code></p>' if where.page else ''}"
        f"<p>The server's key: <code>{said(where.fingerprint)}</code></p><p>{_RULE}</p>"
        f"<ol>{''.join(f'<li>{said(word)}</li>' for word in slip.passwords)}</ol></section>\n"
        for slip in slips
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{said(where.course)}: passwords</title>'
        f"<style>\n{_STYLE}</style></head><body>\n{body}</body></html>\n"
    )
