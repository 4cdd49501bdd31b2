"""What of the configuration of BIND is carried to clean machines: see labenv/checks/carried.py."""

import re

from labenv.checks.carried import Law, by_lines, is_plain

_PLACES = re.compile(
    r"(?!.*\.\.)(/etc/named[\w./-]*|/etc/(bind|rndc)[\w./-]*|/var/named(/[\w./-]*)?|/usr/share/dns/[\w./-]*|(?!/)[\w./-]+)"
)
# Comments and strings first, so that what is in them is taken for nothing else (BIND 9 ARM, "Configuration File Grammar").
_PARTS = re.compile(r'/\*.*?\*/|//[^\n]*|#[^\n]*|"(?:[^"\\\n]|\\.)*"|[{};]|[^\s{};"#/]+|/', re.DOTALL)
_LOADS = frozenset(("dlz", "dyndb", "plugin"))  # each loads a program's library
_WRITES = frozenset(  # statements with a place where named writes, or from which it takes a key
    [
        "dump-file",
        "file",
        "journal",
        "key-directory",
        "lock-file",
        "managed-keys-directory",
        "memstatistics-file",
        "new-zones-directory",
        "pid-file",
        "recursing-file",
        "secroots-file",
        "session-keyfile",
        "statistics-file",
        "tkey-gssapi-keytab",
        "bindkeys-file",
        "directory",
    ]
)


def _named(text: str) -> tuple[str, list[str]]:
    wrong: list[str] = []
    blank: list[tuple[int, int]] = []
    words = [m for m in _PARTS.finditer(text) if not m[0].startswith(("/*", "//", "#"))]
    for at, word in enumerate(words[:-1]):
        name = word[0].strip('"').lower()
        begins = at == 0 or words[at - 1][0] in "{};"
        place = _string(text, words, at + 1)
        if begins and name in _LOADS:
            wrong.append(f"{_line(text, word)}: {name} loads a library")
        elif begins and name == "include" and not _PLACES.fullmatch(place):
            wrong.append(f"{_line(text, word)}: include of {place[:60]}")
        elif (
            name in _WRITES
            and (begins or words[at - 1][0] == "channel")
            and not _PLACES.fullmatch(place)
            and place.startswith("/")
        ):
            if place.startswith(("/run/named", "/var/run/named", "/var/log/", "/var/cache/bind")):
                continue
            wrong.append(f"{_line(text, word)}: {name} {place[:60]}")
        else:
            continue
        blank.append((word.start(), _end(words, at)))
    for begin, end in reversed(blank):
        text = text[:begin] + re.sub(r"[^\n]", " ", text[begin:end]) + text[end:]
    lines = text.split("\n")
    controls = {n: said for n, line in enumerate(lines) if (said := is_plain(line))}
    wrong += [f"line {n + 1}: {said}" for n, said in controls.items()]
    return "\n".join("" if n in controls else line for n, line in enumerate(lines)), wrong


def _string(text: str, words: list[re.Match[str]], at: int) -> str:
    """The path that begins at a word: a string, or everything up to the next blank or semicolon."""
    if words[at][0].startswith('"'):
        return words[at][0].strip('"')
    return re.split(r"[\s;{}]", text[words[at].start() :], maxsplit=1)[0]


def _end(words: list[re.Match[str]], at: int) -> int:
    """Where the statement ends that begins at a word: after its semicolon, or where the text does."""
    depth = 0
    for word in words[at:]:
        depth += {"{": 1, "}": -1}.get(word[0], 0)
        if depth < 0:
            return word.start()
        if word[0] == ";" and not depth:
            return word.end()
    return words[-1].end()


def _line(text: str, word: re.Match[str]) -> str:
    return f"line {text.count(chr(10), 0, word.start()) + 1}"


def _zone(line: str) -> str:
    """Why a line of a zone's file is not carried, or nothing (RFC 1035 section 5.1: $INCLUDE)."""
    if said := is_plain(line):
        return said
    found = re.match(r"\s*\$(include|generate)\s+(\S+)", line, re.IGNORECASE)
    if found and found[1].lower() == "generate":
        return "" if re.fullmatch(r"\d{1,3}-\d{1,3}(/\d+)?", found[2]) else f"$GENERATE of {found[2][:30]}"
    return "" if not found or _PLACES.fullmatch(found[2].strip('"')) else f"$INCLUDE of {found[2][:60]}"


LAWS = (
    Law(("/etc/named.conf", "/etc/named/*", "/etc/named.*", "/etc/bind/named.conf*"), _named),
    # What named writes itself.
    Law(
        (
            "/var/named/*.jnl",
            "/var/named/*.jbk",
            "/var/named/*/*.jnl",
            "/var/named/managed-keys.bind*",
            "/var/named/data/*",
        )
    ),
    Law(("/var/named/*", "/var/named/*/*", "/etc/bind/*"), by_lines(_zone)),
)
