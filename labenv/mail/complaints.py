"""What a machine's servers logged against themselves, and which of its settings that is about.

A reply to a client says little: "451 Temporary lookup failure" (smtpd(8)), "Internal error occurred" (Dovecot), SERVFAIL
(RFC 1035 section 4.1.1). The sentence that explains it is in the server's own log, at priority warning or above (syslog(3)).
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labenv.text import one_line

THROTTLED = (
    60  # seconds in which master(8) does not start a program again that has failed (postconf(5), service_throttle_time)
)
_LARGEST = 400_000  # bytes of the journal, and of the configuration
_PARTED = "== next =="  # no line of a journal in JSON, or after a path, is like this
_MAIN = "/etc/postfix/main.cf"
_UNITS = "named postfix dovecot"

_WARNING = 4  # the priority (syslog(3))
_GRAVE = re.compile(r"\b(fatal|error|panic)\b", re.IGNORECASE)
# What the servers log beside the reason, or whatever happens.
_NOISE = re.compile(
    r"cgroup|stats-writer|exit status|[Kk]illed (by|with) signal|command startup|does not resolve to address|daemon started"
    r"|Temporary lookup failure|managed-keys|anvil|lda\(root\)|network unreachable|no longer running|Main process exited|Failed with result"
    r"|Failed to start|Control process exited|start-limit|Start request repeated|_ver_ignored|backwards-compatible|using backwards"
    r"|using symbolic link|Shutting down logging|to disable backwards|Time has been|lookup error for|automatic interface scanning|client_input_request|problem talking to service"
)
_READ_AGAIN = re.compile(r"received control channel command 'reload( |')")
# What a complaint says without the name of the setting.
_SYNONYMS = {
    "required plugin": "mail_plugins",
    "UID": "first_valid_uid",
    "GID": "first_valid_gid",
    "active network interfaces": "inet_protocols",
}
_TOKEN = re.compile(r'"([^"]{3,})"|\'([^\']{3,})\'|([\w.-]*[:/][\w./:\[\]-]{3,})')


@dataclass(frozen=True)
class Setting:
    """A setting in a file: its name, its value as it is written there, and the place."""

    name: str
    value: str
    path: str
    line: int

    @property
    def oddity(self) -> str:
        """A remark on a value that swallowed the next line: one that begins with a blank continues the last (postconf(5))."""
        swallowed = re.search(r"\s(\w+) = ", self.value) if self.path == _MAIN else None
        return f", and the next line, {swallowed[1]}, begins with a blank and so continues it" if swallowed else ""

    def __str__(self) -> str:
        """The setting and its place."""
        return f"{self.name}, line {self.line} of {self.path}{self.oddity}"


@dataclass(frozen=True)
class Complaint:
    """Why a server erred: its program, its own words, and the setting that they are about, if they tell."""

    program: str
    text: str
    setting: Setting | None

    @property
    def words(self) -> str:
        """What it says, without the name of the program that read the configuration."""
        return self.text.removeprefix("doveconf: ")

    def __str__(self) -> str:
        """The complaint as a clause."""
        return f"{self.program} logs: {self.text}" + (f" ({self.setting})" if self.setting else "")


@dataclass(frozen=True)
class _Entry:
    program: str
    process: str
    priority: int
    text: str


def command(since: str, fatal_since: str, until: str = "now") -> str:
    """What to run in a machine for `explained`: it prints what was logged between two times, and the configuration.

    The times are as in systemd.time(7), on the machine's clock. What is fatal may have been logged up to THROTTLED seconds before.
    """
    journal = "journalctl -q --no-pager -o json --output-fields=SYSLOG_IDENTIFIER,_PID,PRIORITY,MESSAGE"
    begun = f"{journal} _SYSTEMD_INVOCATION_ID=$(systemctl show -p InvocationID --value"
    return (
        f"for unit in {_UNITS}; do ! systemctl -q is-failed $unit || {begun} $unit) | tail -n 50; done | tail -c {_LARGEST}; "
        f"echo; echo '{_PARTED}'; "
        f"{journal} -p warning --since='{since}' --until='{until}' | tail -c {_LARGEST}; "
        f"{journal} -p crit --since='{fatal_since}' --until='{until}' | tail -n 50; "
        f"! systemctl -q is-active named || {begun} named) | tail -n 50; "
        f"echo; echo '{_PARTED}'; "
        f"grep -rn '' {_MAIN} /etc/dovecot --include=main.cf --include='*.conf' 2>/dev/null | head -c {_LARGEST}"
    )


def explained(output: str) -> Complaint | None:
    """The complaint that explains best why a server erred, from the output of `command`; None if nothing was logged.

    What a service logged that failed counts first, then what was logged in the time asked for, and by named since it loaded its
    zones. Of these, one that is about a setting says most, and then the gravest.
    """
    failed, recent, files = (*output.split(f"\n{_PARTED}\n"), "", "")[:3]
    settings = list(_settings(files))
    for journal in (failed, recent):
        processes: dict[str, list[_Entry]] = {}
        for entry in _entries(journal):
            processes.setdefault(entry.process, []).append(entry)
        found = [_complaint(entries, settings) for entries in processes.values()]
        if found:
            return min(found, key=lambda graded: graded[0])[1]
    return None


def _complaint(entries: list[_Entry], settings: list[Setting]) -> tuple[tuple[bool, int], Complaint]:
    """The gravest line of one process, after its first one, and how little that explains, to compare."""
    gravest = min(entries, key=lambda entry: entry.priority)
    told = [entry.text for entry in entries]
    text = "; ".join(dict.fromkeys([*told[: told.index(gravest.text)][:1], gravest.text]))
    setting = _about(text, settings)
    return (setting is None, gravest.priority), Complaint(gravest.program, text, setting)


def _entries(journal: str) -> list[_Entry]:
    """What counts of a journal. What named complained of before it read its files again is over, or is said again then (rndc(8))."""
    found: list[_Entry] = []
    for line in journal.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict) or not isinstance(text := entry.get("MESSAGE"), str) or _NOISE.search(text):
            continue
        if _READ_AGAIN.match(text):
            found = [other for other in found if other.process != str(entry.get("_PID"))]
        priority = {str(number): number for number in range(_WARNING + 1)}.get(str(entry.get("PRIORITY")))
        # What a program writes to stderr has no priority of its own.
        if priority is not None or _GRAVE.search(text):
            program = one_line(str(entry.get("SYSLOG_IDENTIFIER", "")))[:50]
            words = re.sub(
                r"^(\w[\w-]*(\([^)]*\))?(<[^>]*>)*: )?(Fatal|Error|Warning|fatal|error|warning|panic): ", r"\1", text
            )
            grade = _WARNING if priority is None else priority
            found.append(_Entry(program, str(entry.get("_PID")), grade, one_line(words)[:500]))
    return found


def _settings(files: str) -> Iterator[Setting]:
    """The settings in lines like `PATH:NUMBER:TEXT`; in main.cf, a line that begins with a blank continues the last one."""
    last: list[str | int] = []
    for row in files.splitlines():
        path, _, rest = row.partition(":")
        number, _, text = rest.partition(":")
        if not number.isdigit() or not text.strip() or text.lstrip().startswith("#"):
            continue
        if path == _MAIN and text[:1].isspace() and last:
            last[1] = f"{last[1]} {text.strip()}"
            continue
        if last:
            yield Setting(str(last[0]), str(last[1]), _MAIN, int(last[2]))
            last = []
        name, is_one, value = text.partition("=")
        if is_one and re.fullmatch(r"\s*\w+\s*", name):
            if path == _MAIN:
                last = [name.strip(), value.strip(), int(number)]
            else:
                yield Setting(name.strip(), value.strip(), path, int(number))
    if last:
        yield Setting(str(last[0]), str(last[1]), _MAIN, int(last[2]))


def _about(text: str, settings: list[Setting]) -> Setting | None:
    """The setting that a complaint is about: its place or its value is quoted, it is named, or a part of its value is quoted."""
    newest = {(setting.path, setting.name): setting for setting in settings}.values()  # the last line of a name counts
    tokens = sorted(
        {next(filter(None, match)).rstrip(":.,").removesuffix(".db") for match in _TOKEN.findall(text)},
        key=len,
        reverse=True,
    )
    named = set(re.findall(r"\w+", text)) | {name for word, name in _SYNONYMS.items() if word in text}
    place = re.search(r"(?P<path>/[\w./-]+)[:,]? line (?P<line>\d+)", text)
    if place:
        return next((s for s in newest if (s.path, str(s.line)) == (place["path"], place["line"])), None)
    signs: tuple[Callable[[Setting], bool], ...] = (
        lambda setting: any(" ".join(setting.value.split()) == " ".join(token.split()) for token in tokens),
        lambda setting: setting.name in named and ("_" in setting.name or setting.path == _MAIN),
        lambda setting: f"{setting.name}: " in text,
        lambda setting: any(token in setting.value for token in tokens),
    )
    return next((setting for sign in signs for setting in newest if sign(setting)), None)
