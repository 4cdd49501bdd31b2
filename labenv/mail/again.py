"""Whether what stopped a message still would: the cause that a log names, asked again now.

A log tells what was. Somebody may have repaired it since, and a message that waits does not know that before its next try.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from typing import NamedTuple

from labenv.mail.office import PROBE
from labenv.text import one_line

_LONGEST = 200  # characters of a setting that is shown
# Of the names below, $name, $address and so on are what the pattern has found.
_RELAY = 'relay=$(postconf -h relayhost); case "$relay" in "" | *"$name"*) exit 1 ;; esac; echo "$relay"'
# Ends with 0 unless main.cf was changed after Postfix last read it: its qmgr(8) is as old as that. Field 22 of proc(5)'s
# stat is when it started, in hundredths of a second, as is uptime: one edit and the next are often less than a second apart.
_READ = r"""pid=$(ps -o pid= -C qmgr | head -n 1)
awk -v now="$(date +%s.%N)" -v changed="$(stat -c %.Y /etc/postfix/main.cf)" '
    FNR == NR { up = $1; next }
    { sub(/.*\) /, ""); age = up - $20 / 100 }
    END { exit now - age < changed }' /proc/uptime ${pid:+/proc/$((pid))/stat}"""
_RECIPIENT = rf"""
ask() {{
    printf '%s\r\n' "$1" >&3
    while IFS= read -r -t 5 line <&3; do case $line in [0-9][0-9][0-9]-*) ;; *) break ;; esac; done
}}
exec 3<>"/dev/tcp/$address/25" && IFS= read -r -t 5 line <&3 || exit
ask "EHLO {PROBE}.$(hostname -f)"; ask "MAIL FROM:<$sender>"; ask "RCPT TO:<$to>"; answer=$line; ask QUIT
case $answer in 250*) ;; *) exit 1 ;; esac
"""
_ALIAS = """
alias=$(postalias -q "$user" $(postconf -h alias_maps)) && [ -n "$alias" ] && echo "$alias"
"""
_ACCESS = """
while [ ! -e "$path" ]; do path=${path%/*}; done
runuser -u "$as" -- test -w "$path" -a -x "$path"
"""
_COMMAND = """
value=$(postconf -h mailbox_command); case "$value" in *"$command"*) exit 1 ;; esac; echo "${value:-not set}"
"""


class _Test(NamedTuple):
    """A cause: the pattern of the log's words, and what to type with the sentence if that ends with 0 and prints {found}."""

    pattern: re.Pattern[str]
    asked: tuple[tuple[str, str], ...]


_TESTS = tuple(
    _Test(re.compile(pattern), asked)
    for pattern, asked in (
        (
            r"in server description: (?P<name>.+)",
            ((_RELAY, "its relay host is {found} now"),),
        ),
        (
            r"connect to (?P<name>[^\s\[]+)\[(?P<address>[\d.]+)\]:(?P<port>\d+): ",
            (
                (_RELAY, "its relay host is {found} now"),
                ('nc -z -w 2 "$address" "$port"', "{name} answers on port {port} now"),
            ),
        ),
        (
            r"name=(?P<name>\S+) type=\w+: Host (?:not found|found but no data)",
            (
                (_RELAY, "its relay host is {found} now"),
                ('host -W 2 "$name" | grep -qE "has address|mail is handled"', "the DNS knows {name} now"),
            ),
        ),
        (
            r"host (?P<name>[^\s\[]+)\[(?P<address>[\d.]+)\] said: [45]\d\d",
            ((_RECIPIENT, "{name} accepts mail for {to} now"),),
        ),
        (
            r"mail for (?P<of>\S+) loops back",
            (
                (
                    'postconf -xh mydestination | tr -s ", " "\\n" | grep -qixF "$of"',
                    "{of} is one of its own domains now (mydestination)",
                ),
            ),
        ),
        (
            r'unknown user: "(?P<user>[^"]+)"',
            (
                ('getent passwd "$user" >/dev/null', "it has the account {user} now"),
                (_ALIAS, "an alias sends mail for {user} to {found} now"),
            ),
        ),
        (
            r"(?:chdir|stat|mkdir|open|opendir|link)\((?P<path>/[^)]*)\).* failed: Permission denied.*euid=\d+\((?P<as>[^)]+)\)",
            ((_ALIAS, "an alias sends mail for {user} to {found} now"), (_ACCESS, "{as} may use {path} now")),
        ),
        (
            r"Mail storage autodetection failed",
            (
                (
                    'value=$(doveconf -h mail_location) && [ -n "$value" ] && echo "$value"',
                    "mail_location is {found} now",
                ),
            ),
        ),
        (
            r"Invalid settings: |Error in configuration file |Error reading configuration: ",
            (("doveconf >/dev/null 2>&1", "Dovecot can read its configuration now"),),
        ),
        (
            r'Command died with status 127: "(?P<command>\S+?)[" ]',
            ((_COMMAND, "mailbox_command is {found} now"), ('test -x "$command"', "{command} exists now")),
        ),
        (
            r"alias database unavailable",
            (
                (
                    "! postalias -q postmaster $(postconf -h alias_maps) 2>&1 | grep -q fatal:",
                    "the alias database can be read now",
                ),
            ),
        ),
        (
            r"deferred transport",
            (('[ -z "$(postconf -h defer_transports)" ]', "defer_transports is not set any more"),),
        ),
    )
)


class Now(NamedTuple):
    """What is right by now, as a clause, "" if the cause is still there or cannot be asked; and whether Postfix has read that."""

    fixed: str = ""
    in_force: bool = True


def now(said: str, given: Mapping[str, str], run: Callable[[str], tuple[int, str]]) -> Now:
    """What is right by now.

    `said` are the log's words, `given` the recipient (`to`), its `user` and the `sender`. `run` types something on the machine that
    has the message, and returns how that ended and what it printed.
    """
    for test in _TESTS:
        if match := test.pattern.search(said):
            return _asked(test, {**given, **match.groupdict("")}, run)
    return Now()


def accepted(given: Mapping[str, str], run: Callable[[str], tuple[int, str]]) -> bool:
    """Whether the machine at an `address` accepts a recipient (`to`) of a `sender` now; `run` types on the client's machine."""
    return run(_script(_RECIPIENT, given))[0] == 0


def _asked(test: _Test, fields: Mapping[str, str], run: Callable[[str], tuple[int, str]]) -> Now:
    for script, words in test.asked:
        code, printed = run(_script(script, fields))
        if code == 0:
            clause = words.format(**fields, found=one_line(printed.strip())[:_LONGEST])
            return Now(clause, "postconf" not in script or run(_script(_READ, {}))[0] == 0)
    return Now()


def _script(script: str, fields: Mapping[str, str]) -> str:
    """What is typed: by a bash of its own, with the fields as variables."""
    known = " ".join(shlex.quote(f"{name}={value}") for name, value in fields.items())
    return f"timeout 10 env {known} bash -c {shlex.quote(script)} 2>/dev/null </dev/null"
