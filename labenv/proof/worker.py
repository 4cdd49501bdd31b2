"""One process of a proof: judges rows as their names arrive on standard input, and answers with their outcomes.

    python -m labenv.proof.worker NAME|FOLDER PREFIX

The checks of a process run in one environment at a time, so what goes on side by side needs processes. Ctrl-C does not reach this
one: who started it ends it.
"""

import json
import os
import sys
from itertools import count
from typing import IO, Any

from labenv.engine import Engine
from labenv.engine.find import connect
from labenv.errors import LabenvError
from labenv.events import silent
from labenv.lab import labs
from labenv.proof.judge import judged
from labenv.proof.place import Place
from labenv.proof.rows import rows


def main(source: str, prefix: str) -> None:
    """Judge rows until the input ends; then remove the environments."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a check may print is no answer
    numbers = count(1)
    lab = labs.load(source)
    place = Place(Engine(connect(silent, start=False)), lab, source, lambda: f"{prefix}-{next(numbers)}")
    known = {row.id: row for row in rows(lab)}
    try:
        for line in sys.stdin:
            try:
                _answer(answers, {"outcome": judged(place, known[line.strip()]).to_dict()})
            except LabenvError as error:
                _answer(answers, {"error": str(error), "code": error.exit_code})
    finally:
        place.remove()


def _answer(answers: IO[str], said: dict[str, Any]) -> None:
    answers.write(f"{json.dumps(said)}\n")
    answers.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2])
    except LabenvError as failed:
        sys.exit(str(failed))
