"""Which lines of a web server's logs are about visits of the checks (labenv/www/visits.pl)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labenv.www import visits

NOW = int(time.time())
TOLD = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(NOW))
BEFORE = "30/Nov/2026:03:20:31 +0000"
ASKED = "GET /webmail/ HTTP/1.1"
REFUSED = "AH01630: client denied by server configuration: /var/www/html/private/index.php"


def error(port: int, said: str) -> str:
    return f"[Tue Dec 01 03:31:41.126748 2026] [x:error] [pid 87:tid 87] [client 192.168.90.1:{port}] {said}\n"


def line(at: str, end: str = "200 96") -> str:
    return f'192.168.90.1 - - [{at}] "{ASKED}" {end}\n'


LOGS = {
    "access_log": (
        [line(TOLD, '200 96 "-" "labenv"'), line(BEFORE, '302 - "-" "labenv"')],
        [line(TOLD, '200 96 "-" "curl/7.88.1"'), line(TOLD, '200 96 "-" "labenvy"'), "\n", "no end"],
    ),
    # Two requests, and a visit in the same second.
    "ssl_access_log": ([line(TOLD), line(TOLD, "401 -")], [line(BEFORE), line(TOLD)]),
    "ssl_request_log": (
        [f'[{TOLD}] 192.168.90.1 TLSv1.3 CIPHER "{ASKED}" 96\n'],
        [f'[{TOLD}] 192.168.90.1 TLSv1.3 CIPHER "GET / HTTP/1.1" 96\n'],
    ),
    "error_log": (
        [error(63955, REFUSED), error(61000, "script '/var/www/html/index.php' not found or unable to stat")],
        [error(43248, REFUSED), error(63956, "PHP Fatal error: Uncaught mysqli_sql_exception")],
    ),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc, as in a machine")
def test_the_visits_of_the_checks_go_and_all_else_stays(tmp_path: Path) -> None:
    folder = tmp_path / "log/httpd"
    folder.mkdir(parents=True)
    for name, (ours, theirs) in LOGS.items():
        (folder / name).write_text("".join(theirs[:1] + ours + theirs[1:]))
    program = visits.PROGRAM.replace("/var/log", str(tmp_path / "log")).replace("/run/labenv-checks", str(tmp_path))
    command = ["perl", "-we", program, "127.0.0.1 192.168.90.1", str(NOW), f"{ASKED}\n{ASKED}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"TZ": "UTC"})
    assert not done.stderr
    for name, (_, theirs) in LOGS.items():
        assert (folder / name).read_text() == "".join(theirs), name
