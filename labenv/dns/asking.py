"""What a name server answers: dig(1) with many questions at a time, and what a student gets who asks by hand."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labenv.checks.machine import Machine
from labenv.dns.files import Record

# One question for all names of a machine, as each program that asks takes longer than its answers. Who gets no answer in this
# time (seconds) asks as a student does.
_AT_ONCE = 0.3


@dataclass(frozen=True)
class Reply:
    """What a server replied to one question: the status as dig(1) names it, "" if there was none; the flags; the answers.

    `words` are what dig says where there is no reply.
    """

    status: str = ""
    flags: frozenset[str] = frozenset()
    records: tuple[Record, ...] = ()
    words: str = "no answer"

    def of(self, kind: str) -> list[str]:
        """The data of the answers of a type, sorted."""
        return sorted(record.data for record in self.records if record.kind == kind)

    def __str__(self) -> str:
        """The status, with the answers if there are any; or why there is none."""
        answers = ", ".join(f"{record.kind} {record.data}" for record in self.records)
        return f"{self.status}{f' ({answers})' if answers else ''}" if self.status else self.words


@dataclass(frozen=True)
class Lookup:
    """A name or an address that was looked up: what was answered, and what it should be."""

    name: str
    found: bool
    words: str
    wanted: str


def ask_both_ways(machine: Machine, question: tuple[str, str], server: str) -> tuple[Reply, Reply]:
    """Ask a server from a machine over UDP and, meanwhile, over TCP, once for all checks of a run."""
    flags = "+noall +comments +question +answer +tries=1 +time=1"
    asked = machine.backend.quote(f"dig @{server} {flags} %s %s", *question)
    line = f"{asked} +notcp | sed 's/^/udp /' & {asked} +tcp | sed 's/^/tcp /' & wait"
    said = str(machine.once(line).stdout).splitlines()
    over = {way: "\n".join(row[4:] for row in said if row.startswith(way)) for way in ("udp", "tcp")}
    return _replies(over["udp"], [question])[question], _replies(over["tcp"], [question])[question]


def ask(
    machine: Machine, questions: Sequence[tuple[str, str]], server: str, options: str = ""
) -> dict[tuple[str, str], Reply]:
    """Ask a server from a machine, for names with a type each, once for all checks of a run. After silence it asks no more.

    A question that has no reply has one without a status.
    """
    flags = f"+noall +comments +question +answer +tries=1 +time=1 {options}".strip()
    first, *others = (machine.backend.quote("%s %s", *question) for question in questions)
    line = f"dig @{server} {flags} {first}"
    if others:
        line = f"{line} && dig @{server} {flags} {' '.join(others)}"
    return _replies(str(machine.once(line).stdout), questions)


def _replies(said: str, questions: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Reply]:
    silence = next(
        (line.lstrip("; ") for line in said.splitlines() if "error to" in line or "failed: " in line),
        "no server could be reached",
    )
    replies = dict(map(_reply, said.split("->>HEADER<<-")[1:]))
    return {(n, k): replies.get((n.lower().rstrip("."), k), Reply(words=silence)) for n, k in questions}


def pointer(address: str) -> str:
    """The name that is asked for when an address is looked up."""
    return ipaddress.ip_address(address).reverse_pointer


def lookups(machine: Machine, wanted: Mapping[str, str]) -> list[Lookup]:
    """What a machine gets for names and addresses from its own resolver, up to the first that is not as wanted.

    `wanted` has the one address of each name, and for each address its one name with a final dot.
    """
    owners = {name: pointer(name) if _is_address(name) else name for name in wanted}
    questions = " ".join(f"-x {name}" if _is_address(name) else f"{name} A" for name in wanted)
    asked = machine.run(f"timeout {_AT_ONCE} dig +search +noall +answer +tries=1 {questions}")
    rows = [" ".join(line.split()) for line in asked.stdout.lower().splitlines()]
    done: list[Lookup] = []
    if not rows and (silence := _silence(machine, next(iter(wanted)))):
        return [Lookup(name, False, silence, answer) for name, answer in list(wanted.items())[:1]]
    for name, answer in wanted.items():
        mine = [row for row in dict.fromkeys(rows) if row.startswith(f"{owners[name]}.")]
        if len(mine) == 1 and mine[0].endswith(f" {answer}"):
            done.append(Lookup(name, True, mine[0], answer))
            continue
        done.append(_by_hand(machine, name, answer))
        if not done[-1].found:
            break
    return done


def _silence(machine: Machine, name: str) -> str:
    """In dig's words, that no server replies to a machine; "" if one does. host(1) would take twice as long to find that out."""
    asked = machine.run(f"dig +search +noall +comments +tries=1 +time=1 {name}")
    lines = [line.lstrip("; ") for line in asked.stdout.splitlines() if line.strip()]
    return lines[-1] if lines and "->>HEADER<<-" not in asked.stdout else ""


def _by_hand(machine: Machine, name: str, answer: str) -> Lookup:
    said = machine.run("host -W 1 -t %s %s", "PTR" if _is_address(name) else "A", name)
    lines = said.stdout.strip().splitlines() or ["no answer"]
    told = [line for line in lines if "has address" in line or "domain name pointer" in line]
    right = [line for line in told if line.split()[-1].lower() == answer]
    found = said.rc == 0 and len(told) == len(right) == 1
    words = lines[-1] if found or not told else "; ".join(told)
    return Lookup(name, found, words, answer)


def _is_address(name: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+", name))


def _reply(text: str) -> tuple[tuple[str, str], Reply]:
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r"flags: ([a-z ]*);", text)
    question = re.search(r"^;(\S+)\s+IN\s+(\S+)", text, re.MULTILINE)
    answers = re.findall(r"^([^;\s]\S*)\s+\d+\s+IN\s+(\S+)\s+(.+)$", text, re.MULTILINE)
    records = tuple(Record(owner.lower(), kind, " ".join(data.split()).lower()) for owner, kind, data in answers)
    name = (question[1].lower().rstrip("."), question[2]) if question else ("", "")
    return name, Reply(status[1] if status else "", frozenset(flags[1].split() if flags else ()), records)
