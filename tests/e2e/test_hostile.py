"""A student is root in the machines: whatever those say is bounded, and is shown as text."""

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labenv.computer import slowness
from tests.e2e.conftest import Cli

# A process counts the memory of the one that it was forked from as its own: this small one is in between.
METER = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)"
)
EVIL = "\x1b]0;owned\x07\x1b[2J\u202egnp"


def test_what_a_machine_says_reaches_no_screen_as_more_than_text(cli: Cli, student: str, tmp_path: Path) -> None:
    cli("up", student, "--no-check")
    evil = shlex.quote(EVIL)
    spoilt = (
        f"echo {evil} >>/etc/hosts; echo {evil} >>/etc/motd; printf '# %s\\n' {evil} >>/etc/postfix/main.cf; "
        f"postconf -e relayhost={evil}; logger -p mail.info -t postfix/smtp {evil}; echo {evil} >>/root/.bash_history"
    )
    for machine in ("host", "vm2", "vm3"):
        cli.inside(student, machine, f"{spoilt} 2>/dev/null; true")
    cli.inside(student, "host", f"echo {evil} >>/root/logbook.md; true", rc=None)
    archive = tmp_path / "handed-in.tar.gz"
    for command in (
        ["check"],
        ["check", "--json"],
        ["next"],
        ["hint", "27"],
        ["trace", "latest"],
        ["evidence", "vm2"],
        ["logs", "vm2"],
        ["logbook"],
        ["history"],
        ["history", "--patch"],
        ["history", "--json"],
        ["diff"],
        ["diff", "--json"],
        ["when", "27"],
        ["submit", str(archive)],
        ["status"],
    ):
        done = cli(*command, "-s", student, rc=None)
        for said in (done.stdout, done.stderr):
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said.replace("\r\n", "\n")), command
    for command in (["review", str(archive)], ["review", str(archive), "--json"]):
        said = cli(*command, rc=None).stdout
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said), command


def test_a_check_of_the_worst_machine_ends_in_time_with_little_memory(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check")
    cli.inside(
        student,
        "vm3",
        "for p in /usr/bin/ss /usr/sbin/postqueue; do mv $p $p.real; printf '#!/bin/sh\\nyes | head -c 400000000\\n' >$p; "
        "chmod +x $p; done; mv /usr/sbin/postconf /usr/sbin/postconf.real; "
        "printf '#!/bin/sh\\nsleep 1000\\n' >/usr/sbin/postconf; chmod +x /usr/sbin/postconf",
    )
    cli.inside(
        student,
        "vm2",
        "cp /bin/sh /bin/sh.real; printf '#!/bin/sh.real\\nsleep 4; exec /bin/sh.real \"$@\"\\n' >/bin/slow; "
        "chmod +x /bin/slow; mv -f /bin/slow /bin/sh",
    )
    began = time.monotonic()
    checking = [sys.executable, "-c", METER, sys.executable, "-m", "labenv", "check", "--json", "-s", student]
    done = subprocess.run(checking, capture_output=True, text=True, check=False)
    assert time.monotonic() - began < 60 * slowness()
    assert int(done.stderr.split()[-1]) < 300_000, "kilobytes (getrusage(2))"
    said = " ".join(result["evidence"] for result in json.loads(done.stdout)["results"])
    assert "was not asked again" in said


def test_a_log_of_many_megabytes_is_read_from_its_end(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check")
    noise = "Nov 29 08:00:00 vm2 postfix/smtpd[1]: connect from unknown[192.0.2.1]"
    cli.inside(student, "vm2", f"yes '{noise}' | head -c 20000000 >>/var/log/maillog; echo hello | mail -s loud root")
    deadline = time.monotonic() + 30
    while "to=<root@" not in cli.inside(student, "vm2", "tail -c 10000 /var/log/maillog"):
        assert time.monotonic() < deadline
    told = cli.json("trace", "latest", "-s", student)
    assert told["ends"], told
    assert not any("vm2" in note for note in told.get("notes", []))


# What a program says that is not the lab's own any more.
NONSENSE = {
    "nothing": "exit 0",
    "anything": r"printf '\377\376\000\001 x=y\n'; echo 9999-99-99T99:99:99 a b c d e f g; echo -1; echo nan; echo 1e999",
}
PROGRAMS = (
    "ss systemctl postconf postqueue postmap doveconf doveadm host dig iptables-save stat date ls find getent rpm rndc tail head "
    "perl cat sed id openssl nc zcat grep awk wc du tar sort md5sum sha256sum chage"
)
REPLACED = (
    'printf "#!/bin/bash\\n%s\\n" "$0" >/run/said; chmod +x /run/said; '
    'for p in "$@"; do f=$(command -v $p) && cp --remove-destination /run/said $f; done; true'
)


@pytest.mark.soak
def test_programs_that_talk_nonsense_get_sentences_from_every_command(cli: Cli, student: str, tmp_path: Path) -> None:
    archive = tmp_path / "handed-in.tar.gz"
    cli("up", student, "--no-check")
    for said in NONSENSE.values():
        for machine in ("host", "vm2", "vm3"):
            cli("exec", "-s", student, machine, "--", "bash", "-c", REPLACED, said, *PROGRAMS.split())
        results = cli.json("check", "-s", student, rc=1)["results"]
        assert not [result for result in results if "crashed" in result["evidence"]]
        for command in (
            ["next"],
            ["hint", "27"],
            ["trace", "latest"],
            ["evidence", "vm2"],
            ["logbook"],
            ["history"],
            ["diff"],
            ["when", "27"],
            ["submit", str(archive)],
            ["status"],
        ):
            done = cli(*command, "-s", student, rc=None)  # fails on a traceback
            assert done.returncode in (0, 1, 2, 3), command
