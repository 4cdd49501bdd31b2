"""What several modules of these checks use: the services of vm1, and its log of what went wrong."""

from labenv.checks.machine import Machine
from labenv.text import one_line

SERVICES = ("httpd", "mariadb", "iptables")  # of vm1, that the checks judge
HTTP, MYSQL = 80, 3306
ERRORS = "/var/log/httpd/error_log"


def last_error(vm1: Machine, word: str) -> str:
    """The last line with a word in what the web server and PHP have logged, as the end of a sentence; empty if there is none."""
    line = vm1.run(f"tail -n 200 {ERRORS} 2>/dev/null | grep -F -e %s | tail -n 1", word).stdout.strip()
    return f"; {ERRORS} says: {one_line(line)[:300]}" if line else ""
