"""Public SSH keys of students: those of the roster, and those that they brought themselves once they were inside."""

from itertools import pairwise

from labenv.classroom.folder.model import Class, Member
from labenv.classroom.serving import tables
from labenv.errors import UsageError

MOST = 5  # keys that a student may bring
_TABLE = "keys"


def bare(line: str) -> str:
    """A key's kind and its bytes, without options and comment: "ssh-ed25519 AAAA…" (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

    An empty string for what is no such line.
    """
    words = line.split()
    for kind, blob in pairwise(words):
        if blob.startswith("AAAA") and not kind.endswith(","):
            return f"{kind} {blob}"
    return ""


def known(of: Class, member: Member) -> frozenset[str]:
    """The keys, as `bare` has them, with which a student may come in. Raises UsageError."""
    return frozenset(filter(None, map(bare, (*member.keys, *brought(of, member.id)))))


def brought(of: Class, student: str) -> list[str]:
    """The keys that a student brought, oldest first. Raises UsageError."""
    return list(tables.read(of, _TABLE).get(student, ()))


def bring(of: Class, student: str, key: str) -> None:
    """Keep a key, as `bare` has it. Raises UsageError if there are too many."""
    with tables.changing(of, _TABLE) as table:
        keys = table.setdefault(student, [])
        if key in keys:
            return
        if len(keys) >= MOST:
            raise UsageError(f"You have {MOST} keys already. Remove one first: key remove 1")
        keys.append(key)


def remove(of: Class, student: str, number: int) -> None:
    """Remove the key with that number, from 1. Raises UsageError if there is none."""
    with tables.changing(of, _TABLE) as table:
        keys = table.get(student, [])
        if not 1 <= number <= len(keys):
            raise UsageError(f"You have no key {number}. `key` lists them.")
        del keys[number - 1]


def forget(of: Class, student: str) -> int:
    """Remove the keys that a student brought; returns how many there were. Raises UsageError."""
    with tables.changing(of, _TABLE) as table:
        return len(table.pop(student, ()))
