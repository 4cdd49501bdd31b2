"""Who looks on while the checks of an environment run."""

from collections.abc import Callable
from dataclasses import dataclass

from labenv.checks.results import CheckResult
from labenv.errors import LabenvError


class Overtaken(LabenvError):
    """What a run of the checks looked at has changed meanwhile, so it was given up."""


@dataclass(frozen=True)
class Onlooker:
    """`tell` is given, again and again, all results that are certain by then. `urgent` are steps to check first.

    Once `is_over` says so, the run is given up, after the first results.
    """

    tell: Callable[[tuple[CheckResult, ...]], None] = lambda _: None
    is_over: Callable[[], bool] = lambda: False
    urgent: frozenset[str] = frozenset()
