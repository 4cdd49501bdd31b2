"""What each machine knows about its mail: the log with its rotated parts, the queue, and where a message is stored."""

import shlex
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from labenv.environment import Environment
from labenv.errors import EngineError, making_sense
from labenv.mail import maillog
from labenv.mail.maillog import Log
from labenv.parallel import Together

if TYPE_CHECKING:
    from labenv.engine import Engine

# Rotated logs have a date or a number in their name, and may be compressed (logrotate(8)).
_READ = rf"""
date '+%Y-%m-%dT%H:%M:%S'
kill -0 "$(cat /var/spool/postfix/pid/master.pid 2>/dev/null)" 2>/dev/null && echo runs || echo rests
cd /var/spool/postfix 2>/dev/null && find maildrop hold incoming active deferred -type f -printf '%H %f %TY-%Tm-%TdT%TH:%TM:00\n'
echo
for log in $(ls -tr /var/log/maillog* 2>/dev/null); do zcat -f "$log"; done | tail -c {maillog.LARGEST}
"""
# Prints "owner path" of every file that has the word in a Message-ID or Received field of a header (RFC 5322 section
# 3.6). A notice quotes the header of the message that it is about, but only in its body.
_FIND = r"""
grep -rlF --exclude='dovecot*' --exclude='.*history' -e "$WORD" /home /root /var/spool/mail/ 2>/dev/null |
while IFS= read -r file; do
  awk '
    FNR == 1 || /^From / { header = 1; field = "" }
    /^\r?$/ { header = 0 }
    header && /^[^ \t]/ { field = tolower($0) }
    header && field ~ /^(message-id|received):/ && index($0, ENVIRON["WORD"]) { found = 1; exit }
    END { exit !found }' "$file" && stat -c '%U %n' "$file"
done
true
"""


@dataclass(frozen=True)
class Postroom:
    """One machine's mail: its log, its queue (queue id → the queue's name), and whether Postfix runs.

    `due` are the times from which on deferred messages are tried again: those of their files (qmgr(8)). `now` is the time there.
    """

    log: Log = field(default_factory=Log)
    queue: dict[str, str] = field(default_factory=dict)
    runs: bool = True
    due: dict[str, datetime] = field(default_factory=dict)
    now: datetime = datetime.min

    @property
    def unread(self) -> int:
        """How many messages from sendmail(1) Postfix has not picked up yet; no log mentions them."""
        return sum(name == "maildrop" for name in self.queue.values())


def look(engine: "Engine", environment: Environment) -> dict[str, Postroom | str]:
    """The postroom of each machine, by name; for one that cannot be asked, why, without its name."""

    def one(name: str) -> Postroom | str:
        machine = environment.machine(name)
        if machine.state != "running":
            return "is not running"
        try:
            with engine.shell(machine) as shell, making_sense(name):
                return parse(shell.run(_READ, most=2 * maillog.LARGEST).text)
        except EngineError:  # it may have stopped meanwhile
            return "gives no answer that makes sense"

    names = [machine.name for machine in environment.machines]
    with Together(len(names) or 1) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def parse(text: str) -> Postroom:
    """The postroom from the output of a machine."""
    head, _, log = text.partition("\n\n")
    now, state, *queued = head.split("\n")
    parts = [line.split(" ") for line in queued]
    queue = {queue_id: name for name, queue_id, *_ in parts}
    due = {queue_id: datetime.fromisoformat(time) for name, queue_id, time in parts if name == "deferred"}
    clock = datetime.fromisoformat(now)
    return Postroom(maillog.read(log, clock), queue, state == "runs", due, clock)


def find(engine: "Engine", environment: Environment, machine: str, word: str) -> list[tuple[str, str]]:
    """The files on a machine that contain a message: (owner, path) of each whose header has `word`.

    That is a message id in angle brackets, or "id QUEUEID" of a Received field. Raises EngineError.
    """
    with engine.shell(environment.machine(machine)) as shell:
        said = shell.run(f"export WORD={shlex.quote(word)}{_FIND}").text
    return [(owner, path) for owner, _, path in (line.partition(" ") for line in said.splitlines())]
