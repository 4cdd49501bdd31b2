"""What a proof has found out, kept from run to run: a row that passed need not be judged again while nothing about it changed.

A row depends on the lab's files, on labenv itself and on the images. What is only about one fault, variant or drill concerns that
row alone. Translations concern none.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from labenv import places, resources
from labenv.errors import UsageError
from labenv.lab import drills, trust
from labenv.lab.model import Lab, parsed
from labenv.proof.rows import Outcome, Row, outcome

_TRANSLATION = re.compile(r"\.[a-z]{2,3}(_[A-Z]{2})?\.yaml$")
_PROGRAM = Path(__file__).parents[1]  # labenv itself


class Book:
    """The outcomes of a lab's rows that passed: a line of JSON each, in a file of the user's state folder."""

    def __init__(self, lab: Lab, tags: Iterable[str]) -> None:
        """`tags` are those of the images that the lab's machines are made from."""
        whose = hashlib.sha256(str(lab.folder.resolve()).encode()).hexdigest()[:8]
        self._file = places.state() / "proofs" / f"{lab.id}-{whose}.jsonl"
        self._common = _common(lab, tags)
        self._own = _own(lab)

    def passed(self) -> dict[str, Outcome]:
        """The outcomes of rows that passed and of which nothing has changed since, by the rows' ids."""
        found: dict[str, Outcome] = {}
        for entry in self._entries():
            with suppress(KeyError, TypeError, ValueError):
                if entry["digest"] == self._digest(entry["outcome"]["row"]):
                    there = outcome(entry["outcome"], earlier=True)
                    found[there.row] = there
        return found

    def keep(self, done: Outcome) -> None:
        """Remember a row that passed. Raises UsageError if the file cannot be written."""
        line = json.dumps({"digest": self._digest(done.row), "outcome": done.to_dict()})
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise UsageError(
                f"{self._file} cannot be written: {error.strerror}. {places.way_out(self._file)}"
            ) from error

    def forget(self, rows: Iterable[Row]) -> None:
        """Forget these rows, and what no longer counts."""
        gone = {row.id for row in rows}
        kept = [one for one in self.passed().values() if one.row not in gone]
        self._file.unlink(missing_ok=True)
        for one in kept:
            self.keep(one)

    def _entries(self) -> Iterator[Any]:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            with suppress(ValueError):  # the last line of a run that was killed
                yield json.loads(line)

    def _digest(self, row: str) -> str:
        return hashlib.sha256(f"{self._common}\0{self._own.get(row, '')}".encode()).hexdigest()


def _common(lab: Lab, tags: Iterable[str]) -> str:
    """A hash over everything that all rows depend on."""
    found = hashlib.sha256()
    apart = {lab.folder / "mutations.yaml", *drills.originals(lab.folder / "drills")}
    of_lab = [path for path in _files(lab.folder) if path not in apart and not _TRANSLATION.search(path.name)]
    of_labenv = [path for path in _files(_PROGRAM) if not path.is_relative_to(_PROGRAM / "labs")]
    before = [each.folder for each in lab.sources[:-1]]
    beside = [(folder, _files(folder)) for folder in (*before, resources.topologies())]
    for folder, files in ((lab.folder, of_lab), (_PROGRAM, of_labenv), *beside):
        for path in files:
            found.update(f"{path.relative_to(folder)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    found.update("\0".join(sorted(tags)).encode())
    return found.hexdigest()


def _own(lab: Lab) -> dict[str, str]:
    """What only one row depends on, by its id."""
    path = lab.folder / "mutations.yaml"
    tree = parsed(path) if path.exists() else {}
    kinds = (("fault", "faults"), ("variant", "variants"))
    found = {f"{kind}/{entry['id']}": json.dumps(entry) for kind, key in kinds for entry in tree.get(key, ())}
    found |= {
        f"drill/{file.stem}": file.read_text(encoding="utf-8") for file in drills.originals(lab.folder / "drills")
    }
    # The first stage's solutions are tried on the faults of its steps.
    return found | {f"solution/{lab.stages[0].id}": json.dumps(tree)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not trust.NOT_FILES & set(path.parts))
