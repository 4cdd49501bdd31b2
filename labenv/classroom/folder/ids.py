"""Ids for the students of a roster: what is given becomes a DNS label that is also a login, the same whatever order the rows have."""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from labenv import student
from labenv.errors import UsageError

_LONGEST = 32  # a login name (useradd(8)), as `student.check_id` has it
_ROUGH = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"})


def ids(given: Iterable[str]) -> dict[str, str]:
    """The id of each of several different texts.

    One that is an id already keeps it. Where others come to the same id, each gets a short hash of what was given, so that no
    student's id depends on which row is first.
    """
    wanted = {text: _label(text) for text in given}
    sharing: dict[str, list[str]] = defaultdict(list)
    for text, label in wanted.items():
        sharing[label].append(text)
    found = {text: label for text, label in wanted.items() if text == label or len(sharing[label]) == 1}
    for text in wanted.keys() - found.keys():
        digits = 6
        while (tried := _with_hash(wanted[text], text, digits)) in wanted or tried in sharing:
            digits += 1
        found[text] = tried
    return found


def _label(given: str) -> str:
    """An id like the text: lower-case letters without accents, digits, hyphens; "s" goes before a number or a reserved name."""
    plain = unicodedata.normalize("NFKD", given.casefold().translate(_ROUGH))
    words = "-".join(re.findall("[a-z0-9]+", "".join(c for c in plain if not unicodedata.combining(c))))
    if not words:  # another alphabet
        return _with_hash("s", given, 8)
    label = words if words[0].isalpha() else f"s{words}"
    if len(label) > _LONGEST:
        return _with_hash(label, given, 6)
    try:
        return student.check_id(label)
    except UsageError:  # reserved
        return f"s-{label}"


def _with_hash(label: str, given: str, digits: int) -> str:
    ending = f"-{hashlib.sha256(given.encode()).hexdigest()[:digits]}"
    return label[: _LONGEST - len(ending)].rstrip("-") + ending
