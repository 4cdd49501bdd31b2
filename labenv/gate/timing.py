"""The timers of `class serve`, beside the gate."""

import asyncio

from labenv.classroom.serving.rounds import EVERY, Rounds
from labenv.errors import LabenvError
from labenv.gate.state import Gate


async def keep(gate: Gate) -> None:
    """Go round for as long as the gate is open. What fails is said, and the next round tries it again."""
    loop = asyncio.get_running_loop()

    def tell(student: str, text: str) -> None:
        asyncio.run_coroutine_threadsafe(gate.tell(student, text), loop)

    rounds = Rounds(gate.shared, gate.listen, gate.typed, tell)
    while True:
        try:
            await asyncio.to_thread(rounds.go, gate.current())
        except LabenvError as error:
            gate.say(f"the timers wait: {error}", "warn")
        await asyncio.sleep(EVERY)
