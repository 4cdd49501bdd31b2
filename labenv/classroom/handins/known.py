"""What every student was given: the sheet, the lab's own files, a teacher's handouts. That two students quote it says nothing.

The text of a sheet belongs to its author, so a lab has digests of its phrases instead (`sheet.digests`). tools/digests makes
them.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from labenv.student import Student

DIGESTS = "sheet.digests"
_DIGITS = 8  # of a digest: of a thousand books with a thousand phrases, one phrase is wrongly left out
LENGTH = 3  # words of a phrase: as in the literature on copied text, where three tell texts apart best
_TEXTS = (".yaml", ".j2", ".py", ".md")
_MINE, _DOMAIN, _FIRST, _NETWORK, _PASSWORD = (
    "studentid",
    "studentdomain",
    "studentfirst",
    "studentnet",
    "studentpassword",
)
# The beginnings of private addresses that a lab may have beside 192.168.X, up to the student's X.
_ELSEWHERE = r"(?:10\.(?:\d+\.)?|172\.(?:1[6-9]|2\d|3[01])\.|198\.1[89]\.)"
# What the lab's templates and the sheet write in place of a student's own values.
_BLANKS = [
    (r"\{\{-? *student\.domain *-?\}\}|<?(?:yourdomain|yoursenecaid|youruserid)>?\.ops", _DOMAIN),
    (r"\{\{-? *student\.id *-?\}\}|<?(?:yourdomain|yoursenecaid|youruserid|yourid)>?", _MINE),
    (r"\{\{-? *student\.first *-?\}\}|\bfirstname\b", _FIRST),
    (r"\{\{-? *student\.password *-?\}\}", _PASSWORD),
    (r"\{\{-? *network *-?\}\}|192\.168\.x\b", _NETWORK),
    (_ELSEWHERE + r"\{\{-? *student\.x *-?\}\}", _NETWORK),
    (r"\{%.*?%\}|\{\{.*?\}\}", " \0 "),  # a template's own words are nobody's text
]
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_AROUND = ".,;:!?\"'()[]{}<>*_`~#|=-+/\\"
_PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*+#>|]|\d+[.)])\s)")


@dataclass(frozen=True)
class Given:
    """The words, phrases and lines that every student was given: `parts` in full, others by their digests alone."""

    parts: frozenset[str]
    digests: frozenset[str]

    def has(self, part: str) -> bool:
        """Whether a word, a phrase or a line was given."""
        return part in self.parts or (bool(self.digests) and digest(part) in self.digests)


@cache
def of(folder: Path, handouts: tuple[str, ...] = ()) -> Given:
    """What the students of the lab in a folder were given: its files and its sheet, and the texts of `handouts`."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in _TEXTS)
    texts = (*(path.read_text(encoding="utf-8") for path in files), *handouts)
    listed = folder / DIGESTS
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    return Given(
        frozenset(part for text in texts for part in parts(text)),
        frozenset(word for line in lines if line[:1] != "#" for word in line.split()),
    )


def parts(text: str) -> set[str]:
    """The words, phrases and lines of a text that was given to everybody, with neutral words where it leaves a blank."""
    text = plain(text)
    for pattern, word in _BLANKS:
        text = re.sub(pattern, word, text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return {*lines, *words(text), *(phrase for run in runs(text) for phrase in phrases(run))}


def digest(phrase: str) -> str:
    """The digest of a word or a phrase, as sheet.digests has it."""
    return hashlib.sha256(phrase.encode()).hexdigest()[:_DIGITS]


def plain(text: str) -> str:
    """The text in lower case, without accents and invisible characters, so that it is compared as it is read."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
        text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cf"))
    return text.casefold()


def neutral(text: str, student: Student) -> str:
    """A plain text with neutral words in place of the student's own id, domain, first name, network and password."""
    backwards = ".".join(reversed(student.prefix.split(".")))
    values = {
        student.domain: _DOMAIN,
        student.id: _MINE,
        student.first: _FIRST,
        student.prefix: _NETWORK,
        backwards: _NETWORK,
    }
    known = "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True) if value)
    text = re.sub(rf"(?<![\w.]){_ELSEWHERE}{student.x}(?=\.\d)", _NETWORK, text)
    text = re.sub(rf"(?<![^\W_])(?:{known})(?![^\W_])", lambda found: values[found[0]], text)
    return re.sub(r"\*{8}", _PASSWORD, text)  # as `submit` writes it


def runs(text: str) -> Iterator[list[str]]:
    """The words of a plain text, in runs that no paragraph, label, path, number or other technical word interrupts."""
    for paragraph in _PARAGRAPH.split(text):
        run: list[str] = []
        for token in paragraph.split():
            word = token.strip(_AROUND)
            if _WORD.fullmatch(word):
                run.append(word)
            if run and (token.endswith(":") or (word and not _WORD.fullmatch(word))):
                yield run
                run = []
        if run:
            yield run


def phrases(run: list[str]) -> list[str]:
    """The phrases of a run: each of its words with the two after it."""
    return [" ".join(run[place : place + LENGTH]) for place in range(len(run) - LENGTH + 1)]


def words(text: str) -> Iterator[str]:
    """Every single word of a plain text, also inside a path or a setting."""
    return (found[0] for found in re.finditer(r"[^\W\d_]+", text))
