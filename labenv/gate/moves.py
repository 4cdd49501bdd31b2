"""Telling students whose machines went to another server of a swarm that they are there again, and as of when."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from labenv.errors import LabenvError
from labenv.gate.state import Gate, Visitor
from labenv.gate.visit import Visit
from labenv.swarm import leases
from labenv.swarm.leases import Lease

_EVERY = 2.0  # seconds between two looks; leases are files here


async def keep(gate: Gate) -> None:
    """Look for as long as the gate is open."""
    before: Mapping[str, Lease] = await asyncio.to_thread(leases.everything, gate.of.id)
    silent: set[str] = set()
    while True:
        await asyncio.sleep(_EVERY)
        silent = await _tell_of_silence(gate, silent)
        now = await asyncio.to_thread(leases.everything, gate.of.id)
        for student, lease in now.items():
            known = before.get(student)
            if lease.is_up and known and (text := said(known, lease)):
                gate.note(student, "moved", line=text)
                await asyncio.gather(*(one.tell(text) for one in list(gate.visits) if _hears(one, student, lease)))
                gate.moved(student)
        # Of who is on the way, what is compared with is where they were.
        before = now | {who: lease for who, lease in before.items() if who in now and not now[who].is_up}


async def _tell_of_silence(gate: Gate, told: set[str]) -> set[str]:
    """Tell those at a terminal whose server is lost, also in their shells, which say nothing any more; returns who has been told.

    A page has a line that says so.
    """
    here = {visit.student for visit in gate.visits}
    lost = set()
    for student in here:
        with suppress(LabenvError):
            if away := await asyncio.to_thread(gate.shared.away, student):
                lost.add(student)
                if student not in told:
                    there = [one for one in gate.visits if one.student == student and isinstance(one, Visit)]
                    await asyncio.gather(*(visit.tell(str(away), in_shells=True) for visit in there))
    return lost


def _hears(visit: Visitor, student: str, lease: Lease) -> bool:
    """Whether it is told: what was lost stands on a page until it is read."""
    return visit.student == student and (isinstance(visit, Visit) or not leases.news(lease))


def said(before: Lease, now: Lease) -> str:
    """What a student is told whose machines are up now; "" if they are where they were, or were made just now."""
    if now.generation == before.generation or now.name == before.name or not before.name:
        return ""
    last = now.moves[-1] if now.moves else None
    if last and last.lost:
        return " ".join(leases.told(now))
    kept = f", as they were at {leases.clock(now.pushed)}" if now.pushed else ""
    return f"Your machines went from {before.name} to {now.name}{kept}. Nothing was lost."
