"""How the class commands tell what came of many students: a line for each, and those who failed once, at the end, with the reason."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from labenv.classroom.folder.model import Class
    from labenv.errors import LabenvError


def document(of: "Class", done: Iterable[Mapping[str, Any]], errors: "Mapping[str, LabenvError]") -> dict[str, Any]:
    """What came of a command as its --json shows it: the students for whom it was done, and those for whom it failed."""
    failed = [{"student": who, "error": str(error), "code": error.exit_code} for who, error in errors.items()]
    return {"class": of.id, "students": list(done), "failed": failed}


def finish(errors: "Mapping[str, LabenvError]", whole: int) -> None:
    """Say on stderr who failed and why, and exit with the worst code; does nothing if nobody did."""
    if not errors:
        return
    print(f"labenv: {len(errors)} of {students(whole)} failed:", *_reasons(errors), sep="\n", file=sys.stderr)
    raise typer.Exit(max(error.exit_code for error in errors.values()))


def students(count: int) -> str:
    """A number of students in words."""
    return "1 student" if count == 1 else f"{count} students"


def agreed(question: str, told: Iterable[str], *, yes: bool) -> bool:
    """Whether the teacher wants that: asked in a terminal, after what is `told`, unless --yes was given. A script has nobody to ask."""
    if yes or not sys.stdin.isatty():
        return True
    print(*told, sep="\n", file=sys.stderr)
    if typer.confirm(question, default=False, err=True):
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False


def _reasons(errors: "Mapping[str, LabenvError]") -> Iterator[str]:
    """The reasons, each with all the students whom it kept."""
    whose: dict[str, list[str]] = {}
    for who, error in sorted(errors.items()):
        whose.setdefault(str(error), []).append(who)
    for reason, names in whose.items():
        yield f"  {', '.join(names)}: {reason}"
