"""Lines and tables in the width of a terminal: no line is longer, no word is broken, nothing is lost."""

import io
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labenv.cli import fold, output

WORDS = st.lists(st.text("abc-./:@1\u4e2d", min_size=1, max_size=30), max_size=12)


@given(WORDS, st.integers(20, 80), st.integers(0, 10))
def test_a_folded_line_has_the_same_words_and_fits(words: list[str], columns: int, margin: int) -> None:
    lines = fold.fold(" " * margin + " ".join(words), columns)
    assert " ".join(lines).split() == words
    for line in lines:
        assert fold.size(line) <= columns or len(line.split()) == 1


def test_what_follows_stands_below_the_last_column() -> None:
    assert fold.fold("network  192.168.1.0/24: host 192.168.1.1, vm2 192.168.1.3", 40) == [
        "network  192.168.1.0/24: host",
        "         192.168.1.1, vm2 192.168.1.3",
    ]
    assert fold.fold("  a fault in a file", 12) == ["  a fault in", "  a file"]


def test_what_follows_a_sign_or_a_number_stands_beside_it() -> None:
    assert fold.fold("✓ disk: 63 GiB are free", 18) == ["✓ disk: 63 GiB are", "  free"]
    assert fold.fold("- On vm2, ssl is yes", 12) == ["- On vm2,", "  ssl is yes"]
    assert fold.fold("1. The server says no", 14) == ["1. The server", "   says no"]


def test_a_margin_gives_way_to_a_long_word() -> None:
    word = "message-id=<20261129164644@vm2>"
    assert fold.fold(" " * 16 + word, 40) == [" " * 9 + word]
    assert fold.fold("\x1b[2m" + " " * 16 + word + "\x1b[0m", 40) == ["\x1b[2m" + " " * 9 + word + "\x1b[0m"]
    assert fold.fold("    " + "x" * 50, 40) == ["x" * 50]


def test_colours_take_no_place() -> None:
    assert fold.fold("\x1b[1mone two\x1b[0m three", 13) == ["\x1b[1mone two\x1b[0m three"]


ROWS = [
    ["time", "machine", "file", "by"],
    ["2026-11-29 16:30:00", "vm2", "/etc/sysconfig/network-scripts/ifcfg-eth0", "labenv solve relay"],
    ["2026-11-29 16:31:00", "vm3", "/etc/postfix/main.cf", ""],
]


def lines(columns: int | None) -> Iterator[str]:
    return (line for row in fold.table(ROWS, columns) for line in row)


@pytest.mark.parametrize("columns", [40, 50, 60, 70, 80, 90, 100, 200, None])
def test_a_table_fits_and_breaks_no_word(columns: int | None) -> None:
    shown = list(lines(columns))
    words = [word for row in ROWS for cell in row for word in cell.split()]
    assert sorted(" ".join(shown).split()) == sorted(words)
    assert all(len(line) <= (columns or 200) for line in shown if len(line.split()) > 1)


def test_cells_with_several_words_are_folded_before_the_row_is() -> None:
    assert list(lines(90))[1:3] == [
        "2026-11-29 16:30:00  vm2      /etc/sysconfig/network-scripts/ifcfg-eth0  labenv solve",
        "                                                                         relay",
    ]
    assert list(lines(60))[3:] == [
        "2026-11-29 16:30:00  vm2",
        "    /etc/sysconfig/network-scripts/ifcfg-eth0",
        "    labenv solve relay",
        "2026-11-29 16:31:00  vm3",
        "    /etc/postfix/main.cf",
    ]


class Terminal(io.BytesIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "pieces",
    [
        ["one two three four five six seven eight nine ten\n"],
        ["one two three four five six ", "seven eight nine ten", "\n"],
    ],
)
def test_a_terminal_folds_and_a_file_does_not(monkeypatch: pytest.MonkeyPatch, pieces: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for raw, expected in (
        (Terminal(), "one two three four five six seven eight\nnine ten\n"),
        (io.BytesIO(), "".join(pieces)),
    ):
        given = io.TextIOWrapper(raw, "utf-8")
        stream = output._fit(given, plain=False)
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        assert raw.getvalue().decode() == expected


def test_whatever_moves_the_cursor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    raw = Terminal()
    given = io.TextIOWrapper(raw, "utf-8")
    stream = output._fit(given, plain=False)
    drawn = "\x1b[2K" + "bar " * 20
    stream.write(drawn)
    stream.flush()
    assert raw.getvalue().decode() == drawn
    assert not re.search(r"\n", drawn)
