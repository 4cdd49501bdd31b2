"""Which parts of a log book are the student's own, however they wrote them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labenv.lab import labs
from labenv.sheet import logbook
from labenv.student import Student

BLANK = logbook.blank(labs.load("lab4b"), Student("asmith15", 90, "anna", "secret99"))
TITLES = ["INVESTIGATION 1", "INVESTIGATION 2", "INVESTIGATION 3", "EXPLORATION QUESTIONS"]


def empty(text: str) -> dict[str, tuple[str, ...]]:
    return {section.title: section.empty for section in logbook.sections(text, BLANK)}


def filled(text: str = BLANK) -> str:
    """The book with text in each of its parts."""
    lines = []
    for line in text.splitlines():
        lines.append(f"{line} postconf -n" if line == "- Commands that worked:" else line)
        if line.startswith("### ") and line != "### What I did":
            lines += ["", "Because of the settings."]
    return "\n".join(lines)


def test_the_blank_book_is_empty_in_every_part() -> None:
    found = logbook.sections(BLANK, BLANK)
    assert [section.title for section in found] == TITLES
    assert [len(section.empty) for section in found] == [4, 2, 2, 7]
    assert logbook.own_words(found) == ""


def test_a_book_with_something_everywhere_is_filled() -> None:
    assert empty(filled()) == dict.fromkeys(TITLES, ())


def test_when_and_where_alone_fill_nothing() -> None:
    text = (
        BLANK.replace("- Date:", "- Date: 2026-11-22")
        .replace("- Machine:", "- Machine: vm3")
        .replace("- Step:", "- Step: 9")
    )
    assert empty(text) == empty(BLANK)


@pytest.mark.parametrize("nothing", ["...", "---", "<!-- later -->", "**", "```\n```"])
def test_marks_without_a_word_fill_nothing(nothing: str) -> None:
    text = BLANK.replace(
        "### 3. What is the package Dovecot for?", f"### 3. What is the package Dovecot for?\n\n{nothing}\n"
    )
    assert empty(text) == empty(BLANK)


def test_one_answer_fills_one_part() -> None:
    heading = "### 3. What is the package Dovecot for?"
    left = empty(BLANK.replace(heading, f"{heading}\n\nIMAP."))["EXPLORATION QUESTIONS"]
    assert len(left) == 6
    assert heading[4:] not in left


def test_commands_in_a_fence_count_and_their_hash_signs_are_no_headings() -> None:
    text = BLANK.replace("- Observations:", "- Observations:\n```\n# INVESTIGATION 3\ndate\n```", 1)
    found = logbook.sections(text, BLANK)
    assert found[0].parts[0].own == ["# INVESTIGATION 3", "date"]
    assert "What I did" not in found[0].empty


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## ", "# "),
        ("### ", "#### "),
        ("- ", "* "),
        ("\n", "\r\n"),
        ("## INVESTIGATION 1", "**Investigation 1**"),
        ("- Commands that worked:", "- **Commands that worked**:"),
    ],
)
def test_a_book_that_was_marked_up_anew_is_read_as_before(old: str, new: str) -> None:
    assert empty(filled().replace(old, new)) == dict.fromkeys(TITLES, ())
    assert empty(BLANK.replace(old, new)) == empty(BLANK)


def test_prose_without_our_sub_headings_counts() -> None:
    text = "## INVESTIGATION 2\n\nI set myorigin and relayhost, and root's mail is deferred: Permission denied.\n"
    assert empty(text)["INVESTIGATION 2"] == ()
    assert empty(text)["INVESTIGATION 1"] != ()


def test_text_before_the_first_section_is_nobodys() -> None:
    assert empty("I did it all.\n" + BLANK) == empty(BLANK)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    assert [section.title for section in logbook.sections(text, BLANK)] == TITLES
    assert [section.title for section in logbook.sections(filled() + text, BLANK)] == TITLES


QUESTION = "### 3. What is the package Dovecot for?"


def answered(text: str) -> logbook.Section:
    """The last section, with that text as the answer to one question."""
    return logbook.sections(BLANK.replace(QUESTION, f"{QUESTION}\n\n{text}\n"), BLANK)[-1]


@pytest.mark.parametrize(
    "filler",
    [
        "asdf",
        "asdfasdf ASDF",
        "x x x",
        "x",
        "xxx",
        "TODO",
        "**TBD**",
        "to do",
        "À faire",
        "test test test",
        "blah, blah",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "What is the package Dovecot for?",
        "3. What is the package Dovecot for?",
        "Commands that worked:",
        "Observations",
        "qwerty",
        "zxcv",
        "labenv created this log book for you. Keep the headings and write below them.",
        "TODO\n\nxxx",
    ],
)
def test_filler_is_not_written_yet(filler: str) -> None:
    section = answered(filler)
    assert QUESTION[4:] in section.empty
    assert section.missing.startswith(
        ("EXPLORATION QUESTIONS, '1.", "the log book has nothing under EXPLORATION QUESTIONS")
    )


@pytest.mark.parametrize(
    "answer",
    [
        "IMAP",
        "It serves mail.",
        "HTML",
        "10",
        "10 10",
        "Every 10 minutes",
        "SMTP; POP3",
        "Ça sert le courrier.",
        "Non",
        "n/a",
        "C'est le serveur IMAP, qui lit les Maildir.",
        "Dovecot is the package for IMAP",
        "To do this I ran yum install dovecot",
        "postconf -n",
        "vi /etc/postfix/main.cf",
        "Qui lit le courrier : dovecot",
        "メール",
        "foo@asmith15.ops got it",
        "ls",
        "Lorem ipsum was the text of my test mail.",
        "I typed asdf as a test and it was delivered.",
        "oui",
        "a\nreal answer",
    ],
)
def test_short_answers_are_answers(answer: str) -> None:
    assert QUESTION[4:] not in answered(answer).empty


def test_filler_is_quoted_on_one_line_and_bounded() -> None:
    text = BLANK.replace("### 1. What is Thunderbird for?", "### 1. What is Thunderbird for?\n\n" + "asdf " * 1000)
    assert "it says only 'asdf asdf" in (said := logbook.sections(text, BLANK)[-1].missing)
    assert len(said) < 200
