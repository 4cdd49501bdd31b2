"""What several modules of these checks use: the services of each machine, and what a server logged."""

from labenv.checks.machine import Machine
from labenv.text import one_line

# The services of each machine that the checks judge.
SERVICES = {"vm1": ("httpd", "iptables"), "vm2": ("postfix",), "vm3": ("dovecot", "iptables")}
HTTP, HTTPS, SMTP, IMAP, IMAPS = 80, 443, 25, 143, 993
MAIL_LOG, WEB_LOG = "/var/log/maillog", "/var/log/httpd/error_log /var/log/httpd/ssl_error_log"
WEBMAIL, ACCOUNT = "/var/www/html/webmail", "apache"
_LINES, _LONG = 400, 300  # of a log that are looked at, and characters of one that are shown


def last_line(machine: Machine, logs: str, pattern: str) -> str:
    """The last line of logs that matches an extended regular expression, as the end of a sentence; nothing if none does."""
    found = machine.run(f"tail -q -n {_LINES} {logs} 2>/dev/null | grep -E %s | tail -n 1", pattern).stdout.strip()
    return f"; {machine.name} has logged: {one_line(found)[-_LONG:]}" if found else ""
