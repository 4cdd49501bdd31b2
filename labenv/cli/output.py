"""What labenv prints, fit for who reads it: a screen reader (`--plain`), a terminal that is not UTF-8, a student at the gate.

Everything goes through sys.stdout and sys.stderr, and these become words here, at one place. In a terminal, lines are folded
there between words.
"""

import codecs
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import BinaryIO, TextIO

from labenv.cli import fold

# labenv's own signs, and what stands for them. A test finds a sign in labenv's sentences that is missing here.
WORDS = {"✓": "ok", "✗": "failed", "→": "to", "≤": "at most", "…": "...", "·": "-", "“": '"', "”": '"', "\u2019": "'"}
# And those of a machine, a mail or a person, where the output cannot carry them.
_ASCII = {**WORDS, "\u2018": "'", "\u2013": "-", "\u2014": "-", "•": "*", "«": '"', "»": '"', "œ": "oe", "\xa0": ""}
_SETTING = "LABENV_PLAIN"
# With these, Rich and others draw even where nobody sees it.
_DRAWING = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


def settle(arguments: Sequence[str]) -> None:
    """Make stdout and stderr of this process fit for its reader, and for an encoding that lacks some characters."""
    codecs.register_error("labenv", _worded)
    plain = is_asked(arguments, os.environ)
    if plain:
        for name in _DRAWING:
            os.environ.pop(name, None)
        os.environ |= {"NO_COLOR": "1", _SETTING: "1"}
    # The caller may have closed them (>&-). In this order each gets its own number again.
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  # they stay open until the end
    sys.stdout = _fit(sys.stdout or open(os.devnull, "w"), plain)  # noqa: SIM115
    sys.stderr = _fit(sys.stderr or open(os.devnull, "w"), plain)  # noqa: SIM115


def is_asked(arguments: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether plain output is wanted: by the option, wherever it stands, or by the environment."""
    mine = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--plain" in mine or environ.get(_SETTING, "") not in ("", "0")


def is_guest() -> bool:
    """Whether a student runs this command through the gate: then nothing is asked that is the server's owner's to answer."""
    return "LABENV_GUEST" in os.environ


def finish() -> None:
    """Say what the marks in the output mean, if there are any."""
    if _Words.has_marks:
        from labenv.gate import marks

        with suppress(OSError):
            print(marks.NOTE, file=sys.stderr)


def sign(symbol: str, word: str) -> str:
    """The symbol, or with plain output the word for it."""
    return word if isinstance(sys.stdout, _Words) and sys.stdout.plain else symbol


def document(text: str) -> None:
    """Print a document: JSON, a report, a log book. In a file or a pipe it is UTF-8, and keeps its signs."""
    if sys.stdout.isatty() or not isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())


def over(buffer: BinaryIO) -> TextIO:
    """A stream that writes to a buffer what stdout would write."""
    is_ascii = isinstance(sys.stdout, _Words) and sys.stdout.is_ascii
    encoding = "ascii" if is_ascii else sys.stdout.encoding
    return _fit(TextIOWrapper(buffer, encoding, sys.stdout.errors), plain=False)


def as_it_is(text: str) -> None:
    """Print text on stdout that would be wrong if it were folded: JSON, a patch, and what is typed into a shell."""
    if isinstance(sys.stdout, _Words):
        sys.stdout.put(text)
    else:
        document(text)


class _Words(TextIOWrapper):
    """A stream that writes words for signs if it is `plain`, and marks for a guest. On a terminal, it folds lines between words."""

    has_marks = False  # on any of the streams

    def __init__(self, stream: TextIOWrapper, plain: bool) -> None:
        self.plain = plain
        self.is_ascii = codecs.lookup(stream.encoding).name == "ascii"
        # Typer goes around a stream that says that it is ASCII.
        encoding = "utf-8" if self.is_ascii else stream.encoding
        super().__init__(
            stream.buffer, encoding, "labenv", line_buffering=stream.line_buffering, write_through=stream.write_through
        )
        self._at = 0  # the column that is written next

    def write(self, text: str) -> int:
        """Write text; the last line may be continued by the next call."""
        text = self._marked(text)
        columns = fold.width(self)
        if columns is None or _DRAWN.search(text):
            self._at = 0
            return self.put(text)
        lines = text.split("\n")
        shown = [
            "\n".join(fold.fold(line, columns, begin=0 if place else self._at)) for place, line in enumerate(lines)
        ]
        last = shown[-1].rpartition("\n")[2]
        self._at = fold.size(last) + (self._at if len(lines) == 1 and "\n" not in shown[-1] else 0)
        self.put("\n".join(shown))
        return len(text)

    def _marked(self, text: str) -> str:
        if not is_guest():
            return text
        from labenv.gate import marks

        made = marks.marked(text)
        _Words.has_marks |= made != text
        return made

    def put(self, text: str) -> int:
        """Write text without folding it."""
        size = len(text)
        if self.plain:
            text = text.translate(_TABLE)
        super().write(text.encode("ascii", "labenv").decode() if self.is_ascii else text)
        return size

    def isatty(self) -> bool:
        return super().isatty() and not self.plain


_TABLE = str.maketrans(WORDS)
# What moves the cursor or erases (ECMA-48): colours do not.
_DRAWN = re.compile(r"\r|\x1b\[[0-9;?]*[A-Za-ln-z]")


def _fit(stream: TextIO, plain: bool) -> TextIO:
    if not isinstance(stream, TextIOWrapper):
        return stream
    # A terminal without cursor movements, such as a shell in Emacs, gets nothing drawn on either.
    plain = plain or (os.environ.get("TERM") == "dumb" and stream.isatty())
    if plain or is_guest() or stream.isatty() or codecs.lookup(stream.encoding).name == "ascii":
        return _Words(stream, plain)
    stream.reconfigure(errors="labenv")
    return stream


def _worded(error: UnicodeError) -> tuple[str, int]:
    """An error handler for output: words or signs that every encoding has (codecs.register_error); "?" for the rest.

    A letter with an accent becomes the letter (the compatibility decomposition of Unicode Standard Annex 15).
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(
        _ASCII[one] if one in _ASCII else _bare(one) for one in error.object[error.start : error.end]
    ), error.end


def _bare(character: str) -> str:
    import unicodedata  # for what an encoding lacks alone

    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"
