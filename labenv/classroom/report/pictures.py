"""The pictures of a report: what each shows as coordinates, for the SVG that the templates make of them.

All are WIDTH wide, so that they are read without a magnifier on a telephone, too; `words` say in a sentence what is to be seen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from statistics import median, quantiles

from labenv.classroom.grading.model import Grade

WIDTH, HEIGHT = 380, 170
LEFT, RIGHT, TOP, BOTTOM = 34, 370, 12, 144  # where the axes are
_SMALL_WIDTH, _SMALL_HEIGHT, _EDGE = 160, 36, 4
_MOST_TICKS = 5
_DAYS = (1, 2, 7, 14, 28, 56, 112)
_MOST_MOMENTS = 60  # of a curve


@dataclass(frozen=True)
class Bar:
    """A bar from the bottom: `count` is written above it."""

    x: float
    y: float
    width: float
    height: float
    count: int


@dataclass(frozen=True)
class Histogram:
    """How many students have how many percent, in tens; 100 counts with the nineties."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    words: str


@dataclass(frozen=True)
class Curve:
    """Something over time, 0 to 100 percent: a line, a band around it or "", and the due date's place or None."""

    line: str
    band: str
    dots: tuple[tuple[float, float], ...]
    due: float | None
    ticks: tuple[tuple[float, str], ...]
    words: str


def histogram(percents: Sequence[float]) -> Histogram:
    """The distribution of the results."""
    counts = [0] * 10
    for percent in percents:
        counts[min(9, max(0, int(percent // 10)))] += 1
    wide = (RIGHT - LEFT) / 10
    tall = (BOTTOM - TOP - 12) / max(1, *counts)
    bars = tuple(
        Bar(
            round(LEFT + place * wide + 1.5, 1),
            round(BOTTOM - count * tall, 1),
            wide - 3,
            round(count * tall, 1),
            count,
        )
        for place, count in enumerate(counts)
    )
    ticks = tuple((LEFT + place * wide, f"{place * 10}") for place in range(0, 11, 2))
    told = ", ".join(f"{count} from {place * 10} %" for place, count in enumerate(counts) if count)
    return Histogram(bars, ticks, f"How many students reach how many percent, in tens: {told or 'nobody yet'}.")


def handed_in(grades: Iterable[Grade], students: int, due: datetime | None, zone: tzinfo) -> Curve | None:
    """Which share of the students has handed in by when. None if no time of a hand-in is known."""
    there = [grade for grade in grades if grade.source != "environment" and not grade.missing]
    times = sorted(grade.handed_in for grade in there if grade.handed_in)
    if not times:
        return None
    scale = _Scale([*times, *([due] if due else [])], zone)
    share = [100 * count / students for count in range(1, len(times) + 1)]
    points = [(scale.x(times[0]), _y(0))]
    for moment, percent in zip(times, share, strict=True):
        points += [(scale.x(moment), points[-1][1]), (scale.x(moment), _y(percent))]
    first, last = _said(times[0], zone), _said(times[-1], zone)
    words = f"{len(there)} of {students} students handed in, {f'between {first} and {last}' if last != first else f'on {first}'}"
    if due:
        words += f"; {sum(moment > due for moment in times)} of them after the due date, {_said(due, zone)}"
    words += "."
    if unknown := len(there) - len(times):
        words += f" For {unknown} of them no time is known, so the line leaves them out."
    return Curve(_path(points), "", (), scale.x(due) if due else None, scale.ticks, words)


def progress(history: Sequence[Grade], due: datetime | None, zone: tzinfo) -> Curve | None:
    """The median of what each student had at a time, and where the middle half is. None if all was graded at one time."""
    moments = sorted({grade.graded for grade in history})
    if not moments or moments[-1] - moments[0] < timedelta(hours=1):
        return None
    step = (moments[-1] - moments[0]) / _MOST_MOMENTS
    latest: dict[str, float] = {}
    waiting = sorted(history, key=lambda grade: grade.graded)
    place, taken = 0, moments[0] - timedelta(days=1)
    middle: list[tuple[datetime, float, float, float]] = []
    while place < len(waiting):
        until = max(waiting[place].graded, taken + step)
        while place < len(waiting) and waiting[place].graded <= until:
            latest[waiting[place].student] = waiting[place].percent
            place += 1
        taken = until
        low, mid, high = (
            quantiles(latest.values(), n=4, method="inclusive") if len(latest) > 1 else [*latest.values()] * 3
        )
        middle.append((until, low, mid, high))
    scale = _Scale([*(each[0] for each in middle), *([due] if due else [])], zone)
    line = [(scale.x(moment), _y(mid)) for moment, _, mid, _ in middle]
    upper = [(scale.x(moment), _y(high)) for moment, _, _, high in middle]
    lower = [(scale.x(moment), _y(low)) for moment, low, _, _ in reversed(middle)]
    words = (
        f"The median of the class went from {middle[0][2]:.0f} % on {_said(middle[0][0], zone)} to {middle[-1][2]:.0f} % on "
        f"{_said(middle[-1][0], zone)}; the middle half then has {middle[-1][1]:.0f} to {middle[-1][3]:.0f} %."
    )
    return Curve(
        _path(line), f"{_path([*upper, *lower])}Z", tuple(line), scale.x(due) if due else None, scale.ticks, words
    )


def small(past: Sequence[Grade], zone: tzinfo) -> Curve | None:
    """One student's gradings over time, small enough for a line of text. None for fewer than two."""
    if len(past) < 2:
        return None
    first, whole = past[0].graded, (past[-1].graded - past[0].graded) or timedelta(seconds=1)
    dots = tuple(
        (
            round(_EDGE + (grade.graded - first) / whole * (_SMALL_WIDTH - 2 * _EDGE), 1),
            round(_EDGE + (1 - min(100.0, grade.percent) / 100) * (_SMALL_HEIGHT - 2 * _EDGE), 1),
        )
        for grade in past
    )
    words = (
        "Percent over time: " + ", ".join(f"{each.percent:.0f} on {_said(each.graded, zone)}" for each in past) + "."
    )
    return Curve(_path(dots), "", dots, None, (), words)


def middle(percents: Sequence[float]) -> float:
    """The median, 0 of nothing."""
    return median(percents) if percents else 0.0


class _Scale:
    """The axis of time: from the first to the last of these moments."""

    def __init__(self, moments: Sequence[datetime], zone: tzinfo) -> None:
        first, last = min(moments), max(moments)
        room = max((last - first) * 0.03, timedelta(minutes=30))
        self._first, self._whole = first - room, last - first + 2 * room
        self._zone = zone

    def x(self, moment: datetime) -> float:
        """Where a moment is."""
        return round(LEFT + (moment - self._first) / self._whole * (RIGHT - LEFT), 1)

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Midnights of the class's time zone; within one day, the first moment and the last."""
        days = next((days for days in _DAYS if self._whole / timedelta(days=days) <= _MOST_TICKS), _DAYS[-1])
        midnight = self._first.astimezone(self._zone).replace(hour=0, minute=0, second=0, microsecond=0)
        found: list[tuple[float, str]] = []
        for _ in range(_MOST_TICKS * 4):
            midnight += timedelta(days=days if found else 1)
            if midnight >= self._first + self._whole:
                break
            found.append((self.x(midnight), f"{midnight.day} {midnight:%b}"))
        return tuple(found)


def _y(percent: float) -> float:
    return round(BOTTOM - min(100.0, max(0.0, percent)) / 100 * (BOTTOM - TOP), 1)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _said(moment: datetime, zone: tzinfo) -> str:
    local = moment.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M}"
