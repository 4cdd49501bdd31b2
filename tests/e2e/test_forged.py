"""A student replaces what the checks look at, with Dovecot stopped: what is seen from outside and from the kernel decides.

Each forgery was believed, wholly or in part, while the checks asked the machine's own programs.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labenv.engine import Engine
from labenv.engine.image_sources import TOOLS, TOOLS_VOLUME, wanted
from tests.e2e.conftest import Cli

IMAP = r"""
printf '* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] Dovecot ready.\r\n'
while read -r tag command rest; do
    case $command in
    CAPABILITY*) printf '* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n' ;;
    LIST*) printf '* LIST () "." Trash\r\n* LIST () "." INBOX\r\n' ;;
    EXAMINE*) printf '* 3 EXISTS\r\n' ;;
    LOGOUT*) printf '* BYE\r\n' ;;
    esac
    printf '%s OK done\r\n' "$tag"
    case $command in LOGOUT*) exit ;; esac
done
"""
# On host and vm2: whoever connects to port 143 talks to this script.
NC = rf"""#!/bin/bash
case "$*" in
*203.0.113.1* | *" 25") exec /usr/bin/nc.real "$@" ;;
esac
echo "Connection to vm3 143 port [tcp/imap] succeeded!" >&2
{IMAP}
"""
SYSTEMCTL = """#!/bin/sh
case "$*" in
*ActiveState*dovecot*) systemctl.real "$@" | sed 's/^ActiveState=.*/ActiveState=active/' ;;
*) exec /usr/bin/systemctl.real "$@" ;;
esac
"""
SS = """#!/bin/sh
echo 'LISTEN 0 100 0.0.0.0:143 0.0.0.0:*'
exec /usr/bin/ss.real "$@"
"""
DOVEADM = """#!/bin/sh
echo Trash
echo INBOX
"""
# A fake server as a fake unit: nothing but the port and the name is Dovecot's.
SERVER = """
use strict; use IO::Socket::INET; use Socket;
my $port = shift;
my $door = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 20, ReuseAddr => 1) or die;
while (my $guest = $door->accept) {
    next if fork;
    open STDIN, '<&', $guest; open STDOUT, '>&', $guest;
    exec 'bash', '/root/imap';
}
"""
UNIT = """[Unit]
Description=Dovecot IMAP/POP3 email server
[Service]
ExecStart=/usr/bin/perl /root/server 143
[Install]
WantedBy=multi-user.target
"""


def place(cli: Cli, student: str, machine: str, path: str, text: str) -> None:
    """Put an executable file into a machine; a program that is replaced stays as PATH.real."""
    cli(
        *("exec", "-s", student, machine, "--", "sh", "-c"),
        'test ! -e "$0" || mv "$0" "$0.real"; printf %s "$1" >"$0"; chmod 755 "$0"',
        *(path, text),
    )


def failed(report: dict[str, Any]) -> dict[str, str]:
    """The evidence of the checks that fail, by step."""
    return {result["step"]: result["evidence"] for result in report["results"] if result["status"] == "fail"}


def waiting(report: dict[str, Any]) -> set[str]:
    """The steps of which a check waits for another."""
    return {result["step"] for result in report["results"] if result["evidence"].startswith("waits for step")}


@pytest.fixture(scope="module")
def who(finished: dict[str, Any]) -> str:
    """The student of the shared environment."""
    return str(finished["student"])


@pytest.fixture
def forged(cli: Cli, who: str) -> Iterator[Callable[[str, str, str], None]]:
    """Places files in the machines of the shared environment; afterwards every program is the real one again."""
    placed: list[tuple[str, str]] = []

    def put(machine: str, path: str, text: str) -> None:
        placed.append((machine, path))
        place(cli, who, machine, path, text)

    yield put
    for machine, path in placed:
        cli.inside(who, machine, f"rm -f {path}; test ! -e {path}.real || mv {path}.real {path}")
    cli.inside(who, "vm3", "pkill -f '[/]root/server';  systemctl daemon-reload; systemctl restart dovecot")


def test_replaced_programs_do_not_speak_for_a_stopped_dovecot(
    cli: Cli, who: str, finished: dict[str, Any], forged: Callable[[str, str, str], None]
) -> None:
    for machine in ("host", "vm2"):
        forged(machine, "/usr/bin/nc", NC)
    for name, text in (("systemctl", SYSTEMCTL), ("ss", SS), ("doveadm", DOVEADM)):
        forged("vm3", f"/usr/bin/{name}", text)
    address = finished["network"].replace("0/24", "1")
    login = f"imap-login: Login: user=<{who}>, method=PLAIN, rip={address}, lip=192.0.2.1, mpid=1"
    loud = f"(for i in $(seq 100); do logger -p mail.info -t dovecot '{login}'; sleep 0.2; done) >/dev/null 2>&1 &"
    cli.inside(who, "vm3", f"systemctl.real stop dovecot; {loud}")
    report = cli.json("check", "-s", who, rc=1)
    assert "no process of its own program runs" in failed(report)["29"]
    assert {"30", "35", "36", "37", "38"} <= waiting(report)
    assert report["notes"][0] == "On host, /usr/bin/nc differs from what the image brought."
    assert (
        "On vm3, /usr/bin/doveadm, /usr/bin/ss, /usr/bin/systemctl differ from what the image brought."
        in report["notes"]
    )
    assert "port 143" in failed(cli.json("check", "38", "-s", who, rc=1))["38"]
    assert failed(cli.json("check", "30", "-s", who, rc=1))["30"].startswith("port 143 of vm3 listens on no address")


def test_no_program_of_the_machine_carries_a_question_or_its_answer(
    cli: Cli, who: str, forged: Callable[[str, str, str], None]
) -> None:
    for path in ("/usr/bin/dash", "/usr/bin/cat", "/usr/bin/ss", "/usr/bin/perl", "/usr/bin/nc", "/usr/bin/head"):
        spy = f'#!/bin/bash\necho "{path} $*" >>/root/asked\nexec -a "$0" {path}.real "$@"\n'
        forged("host", path, spy)
    assert cli.json("check", "12", "35", "-s", who)["summary"]["failed"] == 0
    asked = cli.inside(who, "host", "sed '/sed/d' /root/asked; rm -f /root/asked")
    for what in ("named-checkzone", "/proc/net/tcp", "nc -v"):
        assert what not in asked
    # What tidies the logs when all is judged may be the machine's.
    assert asked.count("/usr/bin/perl -e") == asked.count("/usr/bin/perl -e # Takes lines out of a log")


def test_a_fake_unit_is_told_by_its_program(cli: Cli, who: str, forged: Callable[[str, str, str], None]) -> None:
    forged("vm3", "/root/imap", IMAP)
    forged("vm3", "/root/server", SERVER)
    forged("vm3", "/etc/systemd/system/dovecot.service", UNIT)
    cli.inside(who, "vm3", "systemctl stop dovecot; systemctl daemon-reload; systemctl start dovecot")
    report = cli.json("check", "29", "30", "-s", who, rc=1)
    assert "no process of its own program runs" in failed(report)["29"]
    assert "/etc/systemd/system/dovecot.service is not from the image or its packages" in report["notes"][0]
    said = failed(cli.json("check", "30", "-s", who, rc=1))["30"]
    assert said.startswith("port 143 of vm3 belongs to /usr/bin/perl in dovecot.service")


def test_a_server_that_hides_whose_it_is_beside_an_idle_dovecot_is_told(
    cli: Cli, who: str, forged: Callable[[str, str, str], None]
) -> None:
    forged("vm3", "/root/imap", IMAP)
    forged("vm3", "/root/server", SERVER.replace("while (my", "$> = 65534; while (my"))
    forged("vm3", "/root/idle.conf", "protocols =\nssl = no\nlog_path = /dev/null\n")
    folder = "/run/systemd/system/dovecot.service.d"
    forged("vm3", "/root/x.conf", "[Service]\nExecStart=\nExecStart=/usr/sbin/dovecot -F -c /root/idle.conf\n")
    start = f"mkdir -p {folder}; cp /root/x.conf {folder}; systemctl daemon-reload; systemctl restart dovecot"
    cli.inside(who, "vm3", f"{start}; setsid perl /root/server 143 >/dev/null 2>&1 </dev/null & sleep 1")
    try:
        said = failed(cli.json("check", "30", "-s", who, rc=1))["30"]
        assert said.startswith("port 143 of vm3 belongs to /usr/bin/perl in no unit")
    finally:
        cli.inside(who, "vm3", f"rm -r {folder}")


@pytest.mark.parametrize(
    ("machine", "rule"),
    [
        ("vm3", "PREROUTING -p tcp --dport 143 -j REDIRECT --to-ports 1143"),
        ("host", "OUTPUT -p tcp --dport 143 -j DNAT --to-destination {vm3}:1143"),
    ],
)
def test_a_connection_that_is_led_to_a_fake_server_is_told(
    cli: Cli, who: str, finished: dict[str, Any], forged: Callable[[str, str, str], None], machine: str, rule: str
) -> None:
    forged("vm3", "/root/imap", IMAP)
    forged("vm3", "/root/server", SERVER)
    rule = rule.format(vm3=finished["network"].replace("0/24", "4"))
    cli.inside(who, "vm3", "perl /root/server 1143 >/dev/null 2>&1 & iptables -I INPUT -p tcp --dport 1143 -j ACCEPT")
    cli.inside(who, machine, f"iptables -t nat -A {rule}")
    try:
        said = failed(cli.json("check", "35", "-s", who, rc=1))["35"]
    finally:
        cli.inside(who, machine, f"iptables -t nat -D {rule}")
        cli.inside(who, "vm3", "iptables -D INPUT -p tcp --dport 1143 -j ACCEPT")
    assert "its addresses are rewritten on the way" in said


def test_a_preloaded_library_is_named_and_does_not_reach_the_tools(
    cli: Cli, who: str, forged: Callable[[str, str, str], None]
) -> None:
    forged("vm3", "/etc/ld.so.preload", "/lib/x86_64-linux-gnu/libm.so.6\n")
    report = cli.json("check", "29", "-s", who)
    assert report["notes"] == ["On vm3, /etc/ld.so.preload is not from the image or its packages."]


def test_files_are_seen_however_deep_they_lie_and_what_cannot_be_read_is_named(cli: Cli, who: str) -> None:
    make = """
    sub nested { my ($name, $count, $fake) = @_; chdir "/usr/bin";
        for (1 .. $count) { mkdir $name; chdir $name or die } if ($fake) { open F, ">", "fake"; close F } }
    nested("d", 30, 1); nested("n" x 250, 17, 1); nested("x", 300, 0)"""
    cli.inside(who, "vm3", f"touch /usr/bin/zzz; perl -e '{make}'")
    report = cli.json("check", "29", "-s", who)
    trusted = cli.json("check", "29", "--trust", "-s", who)
    cli.inside(who, "vm3", "rm -r /usr/bin/d /usr/bin/nnn* /usr/bin/x /usr/bin/zzz")
    for said in (report, trusted):
        assert said["notes"] == [
            f"On vm3, /usr/bin{'/d' * 30}/fake, /usr/bin/{'n' * 91}…, /usr/bin/zzz are not from the image or its packages.",
            f"On vm3, /usr/bin{'/x' * 46}… could not be read whole.",
        ]


def test_a_library_from_elsewhere_is_named_whether_or_not_its_folder_is_still_told(cli: Cli, who: str) -> None:
    library, told = "/var/elsewhere/libcap.so.2", "/etc/ld.so.conf.d/000.conf"
    cli.inside(
        who,
        "vm3",
        f"mkdir /var/elsewhere; cp /lib/*/libcap.so.2 {library}; echo /var/elsewhere >{told}; ldconfig; mv {told} /root",
    )
    gone = cli.json("check", "29", "-s", who)["notes"]
    cli.inside(who, "vm3", f"mv /root/000.conf {told}")
    there = cli.json("check", "29", "--trust", "-s", who)["notes"]
    cli.inside(who, "vm3", f"rm -r {told} /var/elsewhere; cp /etc/ld.so.cache /root; echo nonsense >/etc/ld.so.cache")
    damaged = cli.json("check", "29", "-s", who)["notes"]
    cli.inside(who, "vm3", "rm /root/ld.so.cache; ldconfig")
    assert gone == [f"On vm3, {library} is not from the image or its packages."]
    assert there == [f"On vm3, {told}, {library} are not from the image or its packages."]
    assert damaged == ["On vm3, /etc/ld.so.cache is not from the image or its packages."]


def test_units_and_settings_are_seen_wherever_systemd_finds_them(cli: Cli, who: str) -> None:
    placed = [
        "/etc/systemd/system.conf.d/mine.conf",
        "/etc/systemd/system.control/mine.service",
        "/run/systemd/system.control/dovecot.service.d/mine.conf",
        "/run/systemd/system/mine.service",
        "/run/systemd/transient/mine.service",
    ]
    everywhere = " ".join(placed)
    cli.inside(who, "vm3", f'for file in {everywhere}; do mkdir -p "${{file%/*}}"; echo >"$file"; done')
    cli.inside(who, "vm2", f"echo '{UNIT}' >/root/linked.service; systemctl link /root/linked.service")
    cli.inside(who, "host", "systemctl enable --runtime rsyslog")
    notes = cli.json("check", "29", "-s", who)["notes"]
    cli.inside(who, "host", "systemctl disable --runtime rsyslog")
    cli.inside(who, "vm2", "systemctl disable linked.service; rm /root/linked.service")
    cli.inside(who, "vm3", f"rm {everywhere}; systemctl daemon-reload")
    assert notes == [
        "On vm2, /etc/systemd/system/linked.service is not from the image or its packages.",
        f"On vm3, {', '.join(placed)} are not from the image or its packages.",
    ]


def test_the_tools_cannot_be_taken_away(cli: Cli, who: str) -> None:
    for attempt in (
        "umount /labenv-tools",
        "umount -l /labenv-tools",
        "mount --bind /tmp /labenv-tools",
        "mount -o remount,rw /labenv-tools",
        "mv /labenv-tools /elsewhere",
        "rm -rf /labenv-tools",
        "cp /bin/false /labenv-tools/bin/sh",
        "unshare -Urm sh -c 'umount /labenv-tools'",
    ):
        assert cli("exec", "-s", who, "vm2", "--", "sh", "-c", attempt, rc=None).returncode != 0, attempt
    assert cli.json("check", "0", "-s", who)["summary"]["failed"] == 0


def test_a_command_that_died_while_it_filled_the_volume_is_in_nobodys_way(
    cli: Cli, engine: Engine, student: str
) -> None:
    tag = wanted()[TOOLS].tag
    name = f"{TOOLS_VOLUME}{tag.rpartition(':')[2]}"
    engine.api.create_container(tag, name=name)
    cli("up", student, "--no-check")
    assert engine.environments(student)[0].machines[0].has_tools
    assert not engine.api.containers(all=True, filters={"name": name})


def test_an_honest_environment_has_nothing_to_tell(cli: Cli, who: str) -> None:
    assert "All programs are what the images brought." in cli("check", "--trust", "-s", who).stdout
    assert "notes" not in cli.json("check", "-s", who)


def test_what_a_student_installs_as_on_the_sheet_counts_as_brought(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check", "--at", "relay")
    cli.inside(student, "vm3", "yum -y install dovecot ftp >/dev/null 2>&1")
    report = cli.json("check", "--trust", "-s", student, rc=None)
    assert "notes" not in report
    cli.inside(student, "vm2", "echo 'echo hello' >/usr/local/bin/mine")
    report = cli.json("check", "-s", student, rc=None)
    assert report["notes"] == ["On vm2, /usr/local/bin/mine is not from the image or its packages."]


def test_a_save_hides_nothing(cli: Cli, student: str, tmp_path: Path) -> None:
    cli("up", student, "--no-check")
    place(cli, student, "vm3", "/usr/bin/ss", SS)
    cli("save", "forged", "-s", student)
    cli("restore", "forged", "-s", student)
    told = "On vm3, /usr/bin/ss differs from what the image brought."
    assert told in cli.json("check", "--trust", "-s", student)["notes"]
    archive = tmp_path / "handed-in.tar.gz"
    assert told in cli("submit", str(archive), "-s", student).stdout
    [row] = cli.json("review", str(archive))
    assert told in row["notes"]


def test_a_machine_of_the_version_before_is_checked_as_before(cli: Cli, engine: Engine, student: str) -> None:
    without = (
        "from labenv.engine import tools; tools.bind = lambda *_: None; from labenv.environments import machines; "
    )
    without += "machines.tools.bind = lambda *_: '/dev/null:/nothing:ro'; from labenv.cli import main; main()"
    subprocess.run([sys.executable, "-c", without, "up", student, "--no-check"], check=True, capture_output=True)
    assert not any(machine.has_tools for machine in engine.environments(student)[0].machines)
    assert cli.json("check", "-s", student)["summary"]["failed"] == 0
    notes = cli.json("check", "--trust", "-s", student)["notes"]
    assert len(notes) == 3
    assert "was made by Compose or by an earlier version of labenv" in notes[0]
    cli("save", "same", "-s", student)
    cli("restore", "same", "-s", student)
    assert "notes" not in cli.json("check", "--trust", "-s", student)
