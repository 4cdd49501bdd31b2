"""One push of an environment, timed: `labenv bench --swarm` runs this beside a warden, whose settings and secrets it has."""

import sys
import time

from labenv.engine import Engine
from labenv.engine.find import reconnect
from labenv.swarm import copies
from labenv.swarm.client import of_service
from labenv.swarm.supervisor import ENGINE


def main(student: str, generation: int) -> None:
    """Push, and print the seconds that it took."""
    engine, keeper = Engine(reconnect(ENGINE)), of_service()
    began = time.monotonic()
    if not copies.push(engine, student, keeper, generation):
        sys.exit(f"There is no whole environment of {student} here.")
    print(time.monotonic() - began)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
