"""How the class commands tell what came of many students: a line for each, and those who failed once, at the end, with the reason."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from labenv.errors import LabenvError
from labenv.text import many

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Class
    from labenv.environment import Environment

T = TypeVar("T")

_NAMED = 8  # students in a sentence


def sorted_out(coming: Iterable[tuple[str, T | LabenvError]]) -> tuple[dict[str, T], dict[str, LabenvError]]:
    """What came of each student, as it comes: the results, and the errors, both by student."""
    done, errors = {}, {}
    for who, result in coming:
        if isinstance(result, LabenvError):
            errors[who] = result
        else:
            done[who] = result
    return dict(sorted(done.items())), dict(sorted(errors.items()))


def document(of: "Class", done: Iterable[Mapping[str, Any]], errors: Mapping[str, LabenvError]) -> dict[str, Any]:
    """What came of a command as its --json shows it: the students for whom it was done, and those for whom it failed."""
    failed = [{"student": who, "error": str(error), "code": error.exit_code} for who, error in errors.items()]
    return {"class": of.id, "students": list(done), "failed": failed}


def finish(errors: Mapping[str, LabenvError], whole: int, *, at_least: int = 0) -> None:
    """Say on stderr who failed and why, and exit with the highest code, which is `at_least` that; goes on if it is 0."""
    if errors:
        print(f"labenv: {len(errors)} of {students(whole)} failed:", *_reasons(errors), sep="\n", file=sys.stderr)
    if code := max([at_least, *(error.exit_code for error in errors.values())]):
        raise typer.Exit(code)


def students(count: int) -> str:
    """A number of students in words."""
    return many(count, "student")


def environments(there: "Sequence[Environment]") -> str:
    """Whose environments they are, in words."""
    names = ", ".join(each.student.id for each in there[:_NAMED])
    more = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
    return f"{many(len(there), 'environment')} ({names}{more})"


def agreed(question: str, told: Iterable[str], *, yes: bool) -> bool:
    """Whether the teacher wants that: asked in a terminal, after what is `told`, unless --yes was given. A script has nobody to ask."""
    if yes or not sys.stdin.isatty():
        return True
    print(*told, sep="\n", file=sys.stderr)
    if typer.confirm(question, default=False, err=True):
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False


def _reasons(errors: Mapping[str, LabenvError]) -> Iterator[str]:
    """The reasons, each with all the students whom it kept; what differs by the student's id only is said once."""
    whose: dict[str, dict[str, str]] = {}
    for who, error in sorted(errors.items()):
        general = re.sub(rf"(?<![\w-]){re.escape(who)}(?![\w-])", "STUDENT", str(error))
        whose.setdefault(general, {})[who] = str(error)
    for general, said in whose.items():
        yield f"  {', '.join(said)}: {next(iter(said.values())) if len(said) == 1 else general}"
