"""What is laid over a clean machine before its first boot: its own files, then what a submission may carry, and what the rest needs.

Files come with the machine's overlay. A program that takes the first process's place for a moment (lay.pl) does what no archive can
do: accounts, rights, what starts at boot, and that a file that the student removed is not there.
"""

import base64
import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from labenv.checks.carried import Law, law_of, matches
from labenv.classroom.handins import laws
from labenv.classroom.handins.pieces import Account, Carried, Pieces, Place
from labenv.lab import overlay
from labenv.lab.overlay import Item

# boot, in the images, lays these over the engine's own at each boot: that is where a machine keeps what was edited.
_KEPT = {"/etc/hosts": "/var/lib/labenv/files/hosts", "/etc/resolv.conf": "/var/lib/labenv/files/resolv.conf"}
_NAME = "/etc/hostname"
_ACCOUNTS = "/etc/labenv/accounts"  # lay.pl makes the accounts
_PROGRAM, _LIST = "/usr/lib/labenv/init", "/usr/lib/labenv/replay"  # what a machine's init starts in its place, once
_LARGEST = 120_000  # an argument of a program, in bytes (execve(2): 128 KiB)
_FIRST_PERSON = 1000  # login.defs(5), UID_MIN
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Rules:
    """What a lab lets be carried of one machine: files and folders by patterns, and the laws about them."""

    lab: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    laws: tuple[Law, ...]

    def has(self, path: str) -> bool:
        """Whether the lab carries a file of that path."""
        return any(matches(path, pattern) for pattern in (*self.files, *laws.EVERYWHERE))

    def has_folder(self, path: str) -> bool:
        """Whether the rights of a folder are carried: of one that is listed, or that has files which are."""
        beside = (pattern.rpartition("/")[0] for pattern in (*self.files, *laws.EVERYWHERE))
        return any(matches(path, pattern) for pattern in (*self.folders, *beside))


@dataclass(frozen=True)
class Laid:
    """The overlay of a clean machine, and sentences about what of the submission is not in it."""

    items: tuple[Item, ...]
    refused: tuple[str, ...]


def laid(base: list[Item], given: Pieces, rules: Rules, password: str) -> Laid:
    """What a clean machine with the overlay `base` gets of the pieces; `password` is the environment's."""
    refused: list[str] = [f"{path} is not carried" for path in given.stays]
    files: dict[str, Item] = {}
    orders: list[tuple[str, ...]] = []
    for file in given.files:
        words, found, makes = _judged(file, rules, password)
        refused += [f"{file.path}: {said}" for said in words]
        if makes:
            orders.append(("make", *makes))
        if found:
            files[found.path] = found
            orders.append(("own", found.path, *_rights(replace(file.at, mode=file.at.mode & 0o666))))
    own = [item for item in base if item.path not in {*files, _ACCOUNTS}]
    orders += _sweeping(given, rules)
    orders += [
        ("folder", path, *_rights(at)) for path, at in sorted((given.folders or {}).items()) if rules.has_folder(path)
    ]
    orders += [("package", name) for name in given.packages]
    orders += [("link", name, to) for name, to in sorted((given.links or {}).items())]
    people = list(_people(given.accounts, refused))
    orders += [("group", name, str(number)) for name, number in (given.groups or {}).items() if number]
    orders += [order for one in people for order in _account(one, password)]
    if not people:  # nothing is known of them: the lab's own
        own += [item for item in base if item.path == _ACCOUNTS]
    return _fitting(own, files, orders, refused)


def _judged(file: Carried, rules: Rules, password: str) -> tuple[list[str], Item | None, tuple[str, ...]]:
    """Why a file, or which of its lines, are not carried; the file, if it is; and the command that makes it."""
    law = law_of(file.path, rules.laws)
    if law and law.makes and rules.has(file.path):
        source = file.path.rpartition(".")[0]
        return [], None, (file.path, *(word.format(source=source) for word in law.makes))
    why = _foreign(file, law, rules)
    if why or law is None or law.judge is None or file.text is None:  # each of these is a reason why
        return [why], None, ()
    text, wrong = law.judge(file.text)
    # The environment's password was replaced when it was packed, by as many asterisks.
    text = re.sub(rf"(?<!\*)\*{{{len(password)}}}(?!\*)", password, text)
    path = _KEPT.get(file.path, file.path)
    if file.path == _NAME:
        name = text.strip().partition("\n")[0].strip()
        if not _HOST_NAME.fullmatch(name):
            return [*wrong, "no host name"], None, ()
        path, text = overlay.HOSTNAME, f"{name}\n"
    return wrong, Item(path, text.encode(), file.at.mode & 0o666), ()


def _foreign(file: Carried, law: Law | None, rules: Rules) -> str:
    """Why nothing of a file is carried, or nothing."""
    if not rules.has(file.path):
        return f"{rules.lab} carries no such file"
    if law is None:
        return "nothing says how it is read"
    if law.judge is None:
        return "the images have their own"
    if file.text is None:
        return "it is no text"
    return "it is a program" if file.text.startswith("#!") else ""


def _sweeping(given: Pieces, rules: Rules) -> Iterator[tuple[str, ...]]:
    """What has to go from a clean machine: files that the student removed."""
    fixed = {*_KEPT, _NAME}
    yield from (("sweep", pattern) for pattern in (*rules.files, *laws.EVERYWHERE) if pattern not in fixed)
    yield from (("keep", path) for law in rules.laws if law.judge is None and not law.makes for path in law.paths)
    yield from (("keep", file.path) for file in given.files)


def _people(accounts: Iterable[Account], refused: list[str]) -> Iterator[Account]:
    names: set[str] = set()
    for one in accounts:
        if one.name in names:
            refused.append(f"a second account {one.name}")
        elif (one.uid == 0) != (one.name == "root") or (one.gid == 0 and one.uid >= _FIRST_PERSON):
            refused.append(f"the account {one.name} with the number {one.uid}: it has the rights of root")
        else:
            yield replace(one, groups=tuple(group for group in one.groups if group != "root"))
        names.add(one.name)


def _account(one: Account, password: str) -> Iterator[tuple[str, ...]]:
    secret = f"={password}" if one.password == "lab" else one.password
    expires = "" if one.expires is None else str(one.expires)
    yield "account", one.name, secret, str(one.uid), str(one.gid), one.gecos, one.home, one.shell, expires
    yield from (("join", group, one.name) for group in one.groups)
    if one.home_at and (one.home == "/root" or one.home.startswith("/home/") or one.uid >= _FIRST_PERSON):
        yield "home", one.home, one.name, *_rights(one.home_at)


def _rights(at: Place) -> tuple[str, str, str]:
    return f"{at.mode:o}", at.owner, at.group


def _fitting(own: list[Item], files: Mapping[str, Item], orders: list[tuple[str, ...]], refused: list[str]) -> Laid:
    """The overlay, without the largest files if all together are more than a machine takes."""
    program = Path(__file__).with_suffix(".pl").read_bytes()
    kept = dict(files)
    while True:
        told = "".join("\t".join(order) + "\n" for order in orders)
        items = [*own, *kept.values(), Item(_LIST, told.encode(), 0o600), Item(_PROGRAM, program, 0o755)]
        if len(base64.b64encode(gzip.compress(overlay.as_tar(items), mtime=0))) <= _LARGEST or not kept:
            return Laid(tuple(items), tuple(refused))
        largest = max(kept.values(), key=lambda item: len(item.content))
        refused.append(f"{largest.path} is too large: all files of a machine together are")
        del kept[largest.path]
