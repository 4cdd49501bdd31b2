"""The mark of an environment, which goes with each hand-in that is made in it.

A copy of another's hand-in has the other's mark, whatever its names were changed to. It is made from the random password that `up` gives
an environment: so it stays through saves, `restore` and `import`, a new environment has another, and one that an earlier version
of labenv made has one too. Nobody finds the password from it: each guess costs a twentieth of a second (RFC 7914).
"""

import hashlib
import re

from labenv.student import Student

_VALID = re.compile(r"[0-9a-f]{16}")
_COST = {"n": 2**14, "r": 8, "p": 1}


def of(student: Student) -> str:
    """The mark of a student's environment: 16 hexadecimal digits."""
    return hashlib.scrypt(student.password.encode(), salt=b"labenv mark", dklen=8, **_COST).hex()


def checked(told: object) -> str:
    """The mark that a manifest tells; empty if it tells none, as those of earlier versions."""
    return told if isinstance(told, str) and _VALID.fullmatch(told) else ""
