"""Lines and tables that fit the width of a terminal: folded between words, so that no address, path or name is broken.

A word that is longer than a line stays whole, on a line of its own. Where no terminal is, nothing is folded: a pipe has no
width, and grep needs whole lines.
"""

import re
import shutil
import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import TextIO

GLUE = "\N{NO-BREAK SPACE}"  # in a cell: a space at which it is not folded
_NARROWEST = 40  # a terminal that says less probably does not know
_LEAST = 10  # what a column of a table keeps at least, before the table is folded instead
_GAP = 2
_INDENT = 4
# The space in a time and before a unit.
_TOGETHER = re.compile(r"(?<=\d) (?=\d\d:\d\d|[kMG]i?B\b|m?s\b|min\b)")
# Colours and links (ECMA-48, SGR; OSC 8) take no place.
_UNSEEN = re.compile(r"\x1b\[[0-9;:]*m|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)")


def width(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal that a stream (default: stdout) shows its text on; None if it is no terminal."""
    if not (stream or sys.stdout).isatty():
        return None
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def size(text: str) -> int:
    """How many columns a line takes on a terminal."""
    text = _UNSEEN.sub("", text) if "\x1b" in text else text
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # rarely needed, and it takes a while to load

    return cell_len(text)


def fold(line: str, columns: int, *, begin: int = 0, hang: int | None = None) -> list[str]:
    """A line as lines of at most so many columns, divided between words.

    The first one begins at column `begin`, the others are indented by `hang`: by default as the line itself is, or as what stands
    in its last column, if it looks like the row of a table.
    """
    if begin + size(line) <= columns:
        return [line]
    hang = _hang(line, columns) if hang is None else hang
    lines, at, here = [""], begin, ""
    for word in re.findall(r" +|[^ ]+", line):
        if word.isspace():
            here = word
            continue
        wide = size(word)
        is_first = not _UNSEEN.sub("", lines[-1]).strip() and not begin
        if at + len(here) + wide <= columns:
            lines[-1] += here + word
            at += len(here) + wide
        elif is_first:  # a margin that leaves too little room gives way
            margin = max(0, columns - wide)
            lines[-1] += " " * min(margin, len(here)) + word
            at = min(margin, len(here)) + wide
        else:
            margin = min(hang, max(0, columns - wide))
            lines.append(" " * margin + word)
            at = margin + wide
        here = ""
    return lines


def _hang(line: str, columns: int) -> int:
    seen = _UNSEEN.sub("", line)
    gaps = [found.end() for found in re.finditer(r"^ *(?:[✓✗!·+*-]|\d+\.) +|^ +|(?<=\S) {2,}", seen)]
    return max((gap for gap in gaps if gap <= columns // 2), default=0)


def table(rows: Sequence[Sequence[str]], columns: int | None) -> list[list[str]]:
    """The lines of each row of cells (the first may be a heading), of at most so many columns.

    If they do not fit, first the cells with several words are folded; if that is not enough, the last columns of each row stand on
    lines of their own, indented.
    """
    count = max(map(len, rows), default=0)
    cells = [[_TOGETHER.sub(GLUE, cell) for cell in [*row, *[""] * (count - len(row))]] for row in rows]
    wide = [max((size(row[at]) for row in cells), default=0) for at in range(count)]
    if columns is None or sum(wide) + _GAP * (count - 1) <= columns:
        return [[_joined(row, wide)] for row in cells]
    least = [max((size(word) for row in cells for word in row[at].split(" ")), default=0) for at in range(count)]
    least = [min(full, max(word, _LEAST)) for full, word in zip(wide, least, strict=True)]
    if sum(least) + _GAP * (count - 1) <= columns:
        while sum(wide) + _GAP * (count - 1) > columns:
            at = max(range(count), key=lambda place: (wide[place] > least[place], wide[place]))
            wide[at] -= 1
        return [_wrapped(row, wide) for row in cells]
    groups = _grouped(wide, columns)
    return [_below_each_other(row, wide, groups, columns) for row in cells]


def _wrapped(row: Sequence[str], wide: Sequence[int]) -> list[str]:
    folded = [fold(cell, at, hang=0) for cell, at in zip(row, wide, strict=True)]
    return [_joined(parts, wide) for parts in zip_longest(*folded, fillvalue="")]


def _grouped(wide: Sequence[int], columns: int) -> list[list[int]]:
    """The places of the cells that stand on each line of a row."""
    groups: list[list[int]] = [[]]
    for place in range(len(wide)):
        taken = sum(wide[at] + _GAP for at in groups[-1]) + (_INDENT if len(groups) > 1 else 0)
        if groups[-1] and taken + wide[place] > columns:
            groups.append([])
        groups[-1].append(place)
    return groups


def _below_each_other(row: Sequence[str], wide: Sequence[int], groups: list[list[int]], columns: int) -> list[str]:
    lines = []
    for number, group in enumerate(groups):
        if number and not any(row[at] for at in group):
            continue
        indent = _INDENT if number else 0
        line = " " * indent + _joined([row[at] for at in group], [wide[at] for at in group])
        lines += fold(line, columns, hang=indent)
    return lines


def _joined(row: Sequence[str], wide: Sequence[int]) -> str:
    line = (" " * _GAP).join(cell + " " * (full - size(cell)) for cell, full in zip(row, wide, strict=True))
    return line.rstrip().replace(GLUE, " ")
