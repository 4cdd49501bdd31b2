"""Changes are recorded: when, on which machine, in which lines; and the edit since which a check has been failing."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pexpect
import pytest

from labenv.engine import Engine
from labenv.engine.labels import LABEL
from tests.e2e.conftest import Cli

MAIN = "/etc/postfix/main.cf"


@pytest.fixture(scope="module")
def who(cli: Cli, new_student: Callable[[], str]) -> Iterator[str]:
    """A student at the beginning of the sheet, with a new history."""
    student = new_student()
    cli("up", student, "--at", "lab4a", "--no-check")
    cli("history", "-s", student)
    yield student
    cli("down", "-s", student, "--yes")
    for save in cli.json("saves", "-s", student)["saves"]:
        cli("saves", "--remove", save["name"], "-s", student, "--yes")


def edits(cli: Cli, who: str, *file: str) -> list[dict[str, Any]]:
    """The output of `labenv history`, oldest first."""
    told = cli("history", *file, "--json", "-s", who, rc=None)
    if told.returncode == 2:
        return []
    return list(reversed(json.loads(told.stdout)["edits"]))


def test_each_edit_in_a_shell_is_written_down_with_its_own_time(cli: Cli, who: str) -> None:
    shell = pexpect.spawn(
        sys.executable,
        ["-m", "labenv", "shell", "vm2", "-s", who],
        env=os.environ | {"TERM": "dumb"},
        encoding="utf-8",
        timeout=60,
    )
    prompt = re.escape("[root@vm2 ~]# ")
    begun = time.time()
    shell.expect(prompt)
    for number in range(2):
        shell.sendline(f"echo '# edit {number}' >>{MAIN}")
        shell.expect(prompt)
        shell.sendline("sleep 1.1")
        shell.expect(prompt)
    for command in ("rm /etc/aliases", f"echo root >~{who}/.forward", f"rm ~{who}/.forward", "sleep 1.1"):
        shell.sendline(command)
        shell.expect(prompt)
    left = time.time()
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    first, second, gone, lost = (
        edit for edit in edits(cli, who)[-5:] if "/.forward" not in edit["file"] or edit["removed"]
    )
    for edit in (first, second):
        assert (edit["machine"], edit["file"], edit["added"], edit["removed"]) == ("vm2", MAIN, 1, 0)
    assert begun - 1 <= first["time"] < second["time"] <= time.time()
    assert (gone["file"], gone["added"]) == ("/etc/aliases", 0)
    assert (lost["file"], lost["added"], lost["removed"]) == (f"/home/{who}/.forward", 0, 1)
    assert lost["time"] < left - 1, "seen at the prompt, not only later"


def test_a_prompt_costs_next_to_nothing(cli: Cli, who: str) -> None:
    timed = "time (for i in 1 2 3 4 5 6 7 8 9 10; do labenv_keep; done)"
    script = f"bash -ic 'TIMEFORMAT=%R; labenv_keep; {timed}' 2>&1 | tail -n 1"
    seconds = float(cli.inside(who, "vm2", script))
    assert seconds / 10 < 0.02, f"{seconds / 10 * 1000:.1f} ms a prompt"  # 1 ms on a quiet machine


def test_what_was_not_typed_in_a_shell_is_found(cli: Cli, who: str) -> None:
    cli.inside(who, "host", "echo '; by hand' >>/etc/named.conf")
    cli.inside(who, "vm3", "iptables -I INPUT -p tcp --dport 4190 -j ACCEPT; useradd ghost")
    found = {(edit["machine"], edit["file"]): edit for edit in edits(cli, who)}
    assert found["host", "/etc/named.conf"]["added"] == 1
    assert found["vm3", "iptables-save"]["added"] == 1
    assert found["vm3", "/etc/passwd"]["added"] == found["vm3", "/etc/shadow"]["added"] == 1
    shown = cli("history", "vm3:/etc/shadow", "--patch", "-s", who).stdout
    assert "ghost" not in shown, "who can log in is no business of a repository's"
    assert "+ghost:" in cli("history", "vm3:passwd", "--patch", "-s", who).stdout


def test_a_reboot_is_no_edit_but_for_what_it_loses(cli: Cli, who: str) -> None:
    before = edits(cli, who)
    cli("reboot", "vm2", "-s", who)
    cli("reboot", "vm2", "--hard", "-s", who)
    assert edits(cli, who) == before
    cli.inside(who, "vm2", "iptables -I INPUT -p tcp --dport 4190 -j ACCEPT")
    cli("reboot", "vm2", "-s", who)
    done, lost = edits(cli, who)[-2:]
    assert (done["file"], done["added"], done["said"]) == ("iptables-save", 1, "")
    assert (lost["file"], lost["removed"], lost["said"]) == ("iptables-save", 1, "labenv reboot")


def test_what_was_edited_before_a_machine_stopped_stays_the_students(cli: Cli, who: str, engine: Engine) -> None:
    cli.inside(who, "vm2", "iptables -I INPUT -p tcp --dport 4191 -j ACCEPT")
    cli("history", "-s", who)
    cli.inside(who, "vm2", "echo '# the last' >>/etc/hosts; setsid /usr/lib/labenv/history keep")
    [vm2] = [each for each in engine.environments(who)[0].regular if each.name == "vm2"]
    engine.api.stop(vm2.container)
    cli("up", who, "--no-check")
    mine, lost = edits(cli, who, "vm2")[-2:]
    assert (mine["file"], mine["added"], mine["said"]) == ("/etc/hosts", 1, "")
    assert (lost["file"], lost["removed"], lost["said"]) == ("iptables-save", 1, "labenv up")


def test_the_first_command_of_all_is_an_edit(cli: Cli, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    cli("exec", "vm3", "-s", student, "--", "sh", "-c", "echo '# first' >>/etc/hosts")
    assert [edit["file"] for edit in edits(cli, student)] == ["/etc/hosts"]
    cli("down", "-s", student)


def test_a_copy_that_brings_an_old_time_along_is_an_edit_of_now(cli: Cli, who: str) -> None:
    cli.inside(who, "vm3", "sed '1i # an old one' /etc/aliases >/root/old; touch -d 2001-01-01 /root/old")
    begun = time.time()
    cli.inside(who, "vm3", "cp -p /root/old /etc/aliases")
    assert edits(cli, who, "vm3:/etc/aliases")[-1]["time"] >= int(begun)


def test_what_a_solution_typed_is_told_apart(cli: Cli, who: str) -> None:
    for machine in ("vm2", "vm3"):
        cli.inside(who, machine, "postconf -e 'myorigin = $myhostname'")
    cli("solve", "9", "-s", who)
    assert {edit["said"] for edit in edits(cli, who, "main.cf")[-2:]} == {"labenv solve 9"}


def test_a_check_that_fails_is_traced_to_the_edit(cli: Cli, who: str) -> None:
    cli("solve", "9", "-s", who)
    cli("check", "9", "-s", who)
    cli.inside(who, "vm2", f"sed -i 's/^myorigin.*/myorigin = $myhostname/' {MAIN}; postfix reload")
    cli("check", "9", "-s", who, rc=1)
    [told] = [one for one in cli.json("when", "9", "-s", who)["checks"] if one["machine"] == "vm2"]
    assert not told["holds"]
    assert told["before"] < told["since"]
    assert [(edit["machine"], edit["file"]) for edit in told["edits"]] == [("vm2", MAIN)]
    shown = cli("when", "origin_is_the_domain", "--patch", "-s", who).stdout
    assert "-myorigin = $mydomain" in shown
    assert "+myorigin = $myhostname" in shown
    cli.inside(who, "vm2", f"sed -i 's/^myorigin.*/myorigin = $mydomain/' {MAIN}; postfix reload")
    cli("check", "9", "-s", who)
    assert all(one["holds"] for one in cli.json("when", "9", "-s", who)["checks"])


def test_the_present_is_compared_with_any_moment(cli: Cli, who: str) -> None:
    cli.inside(who, "vm2", f"echo '# early' >>{MAIN}")
    cli("save", "then", "-s", who)
    time.sleep(2)  # times are in whole seconds
    between = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    time.sleep(1.1)
    cli.inside(who, "vm3", f"echo '# late' >>{MAIN}")
    for since in ("then", between, "yesterday"):
        assert "+# late" in cli("diff", since, "--file", "vm3:main.cf", "-s", who).stdout, since
    time.sleep(2)
    now = datetime.now().strftime("%H:%M:%S")
    assert cli("diff", now, "--file", "vm3:main.cf", "-s", who).stdout == ""
    assert "+# early" in cli("diff", "-s", who).stdout
    told = cli.json("diff", "--file", "/etc/postfix", "-s", who)
    assert told["files"] == ["vm2/etc/postfix/main.cf", "vm3/etc/postfix/main.cf"]


def test_the_reference_solution_is_compared_for_teachers(cli: Cli, who: str) -> None:
    assert "Only teachers" in cli("diff", "relay", "-s", who, rc=2).stderr
    patch = cli("diff", "relay", "--file", "vm2:main.cf", "--teacher", "-s", who).stdout
    assert "-relayhost = " in patch, "what the solution has and the student has not"


def test_a_command_is_one_entry_and_what_exceeds_the_screen_goes_to_a_pager(cli: Cli, who: str) -> None:
    cli.inside(
        who, "vm3", "/usr/lib/labenv/history keep; for n in 1 2 3 4 5 6 7 8 9; do useradd -D >/etc/postfix/x$n; done"
    )
    cli("history", "-s", who)
    shown = cli("history", "-s", who).stdout.splitlines()
    assert "/etc/postfix (9 files)" in shown[1]
    assert shown[-1].split()[-1] == "start"
    each = cli("history", "vm3:/etc/postfix", "-s", who).stdout
    assert all(f"/etc/postfix/x{n}" in each for n in range(1, 10))
    assert cli("history", "--reverse", "-s", who).stdout.splitlines()[1].split()[-1] == "start"
    command = [sys.executable, "-m", "labenv", "history", "vm3:/etc", "-s", who]
    for pager, rows, ends in (("less", 10, False), ("less", 500, True), ("cat", 10, True), ("nosuchpager", 10, True)):
        environment = os.environ | {"TERM": "xterm", "LABENV_PAGER": pager}
        child = pexpect.spawn(
            command[0], command[1:], dimensions=(rows, 100), env=environment, encoding="utf-8", timeout=60
        )
        child.expect("/etc/postfix/x1")
        assert child.expect([r"\r\n:|\x1b\[K", pexpect.EOF] if not ends else [pexpect.EOF]) == 0
        if not ends:
            child.send("q")
            child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0


def test_a_machine_that_is_first_recorded_late_brings_no_edits(cli: Cli, student: str) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    shell = pexpect.spawn(sys.executable, ["-m", "labenv", "shell", "vm3", "-s", student], encoding="utf-8", timeout=60)
    shell.expect("# ")
    shell.sendline("echo '# mine' >>/etc/hosts; exit")
    shell.expect(pexpect.EOF)
    cli("exec", "vm3", "-s", student, "--", "sh", "-c", "echo '# more' >>/etc/aliases")
    assert [(edit["machine"], edit["file"]) for edit in edits(cli, student)][-1] == ("vm3", "/etc/aliases")
    assert {edit["machine"] for edit in edits(cli, student)} == {"vm3"}
    cli("down", "-s", student)


def test_a_restore_is_told_and_the_history_goes_on(cli: Cli, who: str) -> None:
    cli("save", "good", "-s", who)
    cli.inside(who, "vm2", f"rm {MAIN}")
    cli("restore", "good", "-s", who)
    assert edits(cli, who, "vm2:main.cf")[-1]["said"] == "labenv restore good"
    assert cli("diff", "good", "--file", MAIN, "-s", who).stdout == ""


def test_a_collection_that_is_killed_loses_and_doubles_nothing(cli: Cli, who: str) -> None:
    before = len(edits(cli, who, "hosts"))
    command = [sys.executable, "-m", "labenv", "history", "-s", who]
    for number in range(8):
        cli.inside(who, "vm2", f"echo '# {number}' >>/etc/hosts")
        killed = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, start_new_session=True)
        time.sleep(0.3 + number * 0.1)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    together = [
        subprocess.Popen(command, env=os.environ, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    said = [one.communicate(timeout=120)[1] for one in together]
    assert [one.returncode for one in together] == [0, 0, 0]
    assert not any("could not be stored" in each for each in said), said
    found = edits(cli, who, "hosts")[before:]
    assert sum(edit["added"] for edit in found) == 8
    assert not any(edit["removed"] for edit in found)


def test_a_copy_that_cannot_be_read_keeps_no_other_back(cli: Cli, who: str) -> None:
    broken = "mkdir -p /var/lib/labenv/history; echo broken >/var/lib/labenv/history/$(date +%s.%N)"
    cli.inside(who, "vm2", f"{broken}; echo '# after' >>/etc/hosts")
    assert edits(cli, who, "vm2:hosts")[-1]["added"] == 1


def test_a_running_drill_is_not_given_away(cli: Cli, who: str, engine: Engine) -> None:
    volume = f"drill-{who}"
    engine.api.create_volume(volume, labels={LABEL: who, "labenv.record": "drill"})
    try:
        for command in (("history",), ("diff",), ("when", "9")):
            assert "A drill is running" in cli(*command, "-s", who, rc=2).stderr
    finally:
        engine.api.remove_volume(volume)


def test_bad_input_gets_its_sentence(cli: Cli, who: str) -> None:
    assert "is not a stage, a save or a time" in cli("diff", "lunch", "-s", who, rc=2).stderr
    assert "Nothing named nix has changed" in cli("history", "nix", "-s", who, rc=2).stderr
    assert "no step or check '99'" in cli("when", "99", "-s", who, rc=2).stderr


def test_without_git_all_else_works(cli: Cli, who: str, tmp_path: Path) -> None:
    for name in ("docker", "sh"):
        if found := shutil.which(name):
            (tmp_path / name).symlink_to(found)
    bare = Cli({"PATH": str(tmp_path)})
    assert "git is not installed on this computer" in bare("history", "-s", who, rc=3).stderr
    cli("solve", "9", "-s", who)
    bare("check", "9", "-s", who)
    assert bare("diff", "-s", who, rc=3).returncode == 3


def test_the_history_goes_with_the_environment(cli: Cli, student: str, state: Path) -> None:
    cli("up", student, "--at", "lab4a", "--no-check")
    cli("history", "-s", student)
    assert (state / "labenv" / "history" / f"{student}.git").exists()
    cli("save", "kept", "-s", student)
    cli("down", "-s", student)
    assert (state / "labenv" / "history" / f"{student}.git").exists(), "its saves can be restored"
    cli("saves", "--remove", "kept", "-s", student)
    cli("up", student, "--at", "lab4a", "--no-check")
    assert edits(cli, student) == [], "another environment has a history of its own"
    cli("down", "-s", student)
    assert not (state / "labenv" / "history" / f"{student}.git").exists()
