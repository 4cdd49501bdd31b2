"""Who an environment may be made for: names are untrusted input."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labenv.errors import UsageError
from labenv.student import Student, check_first, check_id, check_x, derive_first, derive_x, new_password

REFUSED = {
    "": "is empty",
    "ASmith": "upper-case",
    "André": "outside ASCII",
    "аsmith": "outside ASCII",  # the first letter is Cyrillic
    "a" * 33: "33 characters",
    "a smith": "contains ' '",
    "a.smith": "contains '.'",
    "a_smith": "contains '_'",
    "asmith\n": "contains '\\n'",
    "$(reboot)": "contains '$'",
    "a;rm": "contains ';'",
    "`id`": "contains '`'",
    "{{7*7}}": "contains '{'",
    "{%raw%}": "contains '{'",
    "a\tIN\tMX": "contains '\\t'",
    "@": "contains '@'",
    "a@b": "contains '@'",
    "../etc": "contains '.'",
    "*": "contains '*'",
    "-asmith": "does not start with a letter",
    "1smith": "does not start with a letter",
    "asmith-": "ends with a hyphen",
    "root": "reserved",
    "postfix": "reserved",
    "named": "reserved",
}


@pytest.mark.parametrize("text", REFUSED, ids=ascii)
def test_an_id_that_is_no_dns_label_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(UsageError) as error:
        check_id(text)
    assert REFUSED[text] in str(error.value)
    assert error.value.exit_code == 2
    assert str(error.value).isascii(), "a foreign character must not reach the terminal raw"


@pytest.mark.parametrize("text", ["a", "asmith15", "a-b", "x" * 32])
def test_a_dns_label_is_taken_as_it_is(text: str) -> None:
    assert check_id(text) == text


@given(st.text(max_size=40))
def test_whatever_passes_is_safe_in_zones_shells_and_maps(text: str) -> None:
    try:
        passed = check_id(text)
    except UsageError:
        return
    assert set(passed) <= set(string.ascii_lowercase + string.digits + "-")
    assert passed[0].isalpha()


def test_the_first_name_must_differ_from_the_id() -> None:
    with pytest.raises(UsageError, match="the same as the student id"):
        check_first("asmith15", "asmith15")


@pytest.mark.parametrize("x", [-1, 256, 1000])
def test_x_outside_an_octet_is_refused(x: int) -> None:
    with pytest.raises(UsageError, match="outside 0-255"):
        check_x(x)


@given(st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True))
def test_derived_values_are_stable_and_valid(student_id: str) -> None:
    assert derive_x(student_id) == derive_x(student_id)
    assert 2 <= derive_x(student_id) <= 251
    assert check_first(derive_first(student_id), student_id)


def test_the_network_follows_from_x() -> None:
    student = Student("asmith15", 90, "anna", "secret")
    assert (student.domain, str(student.network), student.prefix) == ("asmith15.ops", "192.168.90.0/24", "192.168.90")


def test_passwords_differ_and_have_no_look_alikes() -> None:
    passwords = {new_password() for _ in range(50)}
    assert len(passwords) == 50
    assert not set("".join(passwords)) & set("l0o1")
