"""A drill in words: the one that runs, and how one went."""

from labenv.environments.drill_records import Result, Running


def going(found: Running) -> str:
    """How far a running drill is: its level, since when, and the help so far."""
    return f"Level {found.drill.level}, running for {time(found.seconds)}, hints: {len(found.hinted)}"


def goes_on(failed: int) -> str:
    """Why a drill is not over. Which checks fail would give the fault away."""
    return f"{failed} {'check fails' if failed == 1 else 'checks fail'}, so the drill continues."


def outcome(result: Result) -> str:
    """Which drill it was, and how it ended."""
    how = "fixed" if result.mended else "ended by the teacher" if result.by_teacher else "given up"
    return f"{result.name} (level {result.level}): {how} after {time(result.seconds)}"


def rows(result: Result) -> list[tuple[str, str]]:
    """How a drill went, each fact with its name; the way to fix it is in `Result.solution`."""
    diagnosis = "never" if result.to_diagnosis is None else f"after {time(result.to_diagnosis)}"
    said = ", ".join(entry.layer + (" (after a change)" if entry.touched else "") for entry in result.diagnoses)
    return [
        ("The fault", f"{result.title} ({' or '.join((result.layer, *result.also))})"),
        ("Why", result.explanation),
        ("Diagnosed", f"{diagnosis}; you said {said or 'nothing'}"),
        ("Hints", f"{result.hints}"),
        ("Checks run", f"{result.looks} (labenv check, next and hint)"),
        ("Lines changed beyond the fault", "not known" if result.beyond is None else f"{result.beyond}"),
        ("Saved before", f"{result.saved}; to remove it: labenv saves --remove {result.saved}"),
    ]


def time(seconds: int) -> str:
    """A duration as a person reads it: "2 min 5 s"."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
