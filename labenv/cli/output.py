"""What labenv prints, fit for who reads it: a screen reader (`--plain`), or a terminal that is not UTF-8.

Everything goes through sys.stdout and sys.stderr, and these become words here, at one place.
"""

import codecs
import os
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import BinaryIO, TextIO

# labenv's own signs, and what stands for them. A test finds a sign in labenv's sentences that is missing here.
WORDS = {"✓": "ok", "✗": "failed", "→": "to", "≤": "at most", "…": "...", "·": "-", "“": '"', "”": '"', "\u2019": "'"}
# And those of a machine, a mail or a person, where the output cannot carry them.
_ASCII = {**WORDS, "\u2018": "'", "\u2013": "-", "\u2014": "-", "•": "*"}
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
    return _fit(TextIOWrapper(buffer, sys.stdout.encoding, sys.stdout.errors), plain=False)


class _Words(TextIOWrapper):
    """A stream that writes words for signs, and that nothing is drawn on."""

    def __init__(self, stream: TextIOWrapper, plain: bool) -> None:
        self.plain = plain
        self._ascii = codecs.lookup(stream.encoding).name == "ascii"
        # Typer goes around a stream that says that it is ASCII.
        encoding = "utf-8" if self._ascii else stream.encoding
        super().__init__(
            stream.buffer, encoding, "labenv", line_buffering=stream.line_buffering, write_through=stream.write_through
        )

    def write(self, text: str) -> int:
        size = len(text)
        if self.plain:
            text = text.translate(_TABLE)
        super().write(text.encode("ascii", "labenv").decode() if self._ascii else text)
        return size

    def isatty(self) -> bool:
        return super().isatty() and not self.plain


_TABLE = str.maketrans(WORDS)


def _fit(stream: TextIO, plain: bool) -> TextIO:
    if not isinstance(stream, TextIOWrapper):
        return stream
    # A terminal without cursor movements, such as a shell in Emacs, gets nothing drawn on either.
    plain = plain or (os.environ.get("TERM") == "dumb" and stream.isatty())
    if plain or codecs.lookup(stream.encoding).name == "ascii":
        return _Words(stream, plain)
    stream.reconfigure(errors="labenv")
    return stream


def _worded(error: UnicodeError) -> tuple[str, int]:
    """An error handler for output: words or signs that every encoding has (codecs.register_error); "?" for the rest."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ASCII.get(one, "?") for one in error.object[error.start : error.end]), error.end
