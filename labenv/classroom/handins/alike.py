"""Which submissions look alike, in what, and how much: log books, configurations, shell histories, and what machines made once.

What every student was given counts nothing (known.py), and a student's own values are neutral words. What is left is compared
for each pair of students. Log books are compared by their phrases of three words. In texts that were written independently,
few words lie in phrases that both have; of a copy in which every tenth word was changed, more than four fifths do.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise

from labenv.classroom.handins import handin, mark
from labenv.classroom.handins.archive import Archive
from labenv.classroom.handins.known import LENGTH, Given, neutral, phrases, plain, runs, words
from labenv.lab.model import Lab
from labenv.student import Student
from labenv.text import decoded

# Of the log book: the words that are compared, the words that a book needs, and the share that must be in common phrases.
_MOST_WORDS = 5_000
_LEAST_WORDS = 25
_SHARE_OF_WORDS = 0.65
_LEAST_PHRASES = 10
_LEAST_PART = 5  # words together that are the student's own: where two quotations meet, four may seem so
_SHARE_OF_PHRASES = 0.35  # fewer than that cannot cover so many words, and are counted much faster
# Of the unusual pairs of lines in configurations and histories, one line after the other: how many, which share of the fewer.
_MOST_LINES = 2_000
_LEAST_LINES = {"configuration": 8, "shell history": 8}
_SHARE_OF_LINES = 0.3
# What a machine made once: ids of messages in the mail log, and commands with the second in which they were typed.
_LEAST_MARKS = 3
_TIMES = "times in the shell history"
_MARK = "environment"  # labenv.classroom.handins.mark
_UNITS = {
    "log book": "own words",
    "configuration": "unusual pairs of lines",
    "shell history": "unusual pairs of lines",
    _TIMES: "commands",
}
# In a class of that size, what a larger share has was given to them all, though labenv does not know by whom; and lines that
# more than a few have are not unusual: a fifth, but at least three and at most six. In a smaller one, lines are unusual that
# have a word which is not the lab's.
_CLASS = 10
_NEARLY_ALL = 0.8
_FEW, _FEWEST, _MOST_FEW = 0.2, 3, 6

_LARGEST = 300_000  # bytes of one member that are looked through
_SHOWN = 100  # letters of a passage that is quoted
# Nobody sees them between the letters of a word, and known.plain() takes them out.
_INVISIBLE = "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_STAMP = re.compile(r"#\d{9,11}")
_TYPED = re.compile(r"^(#\d{9,11})\n(.+)$", re.MULTILINE)  # bash(1), HISTTIMEFORMAT
# What one types on any machine, and writes into a first message: it makes no line unusual. A lab's handin.yaml adds its own.
_EVERYDAY = frozenset(
    re.findall(
        r"\w+",
        """
        alias apropos bash chkconfig chmod chown clear command crontab curl date diff dump echo enable exit export
        file find firewall free getenforce grep groups head hello help history host hostname hostnamectl ifconfig
        info install iptables journalctl kill killall last less list localectl localhost locate login logout lsof
        mail message mkdir more nano ncat netstat network nmap nmcli nslookup passwd ping reboot reload remove
        restart restorecon root route rpm rsync save service setenforce shutdown source start stat status stop sudo
        sysctl systemctl tail tcpdump telnet test test1 testing this timedatectl touch traceroute tree umount uname
        unzip updatedb uptime useradd userdel usermod vimdiff visudo wget which whoami zip
        """,
    )
)


@dataclass(frozen=True)
class Likeness:
    """What two submissions share: with `student`, in `file`; `what` is compared, `shared` of `of` units are in both.

    `passage` is a short quotation of it.
    """

    student: str
    file: str
    what: str
    shared: int
    of: int
    passage: str

    @property
    def sentence(self) -> str:
        """It in words."""
        if self.what == _MARK:
            return f"made in the same environment (mark {self.passage})"
        unit = _UNITS.get(self.what, "ids")
        return f"{self.what} ({self.shared} of {self.of} {unit}: “{self.passage}”)"


@dataclass
class Traits:
    """What is compared of one submission. `book` are the student's own words in runs, `phrases` those of three words.

    `lines` are pairs of lines, `strange` those of them with a word that is not the lab's. `marks` are what a machine made once,
    by kind, `quoted` are ids in the log book that are not in the student's own evidence, `domains` those of other students in the
    configuration, `mark` is that of the environment.
    """

    student: str
    file: str
    book: list[list[str]] = field(default_factory=list)
    phrases: frozenset[str] = frozenset()
    lines: dict[str, frozenset[str]] = field(default_factory=dict)
    strange: dict[str, frozenset[str]] = field(default_factory=dict)
    marks: dict[str, frozenset[str]] = field(default_factory=dict)
    quoted: dict[str, frozenset[str]] = field(default_factory=dict)
    domains: frozenset[str] = frozenset()
    mark: str = ""

    @cached_property
    def own_words(self) -> str:
        """The student's own words in the log book, empty if they are too few to compare."""
        found = [word for run in self.book for word in run]
        return " ".join(found) if len(found) >= _LEAST_WORDS else ""


def traits(given: Archive, file: str, lab: Lab, student: Student, known: Given) -> Traits:
    """What is compared of a submission."""

    def text(name: str) -> str:
        return neutral(plain(_end(given.members[name])), student)

    logs = [_end(content) for name, content in given.members.items() if name.startswith("evidence/")]
    written = decoded(given.members.get(handin.BOOK, b"")[:_LARGEST], keep=_INVISIBLE)
    lines_of_book = neutral(plain(written), student).splitlines()
    mine = _cut(runs("\n".join("" if known.has(_bare(line)) else line for line in lines_of_book)), _MOST_WORDS)
    found = {phrase for run in mine for phrase in phrases(run) if not known.has(phrase)}
    # A log line that a student quotes is in the evidence, too, and is nobody's own words.
    machines = {p for log in logs for run in runs(neutral(plain(log), student)) for p in phrases(run) if p in found}
    book = _own(mine, found - machines)
    known_files = {f"config/{machine}{path}" for machine, path in _paths(lab, student)}
    wanted = handin.wanted(lab) if handin.exists(lab) else handin.NOTHING
    ids = {kind.what: frozenset(f for log in logs for f in kind.logged.findall(log)) for kind in wanted.ids}
    everyday = _EVERYDAY | wanted.everyday
    configs = [text(name) for name in given.members if name in known_files]
    others = re.compile(rf"(?<![^\W_])[a-z][a-z0-9-]{{0,31}}{re.escape(student.domain.removeprefix(student.id))}(?!\w)")
    histories = [name for name in given.members if name.startswith("history/")]
    lines = {
        "configuration": _pairs(configs, known),
        "shell history": _pairs((text(name) for name in histories), known),
    }
    return Traits(
        student=student.id,
        file=file,
        book=book,
        phrases=_phrases_of(book),
        lines=lines,
        strange={
            what: frozenset(pair for pair in pairs if _is_strange(pair, known, everyday))
            for what, pairs in lines.items()
        },
        marks=ids | {_TIMES: frozenset(" ".join(pair) for h in histories for pair in _TYPED.findall(text(h)))},
        quoted={kind.what: frozenset(kind.quoted.findall(written)) - ids[kind.what] for kind in wanted.ids},
        domains=frozenset(found for config in configs for found in others.findall(config)),
        mark=mark.checked(given.manifest.get("mark")),
    )


def compared(of: Sequence[Traits]) -> list[list[Likeness]]:
    """For each submission, what it has in common with those of other students, the most alike first."""
    _leave_out_common(of)
    found: list[list[Likeness]] = [[] for _ in of]
    for (a, one), (b, other) in combinations(enumerate(of), 2):
        if one.student == other.student:
            continue
        for what, shared, total, passage in _common(one, other):
            found[a].append(Likeness(other.student, other.file, what, shared, total, passage))
            found[b].append(Likeness(one.student, one.file, what, shared, total, passage))
    return [sorted(each, key=lambda alike: -alike.shared / alike.of) for each in found]


def _common(one: Traits, other: Traits) -> Iterator[tuple[str, int, int, str]]:
    """What two submissions have in common: what is compared, how much of how much, and a passage."""
    if one.mark and one.mark == other.mark:
        yield _MARK, 1, 1, one.mark
    shared = one.phrases & other.phrases
    if len(shared) >= max(_LEAST_PHRASES, _SHARE_OF_PHRASES * min(len(one.phrases), len(other.phrases))):
        long_enough = [each.book for each in (one, other) if sum(map(len, each.book)) >= _LEAST_WORDS]
        parts = [_covered(book, shared) for book in long_enough]
        within, total, passage = max(parts, key=lambda part: part[0] / part[1], default=(0, 1, ""))
        if within >= _SHARE_OF_WORDS * total:
            yield "log book", within, total, passage
    for what, least in _LEAST_LINES.items():
        mine, theirs = one.lines[what], other.lines[what]
        both = mine & theirs
        if len(both) >= least and len(both) >= _SHARE_OF_LINES * min(len(mine), len(theirs)):
            yield what, len(both), min(len(mine), len(theirs)), _cut_off(max(both, key=lambda line: (len(line), line)))
    none: frozenset[str] = frozenset()
    for what, mine in one.marks.items():
        theirs = other.marks[what]
        carried = (one.quoted.get(what, none) & theirs) | (other.quoted.get(what, none) & mine)
        both = (mine & theirs) | carried
        if len(both) >= _LEAST_MARKS or (both and carried):
            total = max(len(both), min(len(mine), len(other.marks[what])))
            yield what, len(both), total, _cut_off(min(both))


def _leave_out_common(of: Sequence[Traits]) -> None:
    """Take out what is not unusual: in a class, what many have; in a few submissions, all lines in the lab's own words."""
    if len(of) < _CLASS:
        for each in of:
            each.lines = each.strange
        return
    everybody = _NEARLY_ALL * len(of)
    phrases_of_all = _held_by([each.phrases for each in of], everybody)
    for each in of:
        each.book = _own(each.book, each.phrases - phrases_of_all)
        each.phrases = _phrases_of(each.book)
    for what in of[0].marks:
        common = _held_by([each.marks[what] for each in of], everybody)
        for each in of:
            each.marks[what] -= common
    for what in _LEAST_LINES:
        common = _held_by([each.lines[what] for each in of], min(_MOST_FEW, max(_FEWEST, _FEW * len(of))))
        for each in of:
            each.lines[what] -= common


def _held_by(sets: Sequence[frozenset[str]], more_than: float) -> frozenset[str]:
    """What more than that many of the sets have."""
    counts = Counter(each for found in sets for each in found)
    return frozenset(each for each, count in counts.items() if count > more_than)


def _covered(book: Iterable[list[str]], shared: frozenset[str]) -> tuple[int, int, str]:
    """How many words of a book lie in shared phrases, of how many, and the longest passage of them."""
    within = total = 0
    longest: list[str] = []
    for run in book:
        total += len(run)
        for passage in _parts_in(run, shared):
            within += len(passage)
            longest = max(longest, passage, key=len)
    return within, total, _cut_off(" ".join(longest))


def _parts_in(run: list[str], wanted: Set[str]) -> Iterator[list[str]]:
    """The parts of a run that lie in wanted phrases."""
    start = end = 0
    for place, phrase in enumerate(phrases(run)):
        if phrase in wanted:
            if place > end:
                if end:
                    yield run[start:end]
                start = place
            end = place + LENGTH
    if end:
        yield run[start:end]


def _own(of: Iterable[list[str]], wanted: Set[str]) -> list[list[str]]:
    """The parts of runs that are in a student's own phrases: whole runs, and what is more than the seam of two quotations."""
    return [part for run in of for part in _parts_in(run, wanted) if len(part) >= min(_LEAST_PART, len(run))]


def _phrases_of(book: Iterable[list[str]]) -> frozenset[str]:
    return frozenset(phrase for run in book for phrase in phrases(run))


def _end(content: bytes) -> str:
    """A member's end as text."""
    return decoded(content[-_LARGEST:], keep=_INVISIBLE)


def _bare(line: str) -> str:
    """A line without the marks of a list, a quotation or a prompt."""
    return " ".join(line.strip(" \t`>*-#$").split())


def _cut(of: Iterable[list[str]], most: int) -> list[list[str]]:
    """The first runs, up to that many words."""
    found: list[list[str]] = []
    for run in of:
        found.append(run[:most])
        most -= len(run)
        if most <= 0:
            break
    return found


def _pairs(texts: Iterable[str], known: Given) -> frozenset[str]:
    """Each line with the one after it, unless both were given."""
    found: set[str] = set()
    for text in texts:
        lines = [" ".join(line.split()) for line in text.splitlines() if line.strip() and not _STAMP.fullmatch(line)]
        for first, second in pairwise(lines):
            if not (known.has(first) and known.has(second)):
                found.add(f"{first}; {second}")
            if len(found) >= _MOST_LINES:
                return frozenset(found)
    return frozenset(found)


def _is_strange(line: str, known: Given, everyday: Set[str]) -> bool:
    """Whether a line has a word of four letters or more that neither the lab nor everyday work on a machine brings."""
    return any(len(word) > 3 and word not in everyday and not known.has(word) for word in words(line))


def _paths(lab: Lab, student: Student) -> Iterator[tuple[str, str]]:
    """The files that the lab's templates make: what else is below /etc comes from packages, the same for everybody."""
    for machine, files in lab.files.items():
        for file in files:
            yield (
                machine,
                re.sub(
                    r"\{\{ *(student\.id|network) *\}\}",
                    lambda found: student.id if found[1] == "student.id" else student.prefix,
                    file.path,
                ),
            )


def _cut_off(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1].rsplit(" ", 1)[0] + " …"
