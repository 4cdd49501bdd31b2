"""One-time passwords for the gate: some for each student, each good for one login. Only their hashes are kept.

A password is `NN-xxxx-xxxx-xxxx`: its number says which hash it is compared with, so that one try costs one hash, and the rest
are 60 random bits. The hash is scrypt (RFC 7914), with a salt of its own.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection
from functools import cache

from labenv.classroom.folder.model import Class
from labenv.classroom.serving import tables
from labenv.parallel import Together

EACH = 10  # how many a student gets
_TABLE = "passwords"
_SIGNS = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 of them, without l, o, 0 and 1, which look like others on paper
_GROUPS, _IN_GROUP = 3, 4
# 4 MiB and some 10 ms. A password that a person chose would need more; of 2^60 random ones nobody tries them all, and a class of
# 300 has 3000 of them to hash.
_COST = {"n": 1 << 12, "r": 8, "p": 1, "dklen": 32}
_LONGEST = 64  # characters of what is typed


def left(of: Class) -> dict[str, int]:
    """How many passwords each student has that were not used yet; students who never got any are left out. Raises UsageError."""
    return {student: len(hashes) for student, hashes in tables.read(of, _TABLE).items()}


def make(of: Class, students: Collection[str], count: int = EACH) -> dict[str, list[str]]:
    """New passwords for these students, in place of those they have. This is the only time that they can be read. Raises UsageError."""
    made = {student: [_password(number) for number in range(1, count + 1)] for student in students}
    every = [word for words in made.values() for word in words]
    with Together(os.cpu_count()) as pool:
        hashed = dict(zip(every, pool.map(_hashed, every), strict=True))
    hashes = {student: {_number(word): hashed[word] for word in words} for student, words in made.items()}
    with tables.changing(of, _TABLE) as table:
        table.update(hashes)
    return made


def use(of: Class, student: str, typed: str) -> str:
    """Use a password up: its number if it is one of the student's, otherwise an empty string. Raises UsageError.

    It takes as long for a student or a number that there is not.
    """
    word = _plain(typed)
    number = _number(word)
    kept = tables.read(of, _TABLE).get(student, {}).get(number, "")
    if not _fits(word, kept or _nobodys()) or not kept:
        return ""
    with tables.changing(of, _TABLE) as table:
        # Of two logins at the same moment one finds it gone.
        return number if table.get(student, {}).pop(number, "") == kept else ""


def forget(of: Class, student: str) -> int:
    """Remove a student's passwords; returns how many there were. Raises UsageError."""
    with tables.changing(of, _TABLE) as table:
        return len(table.pop(student, ()))


def _password(number: int) -> str:
    groups = ["".join(secrets.choice(_SIGNS) for _ in range(_IN_GROUP)) for _ in range(_GROUPS)]
    return "-".join([f"{number:02}", *groups])


def _number(word: str) -> str:
    return word.partition("-")[0]


def _plain(typed: str) -> str:
    """What is typed as it is kept: capitals, blanks at the ends, and blanks for dashes are forgiven."""
    return "-".join(typed[:_LONGEST].lower().replace("-", " ").split())


def _hashed(word: str, salt: bytes = b"") -> str:
    salt = salt or secrets.token_bytes(16)
    return f"{salt.hex()}:{hashlib.scrypt(word.encode(), salt=salt, **_COST).hex()}"


def _fits(word: str, kept: str) -> bool:
    salt = bytes.fromhex(kept.partition(":")[0])
    return hmac.compare_digest(_hashed(word, salt), kept)


@cache
def _nobodys() -> str:
    """A hash that no password has."""
    return f"{secrets.token_hex(16)}:{secrets.token_hex(32)}"
