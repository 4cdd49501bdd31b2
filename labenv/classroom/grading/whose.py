"""Finds the student whom the name of a hand-in means: by what the roster has of each, the id, the login, the e-mail, the name."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from labenv.classroom.folder import columns
from labenv.classroom.folder.model import Member
from labenv.errors import UsageError
from labenv.text import one_line

_MOST_WORDS = 8  # of a name


class Roster:
    """The members of a class, to be found by a name."""

    def __init__(self, members: Iterable[Member]) -> None:
        """Reads nothing but the members."""
        self._sure: dict[str, set[str]] = defaultdict(set)
        self._names: dict[str, set[str]] = defaultdict(set)
        self._members = {one.id: one for one in members}
        for one in self._members.values():
            for key in _keys(one):
                self._sure[key.casefold()].add(one.id)
            for name in _orders(one.name):
                self._names[name].add(one.id)

    def find(self, keys: Iterable[str]) -> Member | None:
        """The member that the first of the keys names which names one; None if none does. Raises UsageError if several have that name."""
        doubled = ""
        for key in keys:
            for found in (self._sure.get(key.strip().casefold(), set()), self._names.get(_letters(key), set())):
                if len(found) == 1:
                    return self._members[next(iter(found))]
                if found:
                    doubled = doubled or f"{one_line(key)[:60]} is the name of {', '.join(sorted(found))}"
        if doubled:
            raise UsageError(f"{doubled}. Call the file by the id: ID.tar.gz")
        return None


def _keys(one: Member) -> Iterator[str]:
    yield one.id
    for key in (one.given, one.email, one.email.partition("@")[0], one.lms_id):
        if key:
            yield key
    for column, key in one.row.items():
        if key and columns.is_naming(column):
            yield key.strip()


def _orders(name: str) -> Iterator[str]:
    """The letters of a name in each order in which an LMS may write it: from any of its words on, then those before."""
    words = [_letters(word) for word in re.split(r"[\s,]+", name)[:_MOST_WORDS]]
    for at in range(len(words)):
        if turned := "".join([*words[at:], *words[:at]]):
            yield turned


def _letters(name: str) -> str:
    """The letters and digits of a name, without case and accents: all that each LMS leaves of it."""
    plain = unicodedata.normalize("NFKD", name)
    return "".join(c for c in plain if c.isalnum()).casefold()
