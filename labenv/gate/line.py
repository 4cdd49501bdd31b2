"""A line that a person types, byte by byte as a terminal sends it: the menu has no terminal of its own that would do this."""

import codecs
import unicodedata

from labenv.text import clean

LONGEST = 1500  # characters: a public key fits
_NEW_LINE = b"\r\n"
_ESCAPE = 0x1B


class Line:
    """One line after the other. With `echo`, `feed` says what the terminal shall show of it."""

    def __init__(self, *, echo: bool) -> None:
        self._echo = echo
        self._text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._escape = 0  # 1: after ESC; 2: in a control sequence, until its last byte (ECMA-48, 5.4)
        self._after_return = False

    def feed(self, byte: int) -> tuple[bytes, str | None]:
        """Take one byte; returns what to show, and the line once it is complete.

        Ctrl-C gives an empty line. Raises EOFError for Ctrl-D on an empty one.
        """
        line_feed_of_return = self._after_return and byte == 0x0A
        self._after_return = byte == 0x0D
        if line_feed_of_return or self._in_escape(byte):
            return b"", None
        if byte in (0x0D, 0x0A, 0x03):  # Enter, or Ctrl-C
            line, self._text = ("" if byte == 0x03 else self._text), ""
            self._decoder.reset()
            return self._shown((b"^C" if byte == 0x03 else b"") + _NEW_LINE), line
        return self._edit(byte), None

    def _edit(self, byte: int) -> bytes:
        match byte:
            case 0x04 if not self._text:
                raise EOFError
            case 0x7F | 0x08:
                return self._without(self._text[-1:])
            case 0x15:  # Ctrl-U
                return self._without(self._text)
            case 0x17:  # Ctrl-W
                kept, blank, _ = self._text.rstrip().rpartition(" ")
                return self._without(self._text[len(kept + blank) :])
            case _ if byte < 0x20:
                return b""
        return self._add(self._decoder.decode(bytes([byte])))

    def _add(self, typed: str) -> bytes:
        typed = "".join(sign for sign in typed if clean(sign) == sign)[: LONGEST - len(self._text)]
        self._text += typed
        return self._shown(typed.encode())

    def _without(self, end: str) -> bytes:
        self._text = self._text[: len(self._text) - len(end)]
        wide = sum(map(_columns, end))
        return self._shown(b"\b" * wide + b" " * wide + b"\b" * wide)

    def _shown(self, data: bytes) -> bytes:
        return data if self._echo else b""

    def _in_escape(self, byte: int) -> bool:
        """Whether the byte belongs to what a key such as an arrow sends, which means nothing here."""
        if byte == _ESCAPE:
            self._escape = 1
            return True
        if self._escape == 1:
            self._escape = 2 if byte in b"[O" else 0
            return True
        if self._escape == 2:
            self._escape = 0 if 0x40 <= byte <= 0x7E else 2
            return True
        return False


def _columns(sign: str) -> int:
    if unicodedata.combining(sign):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
