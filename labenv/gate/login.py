"""A login with a one-time password, through whichever door: tries are counted together, and written down."""

import asyncio

from labenv.classroom.serving import passwords
from labenv.errors import LabenvError
from labenv.gate.state import Gate
from labenv.gate.throttle import LONGEST

_AT_ONCE = asyncio.Semaphore(4)  # hashes that are computed at the same time


async def with_password(gate: Gate, student: str, typed: str, address: str) -> str | None:
    """The number of the student's password if it is one that was not used yet, and it is used up; "" for any other.

    None if the address has tried too often: then nothing is looked at.
    """
    wait = gate.throttle.tried(student, address)
    if wait is None:
        return None
    await asyncio.sleep(wait)
    member = gate.member(student)
    try:
        async with _AT_ONCE:
            number = await asyncio.to_thread(passwords.use, gate.of, member.id if member else "", typed)
    except LabenvError as error:
        gate.say(str(error), "warn")
        return ""
    if number and member:
        gate.throttle.passed(student, address)
        return number
    if wait < LONGEST:  # who guesses on and on does not fill the log
        # What a stranger types as a name may be a password: it is not written down.
        gate.note(student if member else "", "refused", address)
    return ""
