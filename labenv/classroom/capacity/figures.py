"""What was measured, from which everything else in this package follows. Nowhere else here is a number that a computer gave.

All of it is from one virtual machine with two processors (AMD EPYC) and 24 GiB, kernel 6.18, Docker 20.10 with cgroup v1. Other
computers differ; `labenv bench --class 30` says how much.
"""

from dataclasses import dataclass
from datetime import date

from labenv.environments.room import MEMORY

MACHINES = 3  # of an environment that was measured


@dataclass(frozen=True)
class Figures:
    """Seconds are CPU-seconds where they are work, and bytes are bytes."""

    # -- one environment of three machines up at its first stage, and verified -------------------------------------------------------
    # Fitted to the times of 1, 3, 6 and 100 in RECORDED, and to none of the others; the two of the engine's turns were measured by themselves.
    command: float = 0.3  # `labenv class up` itself, once: Python, and its processes that check
    up_plan: float = 0.2  # before the engine is asked for anything
    # What an engine does for one environment after another. It writes some 60 entries for a network or a machine into its file of networks, each
    # synchronised with the disk: 250 of 1.1 ms (strace of dockerd, flock(2) and fdatasync(2)). And it makes a network in 0.1 s.
    up_engine: float = 0.35
    # And more for each environment that it has already: some 90 calls of iptables, each of which reads all rules. One takes 1.5 ms where there is
    # no rule, 5 ms with the 2100 of a hundred environments, and 14 ms with 6300. That they are all had in turns is the worst case.
    up_engine_growth: float = 0.003
    up_machines: float = 1.8  # what goes on side by side: the rest of the engine's work, boots, the check
    up_growth: float = 0.009  # and more of that for each environment

    # -- other work ----------------------------------------------------------------------------------------------------------------
    supervisor: float = 0.8  # the container of a supervisor (0.35), and a Python of its own (0.45)
    check: float = 1.0  # half way between one of the first stage (0.5) and one of the last (1.5, docs/speed.md)
    idle: float = 0.0005  # of a processor, of an environment that nobody touches
    push: float = 0.3  # a student's state, in the machines
    push_bytes: int = 200_000  # 0.1 to 0.3 MB
    restore: float = 1.1  # more than a new environment takes: half again, for images made from the state (assumed)
    down: float = 0.5

    # -- memory, bytes ---------------------------------------------------------------------------------------------------------------
    machine: int = MEMORY  # with what the engine needs for it; a hundred idle environments of three had 23 MiB for each (docs/speed.md)
    supervisor_memory: int = (
        64 << 20
    )  # a Python with labenv (PSS 27 MiB), a shim (4), and as much again for what it is doing
    desktop: int = 480 << 20  # Thunderbird, its display, and the page that shows it: PSS 470 MiB

    # -- Swarm: three hundred services that wait for a node and twenty that run, on a manager of Docker 20.10 -------------------------------
    task_placed: float = 0.005  # seconds of the manager for each task
    task_told: float = 1.0  # seconds until a node begins with it
    task_again: float = (
        5.0  # seconds that Swarm waits before it starts a task again (docker service create --restart-delay)
    )
    noticed: tuple[float, float] = (10.0, 15.0)  # seconds until a dead node is taken for dead: three heartbeats of 5 s
    service_bytes: int = 500  # in a snapshot of the Raft store
    task_bytes: int = 600
    task_changes: int = (
        7  # that the manager writes down: new, pending, assigned, accepted, preparing, starting, running
    )


FIGURES = Figures()


@dataclass(frozen=True)
class Recorded:
    """A measurement: so many environments by `labenv class up`, new and verified at the lab's first stage, took so many seconds.

    Each has so many machines. `fitted` is whether the figures above were chosen by it; the others are predicted.
    """

    environments: int
    seconds: float
    fitted: bool
    machines: int = MACHINES
    processors: int = 2
    day: date = date(2026, 11, 30)


# Those of 30 and 100 are from a computer that did nothing else (docs/speed.md): the median of three (33.1 to 37.6 s), and one run. When the others
# were measured, it had other work to do. They are medians of three runs or more, each without the part of both processors that others
# had meanwhile: cpu.stat of the cgroup that the engine, labenv and all machines were in, beside /proc/stat.
RECORDED = (
    Recorded(1, 1.6, fitted=True),
    Recorded(3, 4.1, fitted=True),
    Recorded(6, 7.8, fitted=True),
    Recorded(12, 15.4, fitted=False),
    Recorded(12, 20.4, fitted=False, machines=4),
    Recorded(30, 36.0, fitted=False),
    Recorded(100, 148.0, fitted=True),
)
