"""Text from elsewhere: what a machine, an archive or another program says, fit to be shown anywhere.

Whoever is root in a machine can put anything into a file or an answer. An escape sequence would move a terminal's cursor or
change its title, and a control for the direction of writing shows a line in another order than it is read (CVE-2021-42574). So
each such character is replaced where text comes in, by the escape that stands for it in Python and JSON.
"""

import re

# Cc but tab and line end, among them a carriage return unless it ends a line; the controls of bidirectional text
# (Unicode Standard Annex 9), invisible spaces and marks, and what XML does not allow.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
    "|\r(?!\n|$)"
)


def clean(text: str, *, keep: str = "") -> str:
    """The text with an escape such as `\\x1b` or `\\u202e` in place of each control character that is not in `keep`."""
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def decoded(data: bytes, *, keep: str = "") -> str:
    """Bytes as text, clean; U+FFFD stands for what is not UTF-8."""
    return clean(data.decode(errors="replace"), keep=keep)


def one_line(text: str) -> str:
    """The text, clean and on one line."""
    return clean(re.sub(r"[\r\n\t]+", " ", text))


def many(count: int, thing: str) -> str:
    """So many of a thing, in words: "1 step", "2 steps"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def number(points: float) -> str:
    """Points as a person writes them: two digits behind the dot at most."""
    return f"{round(points, 2):g}"


def cell(text: str) -> str:
    """The text as a cell of a CSV file, with an apostrophe before what a spreadsheet would take for a formula.

    Some spreadsheets also begin a cell after a semicolon, and read full-width signs (OWASP, "CSV Injection").
    """
    return re.sub(r"(^\s*|[;,\t]\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])", r"\1'", text)


def shown(value: object) -> str:
    """A name from elsewhere in ASCII, cut after 80 characters, for a sentence that names what is wrong with it."""
    return ascii(str(value)[:80])[1:-1]


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
