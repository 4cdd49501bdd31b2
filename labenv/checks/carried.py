"""What of a machine's configuration can be carried to another machine, where no program of a student's has a say.

A law says it of files: their text is read as what it is, and whatever names a program, or a file of elsewhere, is left out. The
core has laws for what every machine has, and a kit those for the files of its servers. What no law is about is not carried.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

# Takes a file's text, and returns what of it is carried, with a few words on each thing that is not.
Judge = Callable[[str], tuple[str, list[str]]]
LONGEST_LINE = 4_000


@dataclass(frozen=True)
class Law:
    """What is carried of files; `paths` are paths with the wildcards of a shell.

    Without a `judge` they are the image's own, and stay as they are there. With `makes`, they are no text: the command makes such a
    file again from its source; `{source}` in it stands for that, the path without its last suffix.
    """

    paths: tuple[str, ...]
    judge: Judge | None = None
    makes: tuple[str, ...] = ()
    secrets: re.Pattern[str] | None = None

    def is_about(self, path: str) -> bool:
        """Whether a file of that path is meant."""
        return any(matches(path, pattern) for pattern in self.paths)

    def without_secrets(self, text: str) -> str:
        """The text with asterisks in place of passwords."""
        for found in reversed(list(self.secrets.finditer(text)) if self.secrets else []):
            text = text[: found.start(1)] + "*" * len(found[1]) + text[found.end(1) :]
        return text


def matches(path: str, pattern: str) -> bool:
    """Whether a shell would find the path by the pattern: a wildcard stands for no slash, and for no dot at the beginning of a name."""
    names, wanted = path.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(
        fnmatchcase(name, want) and (not name.startswith(".") or want.startswith("."))
        for name, want in zip(names, wanted, strict=True)
    )


def law_of(path: str, laws: Iterable[Law]) -> Law | None:
    """The first law that is about a path, if there is one."""
    return next((law for law in laws if law.is_about(path)), None)


def by_lines(wrong: Callable[[str], str]) -> Judge:
    """A judge of single lines: `wrong` says in a few words why a line is not carried, or nothing. An empty line takes its place."""

    def judge(text: str) -> tuple[str, list[str]]:
        lines = text.split("\n")
        return left_out(lines, {number: said for number, line in enumerate(lines) if (said := wrong(line))})

    return judge


def left_out(lines: list[str], wrong: dict[int, str]) -> tuple[str, list[str]]:
    """The text without those lines, and what is wrong with them as `Judge` returns it. Lines are counted from 0; "" says nothing."""
    kept = ["" if number in wrong else line for number, line in enumerate(lines)]
    return "\n".join(kept), [f"line {number + 1}: {said}" for number, said in wrong.items() if said]


def is_plain(line: str) -> str:
    """Why a line is none of plain text, or nothing. A carriage return at its end is carried: it may be the mistake."""
    if len(line) > LONGEST_LINE:
        return f"it has more than {LONGEST_LINE} characters"
    return "" if line.removesuffix("\r").replace("\t", " ").isprintable() else "it has control characters"


def logical(lines: list[str]) -> Iterator[tuple[list[int], str]]:
    """The entries of a file in which a line that begins with a blank continues the one before: their lines, and their text as one.

    Comments and empty lines belong to none (postconf(5), aliases(5), master(5)).
    """
    at: list[int] = []
    for number, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and at:
            at.append(number)
            continue
        if at:
            yield at, " ".join(lines[i].strip() for i in at)
        at = [number]
    if at:
        yield at, " ".join(lines[i].strip() for i in at)
