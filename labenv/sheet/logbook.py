"""The student's log book: a Markdown file that labenv creates on a machine of the lab, and what the student has filled in.

The blank book tells what is labenv's own in a book, so headings and prompts are only in the lab's template.
"""

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labenv.environment import Environment
from labenv.errors import EngineError, UsageError
from labenv.lab import labs, templates
from labenv.lab.model import Lab
from labenv.sheet.filler import is_filler
from labenv.student import Student
from labenv.text import one_line

if TYPE_CHECKING:
    from labenv.engine import Engine

PATH = "/root/logbook.md"
PAST = "/root/logbook-{}.md"  # the book of a lab that the student has gone on from
LARGEST = 1_000_000
_CHUNK = 60_000  # Linux limits one argument of a command to 128 KiB (execve(2), MAX_ARG_STRLEN)
# Labels that say when and where, but not what was done.
_FORMAL = {"date", "machine", "step"}
_QUOTED = 40  # characters of a text that says nothing


@dataclass
class Part:
    """The text under one of the book's sub-headings: the student's `own` lines, without what labenv wrote."""

    title: str
    own: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def take(self, text: str, label: str, printed: set[str]) -> None:
        """Add a line of the student's, after a label or without one. What is `printed` in the blank book tells nothing."""
        self.own.append(text)
        if label not in _FORMAL and _words(text) and _words(text) not in printed:
            self.told.append(text)

    @property
    def filler(self) -> str:
        """The text, if it says nothing ("asdf"); otherwise empty."""
        text = " ".join(self.told)
        return text if is_filler(text) else ""

    @property
    def says(self) -> bool:
        """Whether there is text that says something."""
        return bool(self.told) and not self.filler


@dataclass
class Section:
    """A section of the book with its parts. `loose` is the text outside them, or where a sub-heading was removed."""

    title: str
    parts: list[Part]
    loose: Part
    found: set[str] = field(default_factory=set)

    @property
    def empty(self) -> tuple[str, ...]:
        """The parts that are not written; loose text counts as the answer to a part whose sub-heading was removed."""
        return tuple(p.title for p in self.parts if not p.says and (p.title in self.found or not self.loose.says))

    @property
    def missing(self) -> str:
        """What is not written yet, as a sentence without its end; empty if every part is."""
        if not self.empty:
            return ""
        first, *more = self.empty
        others = f" and {len(more)} more" if more else ""
        filler = next(p.filler for p in self.parts if p.title == first) or (
            self.loose.filler if self.loose.told else ""
        )
        if filler:
            return f"{self.title}, '{first}'{others} is not written yet: it says only '{one_line(filler)[:_QUOTED]}'"
        return f"the log book has nothing under {self.title}, '{first}'{others}"

    @property
    def has_text(self) -> bool:
        """Whether every part has some text, even if it says nothing: what earlier versions of labenv asked for."""
        return all(p.told or (self.loose.told and p.title not in self.found) for p in self.parts)

    @property
    def is_filled(self) -> bool:
        """Whether every part has text."""
        return not self.empty

    def to_dict(self) -> dict[str, Any]:
        """The section as `logbook --json` shows it."""
        return {"section": self.title, "filled": self.is_filled, "empty": list(self.empty)}


def keeper(lab: Lab) -> str:
    """The machine that has the book. Raises UsageError if the lab has none."""
    return _kept(lab)[0]


def exists(lab: Lab) -> bool:
    """Whether the lab has a log book."""
    return bool(_books(lab))


def blank(lab: Lab, student: Student) -> str:
    """The blank book for a student. Raises UsageError if the lab has none."""
    return templates.file(lab.folder / "templates", _kept(lab)[1], student=student, network=student.prefix)


def _kept(lab: Lab) -> tuple[str, str]:
    """The machine that has the book, and its template."""
    if not (found := _books(lab)):
        raise UsageError(f"{lab.id} has no log book: its lab.yaml has no file {PATH} for any machine.")
    return found[0]


def _books(lab: Lab) -> list[tuple[str, str]]:
    return [
        (m, file.template) for m, files in lab.files.items() for file in files if file.path == PATH and file.template
    ]


def sections(text: str, empty_book: str) -> list[Section]:
    """The student's own text in a book, by the sections of the blank one.

    Headings and labels are recognized by their words, so a book may be indented, wrapped or marked up differently.
    """
    book = _outline(empty_book)
    titles = {_words(section.title): section for section in book}
    labels = {_words(line) for line in empty_book.splitlines() if re.match(r"\s*- .+:\s*$", line)}
    printed = {
        _words(re.sub(r"^[#\s]*(\d+\.\s)?", start, line)) for line in empty_book.splitlines() for start in ("", r"\1")
    }
    section: Section | None = None
    part: Part | None = None
    parts: dict[str, Part] = {}
    label, fenced = "", False
    for line in re.sub(r"<!--.*?(-->|\Z)", "", text, flags=re.DOTALL).splitlines():
        if re.match(r"\s*(```|~~~)", line):
            fenced = not fenced
            continue
        words = "" if fenced else _words(line)
        if words and (new := titles.get(words)):
            section, part, label = new, new.loose, ""
            parts = {_words(p.title): p for p in new.parts}
        elif section and words and (sub := parts.get(words)):
            section.found.add(sub.title)
            part, label = sub, ""
        elif part and line.strip():
            known = next((name for name in labels if words == name or words.startswith(f"{name} ")), None)
            if known and ":" in line:
                label, line = known, line.partition(":")[2]  # noqa: PLW2901  # the text after the label
            if line.strip(" *_-"):
                part.take(line.strip(), label, set() if fenced else printed)
    return book


def own_words(book: list[Section]) -> str:
    """All that the student wrote, as lower-case words: the same for two students who shared a book."""
    lines = [line for section in book for part in (section.loose, *section.parts) for line in part.own]
    return _words(" ".join(lines))


def read(engine: "Engine", environment: Environment) -> str:
    """The student's book; a missing one is created.

    Raises UsageError if the lab has none, EngineError if its machine is not running or the book is too large.
    """
    lab = labs.of(environment)
    machine = keeper(lab)
    with engine.shell(environment.machine(machine)) as channel:
        found = channel.run(f"test -e {PATH} || exit 9; head -c {LARGEST + 1} {PATH}")
    if found.rc == 9:
        text = blank(lab, environment.student)
        write(engine, environment, text)
        return text
    if found.rc:
        raise EngineError(f"The log book {PATH} on {machine} cannot be read: {found.complaint}. Move it away.")
    if len(found.stdout) > LARGEST:
        raise EngineError(f"The log book {PATH} on {machine} is larger than {LARGEST} bytes. Shorten it there.")
    return found.text


def write(engine: "Engine", environment: Environment, text: str) -> None:
    """Replace the student's book, completely or not at all; the old one is kept beside it, with a ~.

    Raises UsageError for a book that is too large, or if the lab has none, EngineError if its machine is not running or cannot
    store it.
    """
    machine = keeper(labs.of(environment))
    data = text.encode()
    if len(data) > LARGEST:
        raise UsageError(f"This log book has {len(data)} bytes; the limit is {LARGEST}. Shorten it.")
    steps = [f": > {PATH}.new"]
    for start in range(0, len(data), _CHUNK):
        piece = base64.b64encode(data[start : start + _CHUNK]).decode()
        steps.append(f"printf %s {piece} | base64 -d >> {PATH}.new")
    steps.append(f"chmod 0644 {PATH}.new && {{ test ! -f {PATH} || cp {PATH} {PATH}~; }} && mv -T {PATH}.new {PATH}")
    with engine.shell(environment.machine(machine)) as channel:
        for step in steps:
            done = channel.run(step)
            if done.rc:
                raise EngineError(f"The log book could not be written on {machine}: {done.complaint}.")


def as_json(student: str, book: list[Section]) -> dict[str, Any]:
    """The book as `logbook --json` shows it."""
    answers = [
        {
            **section.to_dict(),
            "parts": [{"title": part.title, "own": part.own} for part in section.parts],
        }
        for section in book
    ]
    return {"student": student, "path": PATH, "sections": answers}


def _outline(empty_book: str) -> list[Section]:
    book: list[Section] = []
    for line in empty_book.splitlines():
        if line.startswith("## "):
            book.append(Section(line[3:].strip(), [], Part("")))
        elif line.startswith("### ") and book:
            book[-1].parts.append(Part(line[4:].strip()))
    return book


def _words(line: str) -> str:
    return re.sub(r"[\W_]+", " ", line).strip().casefold()
