"""Postfix's lookup tables, asked with postmap(1) as Postfix asks them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine
from labenv.mail.settings import main_cf, postconf

# A table in a value, as DATABASE_README lists the types that have a file of their own.
_WITH_FILE = re.compile(
    r"(?<![\w/])((?:proxy:)?(?:btree|cdb|cidr|dbm|hash|ldap|lmdb|memcache|mysql|pcre|pgsql|regexp|sdbm|sqlite|texthash):/[^\s,{}]+)"
)
# Of these types Postfix reads a file that postmap makes.
_INDEXED = {"hash": ".db", "btree": ".db", "cdb": ".cdb", "lmdb": ".lmdb", "dbm": ".pag", "sdbm": ".pag"}
# newaliases(1) writes it; nothing looks anything up in it.
_NOT_ASKED = ("alias_database",)


class UnusableTableError(CheckFailed):
    """Postfix cannot open a table; `reason` is its own."""

    def __init__(self, table: str, reason: str) -> None:
        """Say which and why."""
        super().__init__(f"Postfix cannot use {table}: {reason}", "a table that can be opened")
        self.reason = reason


@dataclass(frozen=True)
class Closed:
    """A table that Postfix cannot open, with the parameter that names it."""

    parameter: str
    table: str
    reason: str

    def __str__(self) -> str:
        """The fault in words."""
        return f"{self.parameter} names {self.table}, which Postfix cannot open ({self.reason})"


def is_table(word: str) -> bool:
    """Whether a member of a list is a table, "type:name", and not an IPv6 address in brackets (postconf(5), mynetworks)."""
    return not word.startswith("[") and ":" in word


def look_up(machine: Machine, table: str, keys: Iterable[str]) -> dict[str, str]:
    """What a table has for these keys, which are plain names and addresses. Raises UnusableTableError.

    Postfix folds the case of keys and resolves relative paths in its queue directory. A file that is not there is found
    without postmap, which would write that into the student's mail log.
    """
    kind, _, path = table.removeprefix("proxy:").partition(":")
    file = f"{path}{_INDEXED.get(kind, '')}" if _WITH_FILE.fullmatch(table) else "/"
    asked = machine.run(
        "cd /var/spool/postfix && if [ -e %s ]; then printf '%%s\\n' %s | timeout 5 postmap -q - %s; "
        "else echo fatal: there is no file %s >&2; fi",
        *(file, "\n".join(keys), table, file),
    )
    if said := re.search(r"(?:fatal|error): (.+)", asked.stderr):
        raise UnusableTableError(table, said[1])
    return {key: value for key, _, value in (line.partition("\t") for line in asked.stdout.splitlines())}


def closed(machine: Machine, parameters: str) -> list[Closed]:
    """The tables that cannot be opened among those that main.cf names in parameters like `parameters`, a pattern.

    Raises CheckFailed if Postfix cannot read its configuration.
    """
    found = []
    for name in main_cf(machine).names:
        if re.fullmatch(parameters, name) and name not in _NOT_ASKED:
            for table in _WITH_FILE.findall(postconf(machine, name).value):
                try:
                    look_up(machine, table, ["labenv"])
                except UnusableTableError as error:
                    found.append(Closed(f"{name} on {machine.name}", table, error.reason))
    return found
