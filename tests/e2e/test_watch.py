"""`check --watch`: a change of a result is drawn within seconds, in a terminal and as a line in a log; Ctrl-C ends it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pexpect
import pytest

from labenv.checks.onlooker import Onlooker, Overtaken
from labenv.checks.results import Report
from labenv.engine import Engine
from labenv.lab import labs
from labenv.sheet import watch
from tests.e2e.conftest import Cli

PATIENCE = 120  # seconds for a run of the checks on a busy computer


@pytest.fixture
def watching(finished: dict[str, Any]) -> Iterator[pexpect.spawn]:  # type: ignore[type-arg]
    command = ["-m", "labenv", "check", "19", "33", "-s", finished["student"], "--watch"]
    child = pexpect.spawn(sys.executable, command, dimensions=(40, 100), encoding="utf-8", timeout=PATIENCE)
    yield child
    child.close(force=True)


def test_a_flip_is_drawn_and_so_is_its_undoing(
    cli: Cli,
    finished: dict[str, Any],
    watching: pexpect.spawn,  # type: ignore[type-arg]
) -> None:
    name = finished["student"]
    watching.expect("2 steps pass")
    watching.expect("Ctrl-C to stop")
    before = cli.inside(name, "vm3", "postconf -h mynetworks").strip()
    cli.inside(name, "vm3", "postconf -e 'mynetworks = 0.0.0.0/0'")
    watching.expect("step 19: passes → fails")
    cli.inside(name, "vm3", f"postconf -e 'mynetworks = {before}'")
    watching.expect("step 19: fails → passes")
    watching.expect("Ctrl-C to stop")
    watching.sendintr()
    watching.expect(pexpect.EOF)
    watching.close()
    assert watching.exitstatus == 0


def test_nothing_is_checked_again_while_nothing_changes_though_the_checks_send_mail(
    finished: dict[str, Any],
    cli: Cli,
) -> None:
    name = finished["student"]
    command = [sys.executable, "-m", "labenv", "check", "24", "33", "-s", name, "--watch"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child,
        contextlib.ExitStack() as stack,
    ):
        assert child.stdout is not None
        stack.callback(child.kill)  # `with` waits for its end, also when an assertion fails
        assert "steps pass" in child.stdout.readline()
        assert "All checks pass" in child.stdout.readline()
        cli.inside(name, "vm3", "doveconf -h disable_plaintext_auth; iptables-save; ls -R /home; postqueue -p")
        logged = cli.inside(name, "vm3", "grep -c message-id /var/log/maillog || true")
        cli.inside(
            name, "vm3", "timeout 6 tail -f /var/log/maillog | grep -m 1 message-id || true"
        )  # as long as it takes
        assert cli.inside(name, "vm3", "grep -c message-id /var/log/maillog || true") == logged
        cli.inside(name, "vm3", "sed -i 's/^disable_plaintext_auth.*/#&/' /etc/dovecot/conf.d/10-auth.conf")
        assert "step 33: passes → fails" in child.stdout.readline()
        assert "Step 33 on vm3" in child.stdout.readline()
        cli.inside(
            name, "vm3", "sed -i 's/^#disable_plaintext_auth/disable_plaintext_auth/' /etc/dovecot/conf.d/10-auth.conf"
        )
        assert "step 33: fails → passes" in child.stdout.readline()
        os.kill(child.pid, signal.SIGINT)
        try:
            child.communicate(timeout=PATIENCE)
        finally:
            child.kill()
        assert child.returncode == 0


def test_a_run_during_which_something_is_edited_is_given_up_but_not_one_whose_mail_comes_and_goes(
    cli: Cli, engine: Engine, finished: dict[str, Any]
) -> None:
    name, runs = finished["student"], 0
    [environment] = engine.environments(name)

    def check(*_: Any, onlooker: Onlooker, **__: Any) -> Report:
        nonlocal runs
        runs += 1
        if runs == 1:
            cli.inside(name, "vm3", "echo hello | mail -s hello root@localhost")
            cli.inside(name, "vm3", "for _ in $(seq 50); do postqueue -p | grep -q empty && break; sleep 0.2; done")
            assert not onlooker.is_over()
            cli.inside(name, "vm3", "echo '# a word' >> /etc/postfix/main.cf")
            deadline = time.monotonic() + PATIENCE
            while not onlooker.is_over():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            raise Overtaken
        return Report(name, environment.lab, ())

    over = threading.Event()
    next(watch.reports(engine, environment, check=check, over=over))
    over.set()
    cli.inside(name, "vm3", "sed -i '/^# a word$/d' /etc/postfix/main.cf")
    assert runs == 2


@pytest.mark.parametrize(
    ("name", "change", "undo"),
    [
        ("vm3", "iptables -I INPUT -p tcp --dport 9 -j ACCEPT", "iptables -D INPUT -p tcp --dport 9 -j ACCEPT"),
        ("vm2", "systemctl reload postfix", "true"),
        ("vm3", "systemctl restart dovecot", "true"),
        ("vm3", "doveadm reload", "true"),
        ("vm3", "systemctl disable dovecot", "systemctl enable dovecot"),
        ("host", "systemctl reload named", "true"),
        ("vm3", "useradd -M passerby", "userdel passerby"),
        ("vm3", "echo hello | mail -s hello {student}@{domain}", "true"),
        ("vm3", "echo hello | mail -s hello root@{domain}", "true"),
        ("host", "echo note > /root/note", "rm /root/note"),
    ],
)
def test_every_kind_of_change_is_seen(
    cli: Cli, engine: Engine, finished: dict[str, Any], name: str, change: str, undo: str
) -> None:
    [environment] = engine.environments(finished["student"])
    machine = [environment.machine(name).container]
    watched = watch.all_watched(labs.load(environment.lab))
    before = watch.digests(engine, machine, watched)
    assert watch.digests(engine, machine, watched) == before
    cli.inside(finished["student"], name, change.format(**finished))
    deadline = time.monotonic() + 10  # logs and deliveries come a moment later
    while (after := watch.digests(engine, machine, watched)) == before and time.monotonic() < deadline:
        pass
    cli.inside(finished["student"], name, undo)
    assert after != before


def test_a_machine_that_is_down_has_no_digest(engine: Engine) -> None:
    assert watch.digests(engine, ["labenv-nobody-vm3"], "") == {"labenv-nobody-vm3": ""}
