"""What of the configuration of BIND is carried to clean machines: see labenv/checks/carried.py."""

import re

from labenv.checks.carried import Law, by_lines, is_plain

_PLACES = re.compile(
    r"(?!.*\.\.)(/etc/named[\w./-]*|/etc/(bind|rndc)[\w./-]*|/var/named(/[\w./-]*)?|/usr/share/dns/[\w./-]*|(?!/)[\w./-]+)"
)
# Comments and strings first, so that what is in them is taken for nothing else (BIND 9 ARM, "Configuration File Grammar").
_PARTS = re.compile(r'/\*.*?\*/|//[^\n]*|#[^\n]*|"(?:[^"\\\n]|\\.)*"|[{};]|[^\s{};"#/]+|/', re.DOTALL)
_LOADS = frozenset(("dlz", "dyndb", "plugin"))  # each loads a program's library
# Places where named writes, or takes a key from, whatever its zones are. What it reads and writes for a zone, it does as its own user.
_WRITES = re.compile(r".+-(file|keyfile|keytab|directory)")
_MAY_WRITE = ("/run/named", "/var/run/named", "/var/log/", "/var/cache/bind")


def _named(text: str) -> tuple[str, list[str]]:
    wrong: list[str] = []
    blank: list[tuple[int, int]] = []
    blocks: list[str] = []  # the names of the statements that are open
    statement = ""
    words = [m for m in _PARTS.finditer(text) if not m[0].startswith(("/*", "//", "#"))]
    for at, word in enumerate(words):
        if word[0] in "{};":
            blocks = [*blocks, statement] if word[0] == "{" else blocks[:-1] if word[0] == "}" else blocks
            statement = ""
        elif not statement:
            statement = word[0].strip('"').lower()
            place = _string(text, words, at + 1) if at + 1 < len(words) else ""
            if said := _wrong(statement, place, blocks[-1] if blocks else ""):
                wrong.append(f"{_line(text, word)}: {said}")
                blank.append((word.start(), _end(words, at)))
    for begin, end in reversed(blank):
        text = text[:begin] + re.sub(r"[^\n]", " ", text[begin:end]) + text[end:]
    lines = text.split("\n")
    controls = {n: said for n, line in enumerate(lines) if (said := is_plain(line))}
    wrong += [f"line {n + 1}: {said}" for n, said in controls.items()]
    return "\n".join("" if n in controls else line for n, line in enumerate(lines)), wrong


def _wrong(statement: str, place: str, block: str) -> str:
    """Why a statement is not carried, or nothing; `place` is its first word, `block` the statement that it is in."""
    if statement in _LOADS:
        return f"{statement} loads a library"
    if statement == "include":
        return "" if _PLACES.fullmatch(place) else f"include of {place[:60]}"
    writes = bool(_WRITES.fullmatch(statement)) or (statement == "file" and block == "channel")
    if not writes or not place.startswith("/") or (place.startswith(_MAY_WRITE) and ".." not in place):
        return ""
    return "" if _PLACES.fullmatch(place) else f"{statement} {place[:60]}"


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
