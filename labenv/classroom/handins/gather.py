"""Packs what replay needs of a running machine: its listed files, its accounts, what starts at boot. Nothing in it changes."""

import io
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from labenv.checks.carried import Law, law_of
from labenv.classroom.handins import laws, pieces
from labenv.classroom.handins.handin import LARGEST, Wanted
from labenv.classroom.handins.pieces import Account, Carried, Pieces, Place
from labenv.environment import Environment
from labenv.errors import EngineError, LabenvError, senseless
from labenv.lab.model import Lab
from labenv.text import decoded

if TYPE_CHECKING:
    from labenv.engine import Engine

_PATIENCE = 60
_LARGEST_MACHINE = 8_000_000
_ACCOUNTS = ("/etc/passwd", "/etc/group", "/etc/shadow")
_UNITS = "/etc/systemd/system"
# Files that take part in what a machine does, and are never carried: they are named.
_STAYS = (
    "/root/.forward",
    "/home/*/.forward",
    "/home/*/.procmailrc",
    "/var/spool/cron/crontabs/*",
    "/usr/local/bin/*",
    "/usr/local/sbin/*",
)
# What runs: services and sockets, one a line (systemctl(1)).
ACTIVE = "systemctl list-units --plain --no-legend --type=service,socket --state=active | cut -d' ' -f1"
_STATE = f"""
{ACTIVE} | sed 's/^/active\\t/'
find {_UNITS} -type l -printf 'link\\t%P\\t%l\\n'
dpkg-query -W -f '${{db:Status-Status}}\\t${{Package}}\\n' | sed -n 's/^installed/package/p'
cut -d: -f6 /etc/passwd | sort -u | while read -r home; do [ ! -d "$home" ] || stat -L --printf 'home\\t%n\\t%a\\t%U\\t%G\\t%u\\t%g\\n' "$home"; done
for file in {" ".join(_STAYS)}; do [ ! -f "$file" ] || [ -L "$file" ] || [ "$file" -ot /etc/labenv/laid ] || printf 'stays\\t%s\\n' "$file"; done
"""
# The accounts that have the password of the environment: it is told on a line of input.
_OF_THE_LAB = r"""perl -ne 'BEGIN { chomp($word = <STDIN>); @ARGV = "/etc/shadow" }
my ($name, $hash) = split /:/; print "lab\t$name\n" if $hash =~ /^\$/ && (crypt($word, $hash) // "") eq $hash'"""


def gathered(engine: "Engine", environment: Environment, lab: Lab, name: str, wanted: Wanted) -> Pieces:
    """The pieces of a machine: of its files and folders those that the lab wants. Raises LabenvError."""
    patterns = (*wanted.carried.get(name, ()), *laws.EVERYWHERE)
    there = laws.of(lab)
    machine = environment.machine(name)
    with engine.shell(machine, reads=True) as shell:
        packed = shell.run(_packing(patterns, wanted.folders.get(name, ())), _PATIENCE, _LARGEST_MACHINE)
        if packed.rc:
            raise LabenvError(f"The files of {name} could not be read: {packed.complaint}")
        said = shell.run(_STATE, _PATIENCE).text
        said += shell.run(_OF_THE_LAB, _PATIENCE, told=environment.student.password).text
    try:
        files, places = _unpacked(packed.stdout)
    except (tarfile.TarError, ValueError, KeyError) as error:
        raise EngineError(senseless(name, error)) from error
    told = _told(said)
    accounts = {path: decoded(files.pop(path, (b"", None))[0]) for path in _ACCOUNTS}
    homes = {row[0]: _place(row[1], *row[2:]) for row in told["home"] if len(row) == 6}
    links = {row[0]: row[1] for row in told["link"] if len(row) == 2 and pieces.is_link(*row)}
    carried = [_carried(there, path, *found) for path, found in sorted(files.items()) if _is_carried(there, path)]
    fitting = list(_fitting(carried))
    stays = [row[0] for row in told["stays"]] + [file.path for file in carried if file not in fitting]
    places = {path: at for path, at in places.items() if path != "/" and pieces.PATH.fullmatch(path)}
    groups = [(name, number) for name, number, _ in _groups(accounts["/etc/group"])]
    return Pieces(
        tuple(fitting),
        dict(list(places.items())[: pieces.MOST_FILES]),
        tuple(_people(accounts, homes, {row[0] for row in told["lab"]}))[: pieces.MOST_ACCOUNTS],
        dict(groups[: pieces.MOST_ACCOUNTS]),
        dict(list(links.items())[: pieces.MOST_LINKS]),
        tuple(row[0] for row in told["active"] if pieces.UNIT.fullmatch(row[0]))[: pieces.MOST_LINKS],
        tuple(row[0] for row in told["package"] if pieces.PACKAGE.fullmatch(row[0]))[: pieces.MOST_PACKAGES],
        tuple(path for path in sorted(stays) if pieces.PATH.fullmatch(path))[: pieces.MOST_FILES],
    )


def _fitting(carried: list[Carried]) -> Iterator[Carried]:
    """The files that a submission can have, in their order: not the large ones, nor those that are too many."""
    size = 0
    for file in carried[: pieces.MOST_FILES]:
        length = len(file.text or "")
        if length <= pieces.LARGEST_FILE and size + length <= pieces.LARGEST:
            size += length
            yield file


def _place(mode: str, *names: str) -> Place:
    """The rights that a machine tells: owner and group by name, or else by number."""
    owner, group, uid, gid = names
    named = [name if pieces.NAME.fullmatch(name) else number for name, number in ((owner, uid), (group, gid))]
    return Place(int(mode, 8) & 0o7777, *named)


def _packing(patterns: Iterable[str], folders: Iterable[str]) -> str:
    """The command that packs files, and folders without what is in them, into a tar archive."""
    listing = (
        f"for f in {' '.join((*_ACCOUNTS, *dict.fromkeys(patterns)))}; do "
        f'[ ! -f "$f" ] || [ $(stat -Lc %s "$f") -gt {LARGEST} ] || printf \'%s\\0\' "$f"; done; '
        f"for d in {' '.join(dict.fromkeys((*map(_parent, patterns), *folders)))}; do "
        '[ ! -d "$d" ] || printf \'%s\\0\' "$d"; done'
    )
    # Links to files are followed: what counts is what is in force.
    return (
        f"sh -c {shlex.quote(listing)} | sort -zu | tar -chPf - --no-recursion --hard-dereference --null --files-from=-"
    )


def _parent(pattern: str) -> str:
    return pattern.rpartition("/")[0] or "/"


def _unpacked(data: bytes) -> tuple[dict[str, tuple[bytes, Place]], dict[str, Place]]:
    files, places = {}, {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for entry in archive:
            at = _place(f"{entry.mode:o}", entry.uname, entry.gname, str(entry.uid), str(entry.gid))
            if entry.isdir():
                places[entry.name] = at
            elif not entry.issparse() and (content := archive.extractfile(entry)):  # a sparse one may say any size
                files[entry.name] = (content.read(), at)
    return files, places


def _told(said: str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {"link": [], "home": [], "stays": [], "lab": [], "active": [], "package": []}
    for line in said.splitlines():
        kind, _, rest = line.partition("\t")
        if kind in found:
            found[kind].append(rest.split("\t"))
    return found


def _is_carried(there: tuple[Law, ...], path: str) -> bool:
    """Whether a file is handed in: not what the images have as their own."""
    law = law_of(path, there)
    return bool(pieces.PATH.fullmatch(path)) and (law is None or law.judge is not None or bool(law.makes))


def _carried(there: tuple[Law, ...], path: str, content: bytes, at: Place) -> Carried:
    law = law_of(path, there)
    try:
        text = None if b"\0" in content else content.decode()
    except UnicodeDecodeError:  # a comment in another encoding: each byte a character
        text = content.decode("latin-1")
    return Carried(path, at, law.without_secrets(text) if law and text else text)


def _groups(text: str) -> Iterator[tuple[str, int, list[str]]]:
    for line in text.splitlines():
        name, _, number, *rest = [*line.split(":"), "", "", ""]
        if pieces.NAME.fullmatch(name) and number.isdecimal():
            yield name, int(number), [who for who in rest[0].split(",") if pieces.NAME.fullmatch(who)]


def _people(files: Mapping[str, str], homes: Mapping[str, Place], of_the_lab: set[str]) -> Iterator[Account]:
    """The accounts of a machine, with what shadow(5) says of them; a line that is none is passed over."""
    shadow = {line.partition(":")[0]: line.split(":") for line in files["/etc/shadow"].splitlines()}
    groups = list(_groups(files["/etc/group"]))
    for line in files["/etc/passwd"].splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not (
            fields[2].isdecimal() and fields[3].isdecimal() and pieces.NAME.fullmatch(fields[0])
        ):
            continue
        name = fields[0]
        secret = shadow.get(name, ["", "!"])
        expires = secret[7] if len(secret) > 7 else ""
        one = Account(
            name,
            pieces.OF_THE_LAB if name in of_the_lab else secret[1],
            int(fields[2]),
            int(fields[3]),
            fields[4],
            fields[5],
            fields[6],
            int(expires) if expires.isdecimal() else None,
            homes.get(fields[5]),
        )
        if pieces.is_account(one):
            yield replace(one, groups=tuple(group for group, _, members in groups if name in members))
