"""How many servers a class needs, as a terminal shows it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labenv.classroom.capacity.asked import Asked
    from labenv.classroom.capacity.hour import Hour
    from labenv.classroom.capacity.outcome import Outcome, Spread
    from labenv.classroom.capacity.plan import Plan


def table(asked: "Asked", plans: "list[Plan]") -> None:
    """Print the plans as a table, and what they mean."""
    from labenv.classroom.capacity.plan import NAMES
    from labenv.cli import show
    from labenv.text import many

    need = asked.need
    print(
        f"{many(asked.students, 'student')} of {asked.lab}. An environment has {_average(need.machines, 'machine')} on "
        f"{_average(need.networks, 'network')}, and reserves {need.memory >> 20} MiB of memory."
    )
    rows = [
        (
            str(each.size),
            str(each.servers),
            str(each.each),
            str(each.most[each.binds]),
            NAMES[each.binds],
            _seconds(each.wait.most),
        )
        for each in plans
    ]
    show.table(
        ("server", "number", "environments on each", "room for", "what runs out first", "95 % wait at most"), rows
    )
    print("One server of each number may fail: the others have room for all. The manager comes on top.")
    limits: dict[object, str] = {
        each.size: " ".join(f"{name}={value}" for name, value in each.sysctls.items()) for each in plans
    }
    if len(set(limits.values())) == 1:
        limits = {"server": limits[plans[0].size]}
    for what, values in limits.items():
        if values:
            print(f"On each {what}, as root: sysctl -w {values}")


def hours(hour: "Hour", plans: "list[Plan]", outcomes: "list[Outcome]", seed: int) -> None:
    """Print what came of the simulated hours, a column for each size, and how well the model knows what was measured."""
    from labenv.classroom.capacity import predicted
    from labenv.cli import show

    come = f"within {hour.within / 60:g} minutes" if hour.within else "at once"
    print(
        f"\nA class hour, simulated (seed {seed}): {100 * hour.early:g} % of the students come {come}. "
        f"A server is drained after {(hour.drain_at or 0) / 60:g} minutes; one fails after {(hour.fail_at or 0) / 60:g}."
    )
    columns = [_column(each) for each in outcomes]
    shown = [(what, *(column[what] for column in columns)) for what in columns[0]]
    show.table(("", *(f"{each.servers} of {each.size}" for each in plans)), shown)
    print("\nThe same model, held against measurements by which none of its figures was chosen:")
    rows = [
        (
            f"{each.measured.environments} with {each.measured.machines} machines, {each.measured.processors} processors",
            f"{each.seconds:.1f} s",
            f"{each.measured.seconds:.1f} s",
        )
        for each in predicted.compared()
    ]
    show.table(("environments up and verified", "predicted", "measured"), rows)


def _column(outcome: "Outcome") -> dict[str, str]:
    manager = outcome.manager
    return {
        "wait until up: median, 95 %, longest": _spread(outcome.waits),
        "waiting at the same time, at most": str(outcome.waiting),
        "never came up": str(outcome.never + outcome.unplaced),
        "drained: students": str(outcome.drained.count),
        "without machines: median, 95 %, longest": _spread(outcome.drained),
        "failed: students": str(outcome.failed.count),
        "without machines then: median, 95 %, longest": _spread(outcome.failed),
        "work lost: median, 95 %, longest": _spread(outcome.lost),
        "environments on one server, at most": str(outcome.fullest),
        "processors busy: average, busiest minute": f"{100 * outcome.busy:.0f} %, {100 * outcome.busiest:.0f} %",
        "manager: tasks placed a second, at most": f"{manager.tasks_peak:.1f}",
        "pushes a second, at most": f"{manager.pushes_peak:.1f} ({manager.pushed_peak / 1e6:.1f} MB)",
        "pushed in the hour": f"{manager.pushed / 1e6:.0f} MB",
        "Raft: kept, written in the hour": f"{manager.raft_store / 1e6:.1f} MB, {manager.raft_written / 1e6:.1f} MB",
        "lines to the gate": str(manager.connections),
    }


def _average(count: float, thing: str) -> str:
    return f"{count:.4g} {thing}{'' if count == 1 else 's'}"


def _spread(times: "Spread") -> str:
    return ", ".join(map(_seconds, (times.median, times.most, times.worst))) if times.count else "-"


def _seconds(time: float) -> str:
    return f"{time:.1f} s" if time < 10 else f"{time:.0f} s" if time < 600 else f"{time / 60:.0f} min"
