"""What is handed in of one machine so that it can be judged on a clean one: the records, and their form in a submission.

`submit` writes them, `replay` reads them. Reading takes only what has the right form; whether it may be carried, laws say.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labenv.plain_tar import Unreadable

FORMAT = 1
FOLDER = "replay"
MOST_FILES, MOST_ACCOUNTS, MOST_LINKS, MOST_PACKAGES = 300, 200, 500, 2_000
LARGEST_FILE, LARGEST = 400_000, 1_000_000  # characters of one file, and of all
PATH = re.compile(r"(/(?!\.{1,2}(/|$))[\w.,:@+~%=-]+)+", re.ASCII)
NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,31}", re.ASCII)  # useradd(8)
# crypt(5), with what passwd -l puts before it; none at all, or one that no password has.
_HASH = re.compile(r"[!*]{0,2}(\$(1|5|6|y|gy|7|2b)\$[./A-Za-z0-9$=,]{1,150})?|[!*x]{0,2}", re.ASCII)
# The names of units in the images; one of a template (systemd.unit(5)) gives it an argument, so it can be masked only.
UNIT = re.compile(r"[\w.-]{1,100}\.(service|socket)", re.ASCII)
_LINK = re.compile(r"([\w.-]{1,100}\.(wants|requires)/)?[\w.-]{1,100}\.[a-z]{3,10}", re.ASCII)
_MASKED = re.compile(r"[\w.:@-]{1,100}\.[a-z]{3,10}", re.ASCII)
_TARGET = re.compile(
    r"(/dev/null|(/etc|/lib|/usr/lib)/systemd/system/[\w.-]{1,100}|[\w.-]{1,100}\.[a-z]{3,10})", re.ASCII
)
_OWNER = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,31}", re.ASCII)  # a number where there is no name
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,80}", re.ASCII)  # deb-control(5)
OF_THE_LAB = "lab"  # in place of a hash: the password is the environment's own


@dataclass(frozen=True)
class Place:
    """The rights of a file or a folder: its mode as a number, and the names of its owner and its group."""

    mode: int
    owner: str
    group: str


@dataclass(frozen=True)
class Carried:
    """A file with its text, None if it is no text."""

    path: str
    at: Place
    text: str | None


@dataclass(frozen=True)
class Account:
    """A line of passwd(5). `password` is a hash of crypt(5), or "lab"; `expires` in days since 1970, None never. `home_at` is None without a home."""

    name: str
    password: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str
    expires: int | None
    home_at: Place | None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pieces:
    """What is carried of one machine.

    `groups` are group(5)'s names with their numbers; `links` those below /etc/systemd/system, which say what starts at boot, with their
    targets; `active` the services and sockets that ran; `packages` what is installed; `stays` are files that are there and are never carried.
    """

    files: tuple[Carried, ...] = ()
    folders: Mapping[str, Place] | None = None
    accounts: tuple[Account, ...] = ()
    groups: Mapping[str, int] | None = None
    links: Mapping[str, str] | None = None
    active: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The pieces as a member of a submission."""
        told = {"format": FORMAT} | asdict(self)
        return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode()


def member(machine: str) -> str:
    """The name in a submission of the member with the pieces of a machine."""
    return f"{FOLDER}/{machine}.json"


def read(data: bytes) -> Pieces:
    """The pieces in a member of a submission. Raises Unreadable for what has another form, or is too much."""
    try:
        tree = json.loads(data)
        if tree["format"] != FORMAT:
            raise Unreadable(
                f"what it has for replay is of format {str(tree['format'])[:20]}, which this labenv does not know"
            )
        files = tuple(_some(tree["files"], MOST_FILES, _file))
        if sum(len(file.text or "") for file in files) > LARGEST:
            raise Unreadable("what it has for replay is too large")
        return Pieces(
            files,
            {_path(path): _place(at) for path, at in _some((tree["folders"] or {}).items(), MOST_FILES, tuple)},
            tuple(_some(tree["accounts"], MOST_ACCOUNTS, _account)),
            {_text(n, NAME): _number(i) for n, i in _some((tree["groups"] or {}).items(), MOST_ACCOUNTS, tuple)},
            dict(_some((tree["links"] or {}).items(), MOST_LINKS, _link)),
            tuple(_some(tree["active"], MOST_LINKS, lambda name: _text(name, UNIT))),
            tuple(_some(tree["packages"], MOST_PACKAGES, lambda name: _text(name, PACKAGE))),
            tuple(_some(tree["stays"], MOST_FILES, _path)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("what it has for replay does not have the form in which labenv packs it") from error


def is_account(one: Account) -> bool:
    """Whether an account has the form that is read again."""
    return _is(_account, asdict(one))


def is_link(name: str, to: str) -> bool:
    """Whether a link below /etc/systemd/system, with its target, has the form that is read again."""
    return _is(_link, (name, to))


def _is(form: Callable[[Any], object], value: Any) -> bool:
    try:
        form(value)
    except ValueError:
        return False
    return True


def _some(values: Any, most: int, form: Callable[[Any], Any]) -> Iterator[Any]:
    values = list(values)
    if len(values) > most:
        raise ValueError(f"more than {most}")
    return map(form, values)


def _file(tree: Any) -> Carried:
    text = tree["text"]
    if text is not None and (not isinstance(text, str) or len(text) > LARGEST_FILE):
        raise ValueError("text")
    return Carried(_path(tree["path"]), _place(tree["at"]), text)


def _place(tree: Any) -> Place:
    # No set-uid, set-gid: a file that runs as somebody else. Sticky folders are usual.
    return Place(_number(tree["mode"]) & 0o1777, _text(tree["owner"], _OWNER), _text(tree["group"], _OWNER))


def _account(tree: Any) -> Account:
    expires = tree["expires"]
    return Account(
        _text(tree["name"], NAME),
        tree["password"] if tree["password"] == OF_THE_LAB else _text(tree["password"], _HASH),
        _number(tree["uid"]),
        _number(tree["gid"]),
        _text(tree["gecos"], re.compile(r"[^:\x00-\x1f\x7f]{0,200}")),
        _path(tree["home"]),
        _path(tree["shell"]) if tree["shell"] else "",
        None if expires is None else _number(expires),
        _place(tree["home_at"]) if tree["home_at"] else None,
        tuple(_some(tree["groups"], MOST_ACCOUNTS, lambda name: _text(name, NAME))),
    )


def _path(value: Any) -> str:
    return "/" if value == "/" else _text(value, PATH)


def _link(pair: tuple[Any, Any]) -> tuple[str, str]:
    name, to = pair
    return _text(name, _MASKED if to == "/dev/null" and "/" not in name else _LINK), _text(to, _TARGET)


def _text(value: Any, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or len(value) > 500 or not form.fullmatch(value):
        raise ValueError(value)
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0xFFFF_FFFF:
        raise ValueError(value)
    return value
