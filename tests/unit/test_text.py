"""Text from elsewhere is text: nothing in it moves a cursor, changes the direction of writing, or breaks a document."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labenv.text import cell, clean, decoded, one_line


def test_an_escape_is_shown_as_what_it_is() -> None:
    assert clean("\x1b]0;owned\x07 \u202egnp.exe \x9b2J") == "\\x1b]0;owned\\x07 \\u202egnp.exe \\x9b2J"


def test_letters_of_any_script_tabs_and_line_ends_stay() -> None:
    text = "für \tעברית العربية 日本 👩\u200d💻\r\nnext\n"
    assert clean(text) == text


def test_a_carriage_return_cannot_hide_what_stands_before_it() -> None:
    assert clean("wrong\rright") == "wrong\\x0dright"


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert decoded(b"a\xff\x00b") == "a\ufffd\\x00b"
    assert decoded(b"a\0b", keep="\0") == "a\0b"


@given(st.text())
def test_no_control_and_no_change_of_direction_is_left(text: str) -> None:
    cleaned = clean(text)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]", cleaned)
    assert {c for c in cleaned if unicodedata.category(c) == "Cc"} <= {"\t", "\n", "\r"}
    assert not {"\t", "\n", "\r"} & set(one_line(text))
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("  =1", "  '=1"),
        ("x;=cmd|'/C calc'!A0;y", "x;'=cmd|'/C calc'!A0;y"),
        ("a, -b", "a, '-b"),
        ("\uff1dSUM(1)", "'\uff1dSUM(1)"),
        ("a-b = c", "a-b = c"),
    ],
)
def test_no_cell_of_a_table_is_a_formula_whatever_separates_cells(text: str, expected: str) -> None:
    assert cell(text) == expected
