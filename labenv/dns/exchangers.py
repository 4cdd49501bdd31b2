"""Where a name server sends the mail of a domain: the MX records that it really answers."""

import re
import shlex
from dataclasses import dataclass

from labenv.text import one_line

_STATUS = re.compile(r"status: (\w{1,20})")
_RECORD = re.compile(r"^(\S+)\s+\d+\s+IN\s+(MX|A)\s+(?:(\d{1,5})\s+)?(\S+)$", re.MULTILINE)
_MOST = 20  # records
_LONGEST = 255  # characters of a name (RFC 1035 section 2.3.4)


@dataclass(frozen=True)
class Exchanger:
    """One MX record: its preference, the name that it has, and that name's address, if the answer has it."""

    preference: int
    name: str
    address: str = ""


@dataclass(frozen=True)
class Answer:
    """What a name server answers: the status as dig(1) names it ("" if it is silent) and the records, the best first."""

    status: str = ""
    exchangers: tuple[Exchanger, ...] = ()


def ask(domain: str, address: str) -> str:
    """A shell command that asks the name server of the machine itself, at its address in the network; it says nothing if none listens."""
    question = f"@{address} {shlex.quote(domain)} MX"
    return f"! ss -Hltnu | grep -q ':53 ' || dig +noall +comments +answer +additional +tries=1 +time=1 {question} 2>/dev/null"


def parsed(told: str) -> Answer | None:
    """The answer in what a machine said, which may be anything; None if it has no name server."""
    if not told.strip():
        return None
    status = _STATUS.search(told)
    records = _RECORD.findall(told)[:_MOST]
    addresses = {owner.lower(): data for owner, kind, _, data in records if kind == "A"}
    found = [
        Exchanger(int(number), one_line(data)[:_LONGEST].rstrip("."), addresses.get(data.lower(), ""))
        for _, kind, number, data in records
        if kind == "MX" and number
    ]
    return Answer(status[1] if status else "", tuple(sorted(found, key=lambda one: (one.preference, one.name))))
