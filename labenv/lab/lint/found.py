"""What is wrong with a lab, each with its place in a file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labenv.lab.positions import Place, Positions


@dataclass(frozen=True)
class Finding:
    """A problem in a file of the lab, at a step or at none, and the way out; `line` and `column` count from 1, 0 is none."""

    file: str
    step: str
    sentence: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """As a compiler says it: "steps.yaml:12:5: step 17: …"."""
        place = ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])
        return ": ".join(part for part in (place, self.step and f"step {self.step}", self.sentence) if part)

    def to_dict(self) -> dict[str, Any]:
        """As `lab lint --json` shows it."""
        return {**vars(self)}


class Found:
    """Collects the findings of one lab."""

    def __init__(self, folder: Path) -> None:
        """Nothing is found yet."""
        self.folder = folder
        self.findings: list[Finding] = []
        self._positions: dict[str, Positions] = {}

    def add(self, file: str, sentence: str, at: Place = (), *, step: str = "", text_line: int = 0) -> None:
        """Note a problem at a place of a YAML file that can be parsed; `text_line` is a line within the text that stands there."""
        self.add_at(file, sentence, *self.positions(file).of(at, text_line), step=step)

    def add_at(self, file: str, sentence: str, line: int = 0, column: int = 0, *, step: str = "") -> None:
        """Note a problem at a line and a column of any file."""
        self.findings.append(Finding(file, step, sentence, line, column))

    def positions(self, file: str) -> Positions:
        """Where what is in a YAML file of the lab, which can be parsed."""
        if file not in self._positions:
            self._positions[file] = Positions(self.folder / file)
        return self._positions[file]

    def unknown(
        self, file: str, what: str, named: Iterable[tuple[str, Place]], known: Iterable[str], *, step: str = ""
    ) -> None:
        """Note each name, once, that is not known."""
        there, said = list(known), set()
        for name, place in named:
            if name not in there and name not in said:
                said.add(name)
                self.add(file, _unknown(what, name, there), place, step=step)

    def unknown_at(
        self, file: str, what: str, names: Iterable[str], known: Iterable[str], line: int, step: str
    ) -> None:
        """Note each name that is not known, at a line of any file."""
        there = list(known)
        for name in dict.fromkeys(names):
            if name not in there:
                self.add_at(file, _unknown(what, name, there), line, 1, step=step)


def _unknown(what: str, name: str, there: Iterable[str]) -> str:
    return f"the {what} '{name}' is unknown. The {what}s are: {', '.join(sorted(there)) or 'none'}."
