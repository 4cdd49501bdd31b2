"""The machines' programs are those of the course's machines: what they print, what they end with, and what they really do."""

import datetime
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labenv.engine import Engine
from tests.e2e.conftest import Cli

Typed = Callable[..., str]


@pytest.fixture(scope="module")
def lab(cli: Cli, new_student: Callable[[], str]) -> Iterator[dict[str, Any]]:
    """An environment where the sheet starts."""
    name = new_student()
    yield cli.json("up", name, "--at", "lab4a", "--no-check")
    cli("down", "-s", name, rc=None)


@pytest.fixture
def vm2(engine: Engine, lab: dict[str, Any]) -> Typed:
    """Runs a shell script on vm2 that must end with `rc`; what it printed, stderr included."""
    container = next(machine["container"] for machine in lab["machines"] if machine["name"] == "vm2")

    def run(script: str, rc: int = 0) -> str:
        made = engine.api.exec_create(container, ["sh", "-c", script])
        said: str = engine.api.exec_start(made).decode()
        assert engine.api.exec_inspect(made)["ExitCode"] == rc, f"{script}\n{said}"
        return said

    return run


def test_rpm_answers_and_ends_as_the_families_does(vm2: Typed) -> None:
    assert re.fullmatch(r"postfix-3\.\d+\.\d+-\S+\.x86_64\n|postfix-\S+\.aarch64\n", vm2("rpm -q postfix"))
    assert vm2("rpm -q nosuch dovecot", rc=2) == "package nosuch is not installed\npackage dovecot is not installed\n"
    assert vm2("rpm -q --qf '%{NAME}|%{EPOCH}\\n' bind-utils mailx bash") == "bind-utils|1\nmailx|(none)\nbash|(none)\n"
    assert vm2("rpm -qf --qf '%{NAME} ' /bin/ls /etc/postfix/main.cf /usr/bin/vi") == "coreutils postfix vim-minimal "
    assert vm2("touch /root/own; rpm -qf /root/own", rc=1) == "file /root/own is not owned by any package\n"
    assert "No such file or directory" in vm2("rpm -qf /nosuch", rc=1)
    assert {"/usr/sbin/postfix", "/etc/postfix/main.cf"} <= set(vm2("rpm -ql postfix").split())
    assert "/etc/postfix/main.cf\n" in vm2("rpm -qc postfix")
    assert re.search(r"^Name +: postfix\nVersion +: 3\.", vm2("rpm -qi postfix"))
    assert len(vm2("rpm -qa").splitlines()) > 150
    assert vm2("rpm -qa 'bash*' | sed 's/-[0-9].*//' | sort") == "bash\nbash-completion\n"


def test_rpm_verifies_what_was_changed_and_nothing_else(vm2: Typed) -> None:
    assert vm2("rpm -V postfix tree rsync") == ""
    said = vm2("cp -p /usr/bin/tree /tmp; echo >>/usr/bin/tree; rpm -V tree; mv /tmp/tree /usr/bin", rc=0)
    assert re.fullmatch(r"\S*5\S* +/usr/bin/tree\n", said)
    assert "missing" not in vm2("rpm -Va", rc=1)


def test_yum_lists_and_finds_as_the_families_does(vm2: Typed) -> None:
    listed = vm2("yum list installed").splitlines()
    assert listed[0] == "Installed Packages"
    assert any(re.fullmatch(r"postfix\.\w+ +3\.7\S+ +installed", line) for line in listed)
    assert all(len(line) <= 80 for line in listed)
    assert re.search(
        r"^Available Packages\n(.*\n)*dovecot\.\w+ +1:2\.3\S+ +labenv$", vm2("yum list available"), re.MULTILINE
    )
    assert "Error: No matching Packages to list" in vm2("yum list nosuch", rc=1)
    assert re.search(r"^repolist: \d\d+$", vm2("yum repolist"), re.MULTILINE)
    for asked in ("/usr/bin/strace", "strace", "*bin/strace"):
        assert re.search(
            r"^strace-\S+ : .*\nRepo +: labenv\nMatched from:\nFilename +: /usr/bin/strace$",
            vm2(f"yum provides '{asked}'"),
            re.MULTILINE,
        )
    assert re.search(
        r"^bind-utils-\S+ : .*\nRepo +: installed", vm2("yum provides dig").removeprefix("1:"), re.MULTILINE
    )
    assert "N/S matched: multiplexer" in vm2("yum search multiplexer")
    assert "Name        : tmux" in vm2("yum info tmux")
    assert vm2("yum check-update") == ""
    assert "which is protected" in vm2("yum -y remove perl", rc=1)
    assert vm2("yum -y remove nosuch") == "No Match for argument: nosuch\nNo Packages marked for removal\n"
    assert "It has only: " not in vm2("yum -y install httpd", rc=1)
    assert re.search(r"has only: at, .*dovecot.*, words\.\nError: Nothing to do\n$", vm2("yum -y install nosuch", rc=1))


def test_a_package_comes_from_the_machines_own_repository_and_goes_again(vm2: Typed) -> None:
    assert re.search(r"^Installed:\n  strace\.\w+ 0:\S+\n(.*\n)*Complete!$", vm2("yum -y install strace"), re.MULTILINE)
    assert "execve" in vm2("strace -e trace=execve true")
    assert re.search(r"^strace \(1\) +- trace", vm2("whatis strace"))
    assert "@labenv" in vm2("yum list installed strace")
    assert re.search(r"^ +1 \| root <root> +\| \S+ \S+ \| Install +\|", vm2("yum history"), re.MULTILINE)
    assert re.search(r"^\w{3} \d\d \S+ Installed: strace-", vm2("cat /var/log/yum.log"), re.MULTILINE)
    assert "Complete!" in vm2("yum -y history undo last")
    assert vm2("rpm -q strace", rc=1) == "package strace is not installed\n"
    assert "strace: nothing appropriate." in vm2("whatis strace", rc=16)


@pytest.mark.parametrize("machine", ["host", "vm3"])
def test_the_programs_of_the_course_are_on_every_machine(cli: Cli, lab: dict[str, Any], machine: str) -> None:
    programs = (
        "rpm yum crontab crond locate updatedb curl lsof sudo visudo tcpdump traceroute telnet tree zip unzip bzip2 xz info "
        "apropos whatis man chkconfig alternatives file bc killall dump restore"
    )
    assert (
        cli.inside(
            lab["student"], machine, f"for name in {programs}; do command -v $name >/dev/null || echo $name; done"
        )
        == ""
    )
    assert re.fullmatch(
        r"\S.* release 12 \(\w+\), laid out as .*\n", cli.inside(lab["student"], machine, "cat /etc/redhat-release")
    )


@pytest.mark.parametrize(
    ("command", "status", "sentence"),
    [
        ("firewall-cmd --list-all", 252, r"FirewallD is not running: .*iptables -L -n.*\."),
        ("nmcli general status", 8, r"Error: NetworkManager is not running: .*\."),
        ("nmtui", 1, r"NetworkManager is not running: .*\."),
        ("setenforce 1", 1, r"setenforce: SELinux is disabled"),
        ("semanage fcontext -l", 1, r"semanage: SELinux is disabled on this machine, .*\."),
        ("setsebool -P httpd_can_network_connect 1", 1, r"setsebool:  SELinux is disabled\."),
        ("restorecon -v -R /var/www", 0, r"restorecon: SELinux is disabled on this machine, .*\."),
        ("timedatectl set-time 12:00", 1, r"The clock of this machine is your computer's, .*\."),
        ("rpm -ivh some.rpm", 1, r"rpm: the packages of this machine are Debian packages, .*\."),
    ],
)
def test_what_the_course_does_not_use_says_what_it_uses_instead(
    cli: Cli, lab: dict[str, Any], command: str, status: int, sentence: str
) -> None:
    done = cli("exec", "-s", lab["student"], "vm2", "--", *command.split(), rc=status)
    assert done.stdout == ""
    assert re.fullmatch(sentence, done.stderr.strip())


def test_name_clock_and_language_show_what_a_container_knows(vm2: Typed, lab: dict[str, Any]) -> None:
    assert re.search(rf"Static hostname: vm2\.{lab['domain']}\n(.*\n)* +Virtualization: \w+\n", vm2("hostnamectl"))
    vm2("timedatectl set-timezone America/Toronto")
    assert re.search(r" Time zone: America/Toronto \(E[SD]T, -0[45]00\)\n", vm2("timedatectl"))
    assert vm2("date +%Z") in {"EST\n", "EDT\n"}
    assert "not installed time zone" in vm2("timedatectl set-timezone ../../etc/passwd", rc=1)
    vm2("timedatectl set-timezone UTC")
    assert "System Locale: LANG=C.UTF-8" in vm2("localectl")


def test_the_network_is_what_the_ifcfg_files_say_once_they_are_applied(vm2: Typed, lab: dict[str, Any]) -> None:
    n = lab["network"].removesuffix(".0/24")
    before = vm2("cat /etc/resolv.conf")
    edit = "cd /etc/sysconfig/network-scripts; cp ifcfg-eth0 /root; "
    vm2(
        edit
        + "sed -i -e 's/^DNS1=.*/DNS1=\"10.9.8.7\"/' -e 's/^DOMAIN=.*/SEARCH=one.test/' ifcfg-eth0; echo DNS2=10.9.8.6 >>ifcfg-eth0"
    )
    assert vm2("cat /etc/resolv.conf") == before
    assert vm2("ifdown eth0; cat /sys/class/net/eth0/operstate; ip route") == "down\n"
    assert vm2("ifup eth0; ip route show default") == f"default via {n}.1 dev eth0 \n"
    wanted = "search one.test\nnameserver 10.9.8.7\nnameserver 10.9.8.6\noptions timeout:1 attempts:2\n"
    assert vm2("cat /etc/resolv.conf") == wanted
    vm2("mv /root/ifcfg-eth0 /etc/sysconfig/network-scripts; nmcli connection reload")
    assert vm2("cat /etc/resolv.conf") == wanted
    assert vm2("nmcli con up eth0; cat /etc/resolv.conf") == f"Connection successfully activated\n{before}"
    vm2(
        f"echo 'nameserver 10.9.8.7' >/etc/resolv.conf; systemctl restart network; grep -qx 'nameserver {n}.1' /etc/resolv.conf"
    )
    assert "IPADDR=10.9.8.7 has no effect" in vm2(
        "sed 's/^IPADDR=.*/IPADDR=10.9.8.7/' -i.bak /etc/sysconfig/network-scripts/ifcfg-eth0; ifup eth0", rc=1
    )
    vm2("cd /etc/sysconfig/network-scripts; mv ifcfg-eth0.bak ifcfg-eth0; service network restart")
    assert "configuration for eth9 not found" in vm2("ifup eth9", rc=1)


def test_the_first_mail_is_of_the_day_before(vm2: Typed) -> None:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    assert f"\nDate: {yesterday:%a, %d %b %Y} 14:12:07 +0000\n" in vm2("cat /var/spool/mail/root")
    assert "%" not in vm2("cat /var/spool/mail/root")


def test_cron_runs_a_users_job_and_notes_it(cli: Cli, vm2: Typed, lab: dict[str, Any]) -> None:
    """At its first start cron runs the jobs for @reboot, by the same way as others: no need to wait for a minute."""
    assert "active (running)" in vm2("systemctl status crond")
    student = lab["student"]
    vm2(f"echo '@reboot id -un >/tmp/job' | crontab -u {student} -; rm /run/crond.reboot; systemctl restart crond")
    vm2("for n in $(seq 50); do [ -s /tmp/job ] && exit; sleep 0.1; done; exit 1")
    assert vm2("cat /tmp/job") == f"{student}\n"
    assert f"({student}) CMD (id -un >/tmp/job)" in vm2("cat /var/log/cron")
    assert cli.inside(student, "vm3", "systemctl is-enabled crond") == "enabled\n"


def test_the_student_may_use_sudo_and_secure_tells(vm2: Typed, lab: dict[str, Any]) -> None:
    said = vm2(f"echo {lab['password']} | su - {lab['student']} -c 'sudo -S -p \"\" id -u'")
    assert said.splitlines()[-1] == "0"
    assert re.search(rf"sudo: +{lab['student']} : .*COMMAND=/usr/bin/id -u", vm2("cat /var/log/secure"))
    assert vm2("stat -c %a /var/log/secure") == "600\n"


def test_adduser_is_useradd(vm2: Typed) -> None:
    vm2("adduser -c 'Bea B' bea; userdel -r bea")


def test_updatedb_makes_what_locate_reads(vm2: Typed) -> None:
    assert "/etc/postfix/main.cf" in vm2("updatedb; locate main.cf")


def test_tcpdump_sees_packets(vm2: Typed) -> None:
    said = vm2("(sleep 0.5; ping -q -c 2 -i 0.2 127.0.0.1 >/dev/null) & timeout 10 tcpdump -n -i lo -c 1 icmp")
    assert "ICMP echo request" in said


def test_dump_makes_a_backup_that_restore_reads_and_step_48_accepts(cli: Cli, vm2: Typed, lab: dict[str, Any]) -> None:
    assert "DUMP: DUMP IS DONE" in vm2("mkdir /backup; dump -0uf /backup/vm2.dump /etc")
    vm2("cd /tmp && restore -xaoyf /backup/vm2.dump ./postfix/main.cf && cmp postfix/main.cf /etc/postfix/main.cf")
    assert vm2("ls /var/tmp | grep dump || :") == ""
    student = lab["student"]
    packed = vm2("base64 -w0 /backup/vm2.dump")
    cli("exec", "-s", student, "host", "--", "sh", "-c", "mkdir /backup; base64 -d >/backup/vm2.dump", stdin=packed)

    def judged() -> str:
        results = cli.json("check", "48", "-s", student, rc=None)["results"]
        return next(f"{r['status']}: {r['evidence']}" for r in results if r["machine"] == "vm2")

    assert "main.cf in /backup/vm2.dump is the one on vm2 today" in judged()
    cli.inside(student, "host", "echo nothing >/backup/vm2.dump")
    said = judged()
    assert "restore reads /backup/vm2.dump on host: " in said
    assert "host: OK" not in said


def test_another_host_name_takes_effect_at_the_reboot_and_stays(cli: Cli, lab: dict[str, Any]) -> None:
    """One that is typed as a command, and one that is written into the file; what is in the machines stays."""
    student, domain = lab["student"], lab["domain"]

    def on(machine: str, script: str) -> str:
        return cli.inside(student, machine, script)

    ids = {name: on(name, "cat /etc/machine-id") for name in ("vm2", "vm3")}
    assert "labenv reboot vm3" in on("vm3", f"hostnamectl set-hostname vm7.{domain} 2>&1; hostname")
    assert on("vm3", "hostname; hostnamectl --static") == f"vm3.{domain}\nvm7.{domain}\n"
    on("vm2", "echo vm8 >/etc/hostname")
    cli("reboot", "--all", "-s", student)
    assert on("vm2", "hostname; cat /etc/hostname") == "vm8\nvm8\n"
    assert on("vm3", "hostname; hostname -f; postconf -h myhostname").split()[:2] == [f"vm7.{domain}"] * 2
    assert {name: on(name, "cat /etc/machine-id") for name in ids} == ids
    on("vm3", f"hostnamectl set-hostname vm3.{domain}")
    cli("save", "named", "-s", student)
    cli("restore", "named", "-s", student)
    assert (on("vm2", "hostname"), on("vm3", "hostname")) == ("vm8\n", f"vm3.{domain}\n")
    assert [save["name"] for save in cli.json("saves", "-s", student)["saves"]] == ["named", "before-restore-1"]
    cli("reset", "vm2", "-s", student)
    assert on("vm2", "hostname") == f"vm2.{domain}\n"


def test_bind_comes_with_the_families_files_neither_started_nor_enabled(cli: Cli, lab: dict[str, Any]) -> None:
    def on(script: str, rc: int = 0) -> str:
        return cli.inside(lab["student"], "host", script, rc=rc)

    typed = on("cat /etc/named.conf")
    assert "Complete!" in on("yum -y remove bind 2>&1")
    assert on("cat /etc/named.conf.rpmsave") == typed
    on("systemctl cat named || command -v named || ls /etc/named.conf", rc=2)
    assert "Complete!" in on("yum -y install bind")
    assert on("systemctl is-enabled named; systemctl is-active named; true") == "disabled\ninactive\n"
    assert (
        on("id -un named; stat -c %U:%G:%a /etc/named.conf /var/named/named.ca") == "named\n" + "root:named:640\n" * 2
    )
    assert "listen-on port 53 { 127.0.0.1; };" in on("named-checkconf -z >/dev/null && cat /etc/named.conf")
    on("cat /etc/named.conf.rpmsave >/etc/named.conf; systemctl enable --now named")
    assert on(f"dig +short host.{lab['domain']}") == lab["network"].replace(".0/24", ".1") + "\n"
