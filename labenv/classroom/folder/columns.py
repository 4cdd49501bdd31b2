"""What the columns of a roster mean, by the names that teachers and LMSs give them.

The names are those of the exports as they come, in English: Moodle's participants and grader report, Canvas's gradebook, Blackboard's
Grade Center, Brightspace's grades.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Of several names for one thing the first that is there counts.
_ID = ("labenvid", "username", "sisloginid", "loginid", "login", "user", "account", "netid", "id")
_LMS_ID = ("idnumber", "orgdefinedid", "studentid", "studentnumber", "sid", "sisuserid", "identifier")
_NAME = ("name", "fullname", "studentname", "displayname")
_GIVEN = ("firstname", "givenname", "forename")
_FAMILY = ("lastname", "surname", "familyname", "last")
_EMAIL = ("email", "emailaddress", "mail")
_X = ("x", "net")
_FIRST = ("first",)
_KEY = re.compile(r"(ssh)?(public)?key\d*")
_ALL = {*_ID, *_LMS_ID, *_NAME, *_GIVEN, *_FAMILY, *_EMAIL, *_X, *_FIRST, "student"}
_CANVAS = {"sisloginid", "sisuserid", "section"}  # where one is, Student is the name, and ID is Canvas's own number


@dataclass(frozen=True)
class Columns:
    """The names of the columns with a meaning, empty where there is none. `name` are those whose cells make the name, in that order.

    `id` is the number that the LMS has, `lms_id`, where nothing else says who a student is.
    """

    id: str
    lms_id: str
    name: tuple[str, ...]
    email: str
    x: str
    first: str
    keys: tuple[str, ...]
    is_canvas: bool


def known(name: str) -> bool:
    """Whether a text is the name of a column with a meaning."""
    return (plain := _plain(name)) in _ALL or bool(_KEY.fullmatch(plain))


def is_naming(name: str) -> bool:
    """Whether each cell of a column with that name names one student: an id, a login, an e-mail address."""
    return _plain(name) in {*_ID, *_LMS_ID, *_EMAIL}


def understood(names: Iterable[str]) -> Columns:
    """Which of the columns with these names means what."""
    there: dict[str, str] = {}
    for name in names:
        there.setdefault(_plain(name), name)

    def of(*wanted: str) -> str:
        return next((there[each] for each in wanted if each in there), "")

    is_canvas = {"student", "id"} <= there.keys() and bool(_CANVAS & there.keys())
    family, given = of(*_FAMILY), of(*_GIVEN)
    first = of(*_FIRST)
    if family and not given:  # somebody's name, in two columns
        given, first = first, ""
    by = of(*(each for each in _ID if each != "id" or not is_canvas)) or ("" if is_canvas else of("student"))
    whole = of(*_NAME) or ("" if by == of("student") else of("student"))
    lms_id, email = of("id") if is_canvas else of(*_LMS_ID), of(*_EMAIL)
    return Columns(
        id=by or ("" if email else lms_id),
        lms_id=lms_id,
        name=(whole,) if whole else tuple(filter(None, (given, family))),
        email=email,
        x=of(*_X),
        first=first,
        keys=tuple(name for plain, name in there.items() if _KEY.fullmatch(plain)),
        is_canvas=is_canvas,
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
