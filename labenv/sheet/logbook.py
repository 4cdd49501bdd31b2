"""The student's log book: a Markdown file that labenv starts on `host`, and what of it the student has filled.

What is labenv's own in a book is told by the blank one, so headings and prompts stand in the lab's template alone.
"""

import base64
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from labenv.environment import Environment
from labenv.errors import EngineError, UsageError
from labenv.lab import labs, templates
from labenv.lab.model import Lab
from labenv.student import Student

if TYPE_CHECKING:
    from labenv.engine import Engine

PATH = "/root/logbook.md"
LARGEST = 1_000_000
_KEEPER = "host"
_CHUNK = 60_000  # Linux takes 128 KiB as one argument of a command (execve(2), MAX_ARG_STRLEN)
# What says when and where, but not what was done.
_FORMAL = {"date", "machine", "step"}


@dataclass
class Part:
    """What stands under one of the book's sub-headings: the student's `own` lines, without what labenv wrote."""

    title: str
    own: list[str] = field(default_factory=list)
    says: bool = False

    def take(self, text: str, label: str) -> None:
        """Note a line of the student's, behind a label or behind none."""
        self.own.append(text)
        self.says = self.says or (label not in _FORMAL and bool(re.search(r"\w", text)))


@dataclass
class Section:
    """A section of the book with its parts. `loose` is what stands outside of them, or where a sub-heading is gone."""

    title: str
    parts: list[Part]
    loose: Part
    found: set[str] = field(default_factory=set)

    @property
    def empty(self) -> tuple[str, ...]:
        """The parts with nothing in them; one whose sub-heading is gone counts as answered by loose text."""
        return tuple(p.title for p in self.parts if not p.says and (p.title in self.found or not self.loose.says))

    @property
    def is_filled(self) -> bool:
        """Whether every part has something in it."""
        return not self.empty

    def to_dict(self) -> dict[str, Any]:
        """It as `logbook --json` shows it."""
        return {"section": self.title, "filled": self.is_filled, "empty": list(self.empty)}


def blank(lab: Lab, student: Student) -> str:
    """The book as it is started for a student. Raises UsageError if the lab has none."""
    names = [file.template for file in lab.files.get(_KEEPER, ()) if file.path == PATH and file.template]
    if not names:
        raise UsageError(f"{lab.id} has no log book: its lab.yaml lays no {PATH} on {_KEEPER}.")
    return templates.file(lab.folder / "templates", names[0], student=student, network=student.prefix)


def sections(text: str, empty_book: str) -> list[Section]:
    """What a book holds of the student's own, by the sections of the blank one.

    Headings and labels are known again by their words, so a book may be indented, wrapped or marked up anew.
    """
    book = _outline(empty_book)
    titles = {_words(section.title): section for section in book}
    labels = {_words(line) for line in empty_book.splitlines() if re.match(r"\s*- .+:\s*$", line)}
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
                label, line = known, line.partition(":")[2]  # noqa: PLW2901  # what stands behind the label
            if line.strip(" *_-"):
                part.take(line.strip(), label)
    return book


def own_words(book: list[Section]) -> str:
    """All that the student wrote, as lower-case words: what two students who shared a book have in common."""
    lines = [line for section in book for part in (section.loose, *section.parts) for line in part.own]
    return _words(" ".join(lines))


def read(engine: "Engine", environment: Environment) -> str:
    """The student's book; a missing one is started anew. Raises EngineError if host does not run or the book is huge."""
    with engine.shell(environment.machine(_KEEPER)) as channel:
        found = channel.run(f"test -e {PATH} || exit 9; head -c {LARGEST + 1} {PATH}")
    if found.rc == 9:
        text = blank(labs.load(environment.lab), environment.student)
        write(engine, environment, text)
        return text
    if found.rc:
        raise EngineError(
            f"The log book {PATH} on {_KEEPER} cannot be read: {found.complaint}. Move what is there away."
        )
    if len(found.stdout) > LARGEST:
        raise EngineError(f"The log book {PATH} on {_KEEPER} is larger than {LARGEST} bytes. Shorten it there.")
    return found.text


def write(engine: "Engine", environment: Environment, text: str) -> None:
    """Put a book in the place of the student's, whole or not at all; the one before is kept beside it, with a ~.

    Raises UsageError for a book that is too large, EngineError if host does not run or cannot keep it.
    """
    data = text.encode()
    if len(data) > LARGEST:
        raise UsageError(f"This log book has {len(data)} bytes; {LARGEST} is the most. Shorten it.")
    steps = [f": > {PATH}.new"]
    for start in range(0, len(data), _CHUNK):
        piece = base64.b64encode(data[start : start + _CHUNK]).decode()
        steps.append(f"printf %s {piece} | base64 -d >> {PATH}.new")
    steps.append(f"chmod 0644 {PATH}.new && {{ test ! -f {PATH} || cp {PATH} {PATH}~; }} && mv -T {PATH}.new {PATH}")
    with engine.shell(environment.machine(_KEEPER)) as channel:
        for step in steps:
            done = channel.run(step)
            if done.rc:
                raise EngineError(f"The log book could not be kept on {_KEEPER}: {done.complaint}.")


def as_json(student: str, book: list[Section]) -> dict[str, Any]:
    """The book as `logbook --json` shows it."""
    answers = [
        {
            **section.to_dict(),
            "parts": [{k: v for k, v in asdict(part).items() if k != "says"} for part in section.parts],
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
