"""The logs that a person looks at first."""

import shlex

# Everything that a machine logs, including mail; as Enterprise Linux names it, and as Debian does.
_LOGS = ("/var/log/messages", "/var/log/maillog", "/var/log/syslog", "/var/log/mail.log")


def command(lines: int, *, follow: bool) -> str:
    """A shell command for a machine that prints the last lines of its logs, and with `follow` each new one, without an end."""
    return shlex.join(["tail", "-q", "-n", str(lines), *(["-F"] if follow else []), *_LOGS]) + " 2>/dev/null"
