"""A machine is a machine: real systemd, least privilege, the course's dialect, nothing reaches the real world."""

import imaplib
import re
import smtplib
import socket
import time
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from labenv.engine import Engine
from tests.e2e.conftest import Cli

MACHINES = ("host", "vm2", "vm3")


def test_systemd_runs_every_machine_without_a_failed_unit(cli: Cli, finished: dict[str, Any]) -> None:
    for machine in MACHINES:
        assert cli.inside(finished["student"], machine, "cat /proc/1/comm; systemctl is-system-running --wait") == (
            "systemd\nrunning\n"
        )


def test_no_machine_has_power_over_its_host(cli: Cli, engine: Engine, finished: dict[str, Any]) -> None:
    for machine in finished["machines"]:
        settings = engine.api.inspect_container(machine["container"])["HostConfig"]
        assert not settings["Privileged"]
        if not engine.facts.rootless:
            assert not any("SYS_ADMIN" in cap for cap in settings["CapAdd"])
        held = cli.inside(
            finished["student"], machine["name"], "awk '/CapEff/{print $2}' /proc/self/status /proc/1/status"
        )
        for mask in held.split():
            assert not int(mask, 16) & 1 << 21, "CAP_SYS_ADMIN"


def test_a_machine_can_write_no_cgroup_but_its_own(cli: Cli, finished: dict[str, Any]) -> None:
    written = cli.inside(
        finished["student"],
        "vm2",
        "mkdir /sys/fs/cgroup/evil 2>/dev/null && echo root; "
        "own=$(sed -n 's/^0:://p' /proc/1/cgroup | cut -d/ -f3); "
        'for d in $(find /sys/fs/cgroup -maxdepth 3 -type d | grep -v "$own"); do '
        "mkdir $d/evil 2>/dev/null && echo $d && rmdir $d/evil; done; true",
    )
    assert written == ""


def test_services_of_different_machines_are_in_different_cgroups(cli: Cli, finished: dict[str, Any]) -> None:
    status = {m: cli.inside(finished["student"], m, "systemctl status postfix") for m in ("vm2", "vm3")}
    for text in status.values():
        assert "active (running)" in text
        assert len(re.findall(r"─ *\d+ \S*/master", text)) == 1, "the processes are listed, and only this machine's"


def test_names_and_addresses_are_the_courses(cli: Cli, finished: dict[str, Any]) -> None:
    domain, student = finished["domain"], finished["student"]
    prefix = finished["network"].removesuffix("0/24")
    for machine, last in zip(MACHINES, (1, 3, 4), strict=True):
        said = cli.inside(student, machine, "hostname; hostname -f; hostname -d; hostname -I")
        assert said.split() == [f"{machine}.{domain}", f"{machine}.{domain}", domain, f"{prefix}{last}"]
        resolver = cli.inside(student, machine, "cat /etc/resolv.conf /etc/hosts")
        assert f"nameserver {'127.0.0.1' if machine == 'host' else f'{prefix}1'}\n" in resolver
        assert "127.0.0.11" not in resolver
        assert "vm" not in resolver.replace(domain, "").split("nameserver")[1]


def test_ss_names_the_process_of_each_listener_and_none_is_the_engines(cli: Cli, finished: dict[str, Any]) -> None:
    serves = {"host": {"named": "53"}, "vm2": {"master": "25"}, "vm3": {"master": "25", "dovecot": "143"}}
    for machine, programs in serves.items():
        said = cli.inside(finished["student"], machine, "ss -Hnltup; echo; netstat -tlnp")
        assert "127.0.0.11" not in said
        sockets, rows = (part.splitlines() for part in said.split("\n\n"))
        assert sockets
        assert all('users:(("' in line for line in sockets), said
        for program, port in programs.items():
            assert [line for line in sockets if f":{port} " in line and f'"{program}",pid=' in line], said
            assert [line for line in rows if f":{port} " in line and line.rstrip().endswith(f"/{program}")], said


def test_the_engines_rules_are_in_no_table_and_come_back_with_no_boot(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check", "--at", "lab4a")
    look = "ss -Hnltu src 127.0.0.11; nft list ruleset 2>/dev/null | grep -ciE 'docker|127.0.0.11'; true"
    keep = "iptables -t nat -A OUTPUT -d 192.0.2.1 -j RETURN; service iptables save; cat /etc/sysconfig/iptables"
    saved = cli.inside(student, "vm3", keep)
    assert "*nat\n" in saved
    assert "*filter\n" in saved
    assert "DOCKER" not in saved
    assert cli.inside(student, "vm3", look).split() == ["0"]
    cli("reboot", "vm3", "-s", student)
    assert cli.inside(student, "vm3", look).split() == ["0"]
    assert "-d 192.0.2.1/32 -j RETURN" in cli.inside(student, "vm3", "iptables -t nat -S"), "a saved rule of any table"
    cli.inside(student, "vm3", "/usr/lib/labenv/boot")
    assert ":INPUT DROP" in cli.inside(student, "vm3", "iptables-save"), "only a boot removes rules"
    stopped = cli.inside(student, "vm3", "service iptables stop; iptables-save | grep -v '^#'")
    assert "-A" not in stopped.replace("DROP", "-A"), "all tables are emptied, as in the EL family"


def test_iptables_lists_names_as_in_the_el_family(cli: Cli, finished: dict[str, Any]) -> None:
    said = cli.inside(finished["student"], "vm3", "iptables -nL INPUT; iptables -L INPUT; iptables -nvL --line-numbers")
    network = finished["network"]
    assert f"ACCEPT     tcp  --  {network:<20} 0.0.0.0/0            tcp dpt:143\n" in said
    assert f"ACCEPT     tcp  --  {network:<20} anywhere             tcp dpt:imap\n" in said
    assert "ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0            state RELATED,ESTABLISHED\n" in said
    assert re.search(rf"^4 +\d+ +\d+ ACCEPT     icmp --  \*      \*       {network}", said, re.MULTILINE)
    odd = (
        "iptables -N ODD; iptables -A ODD ! -p 6 -m comment --comment 'is 17   --  no tcp'; iptables -A ODD -p 89 -j DROP; "
        "iptables -nL ODD; iptables -F ODD; iptables -X ODD; ip6tables -N ODD; ip6tables -A ODD -p 58 -j DROP; "
        "ip6tables -L ODD --numeric; ip6tables -F ODD; ip6tables -X ODD"
    )
    said = cli.inside(finished["student"], "vm2", odd)
    assert "          !tcp  --  0.0.0.0/0            0.0.0.0/0            /* is 17   --  no tcp */\n" in said
    assert "DROP       89   --  0.0.0.0/0            0.0.0.0/0           \n" in said
    assert "DROP       ipv6-icmp --  ::/0                 ::/0                \n" in said
    wrong = cli("exec", "-s", finished["student"], "vm2", "--", "iptables", "-nL", "NOSUCH", rc=None)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("iptables v1.8")
    assert not wrong.stdout


def test_every_machine_has_an_id_of_its_own(cli: Cli, finished: dict[str, Any]) -> None:
    ids = {cli.inside(finished["student"], machine, "cat /etc/machine-id") for machine in MACHINES}
    assert len(ids) == 3
    assert all(len(text.strip()) == 32 for text in ids)


def test_published_ports_answer_on_this_machine(finished: dict[str, Any], engine: Engine) -> None:
    if not engine.is_local:
        pytest.skip("the engine is not on this machine")
    ports = {(m["name"], port): here for m in finished["machines"] for port, here in m["published"].items()}
    for machine in ("vm2", "vm3"):
        with smtplib.SMTP("127.0.0.1", ports[machine, "25"], timeout=20) as smtp:
            assert smtp.noop()[0] == 250
    with imaplib.IMAP4("127.0.0.1", ports["vm3", "143"], timeout=20) as imap:
        assert imap.login(finished["student"], finished["password"])[0] == "OK"
    query = dns.message.make_query(finished["domain"], "MX")
    for ask in (dns.query.udp, dns.query.tcp):
        answer = ask(query, "127.0.0.1", port=ports["host", "53/udp"], timeout=10)
        assert f"vm3.{finished['domain']}" in str(answer)


def test_nothing_reaches_the_real_world(cli: Cli, engine: Engine, finished: dict[str, Any]) -> None:
    if not engine.is_local:
        pytest.skip("the listener of this test would be on another machine than the engine")
    with socket.create_server(("0.0.0.0", 0)) as outside:
        port = outside.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("198.51.100.1", 9))  # sends nothing; finds this machine's own address
            here = probe.getsockname()[0]
        for machine in MACHINES:
            assert "open" not in cli.inside(
                finished["student"],
                machine,
                f"nc -zw2 {here} {port} && echo open; nc -zw2 198.51.100.1 25 && echo open; true",
            )
    for machine in MACHINES:
        status = cli.inside(
            finished["student"], machine, "dig +time=3 +tries=1 example.org MX | grep -o 'status: [A-Z]*'"
        )
        assert status != "status: NOERROR\n"


def test_a_students_edits_survive_reboot_and_power_cut(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check", "--at", "lab4a")
    edits = (
        "echo '10.9.8.7 printer' >> /etc/hosts; echo 'options edns0' >> /etc/resolv.conf; "
        "iptables -A INPUT -p tcp --dport 143 -j ACCEPT; service iptables save; "
        "iptables -A INPUT -p tcp --dport 144 -j ACCEPT; useradd zoe; systemctl disable -q postfix"
    )
    cli("exec", "-s", student, "vm3", "--", "bash", "-c", edits)
    state = (
        "grep -c printer /etc/hosts; grep -c edns0 /etc/resolv.conf; iptables -S INPUT | grep -c 'dport 14'; id -un zoe"
    )
    cli("exec", "-s", student, "vm3", "--", "systemctl", "start", "postfix")
    assert "nothing answers on its port 25" in cli("reboot", "vm3", "-s", student).stderr, "it was not enabled"
    cli.inside(student, "vm3", "systemctl enable -q --now postfix")
    cli("reboot", "vm3", "-s", student)
    assert cli.inside(student, "vm3", state).split() == ["1", "1", "1", "zoe"]
    engine.api.kill(f"labenv-{student}-vm3")
    assert cli.json("up", student, "--no-check")["changes"] == ["started vm3"]
    assert cli.inside(student, "vm3", state).split() == ["1", "1", "1", "zoe"]


def test_the_baseline_is_the_end_of_lab_4a(cli: Cli, student: str) -> None:
    domain = cli.json("up", student, "--at", "lab4a")["domain"]
    for machine, other in (("vm2", "vm3"), ("vm3", "vm2")):
        settings = "postconf -xh myorigin mydomain relayhost mailbox_command home_mailbox mydestination"
        expected = [f"{machine}.{domain}", domain, "", "", "", f"{machine}.{domain}, localhost.{domain}, localhost"]
        assert cli.inside(student, machine, settings).splitlines() == expected
        assert cli.inside(student, machine, "command -v dovecot doveadm; true") == ""
        assert f"root@{other}.{domain}" in cli.inside(student, machine, "cat /var/spool/mail/root")
        assert ":INPUT DROP" in cli.inside(student, machine, "iptables-save -t filter")
        assert cli.inside(student, machine, "cat /etc/sysconfig/iptables | grep -v '^#'") == cli.inside(
            student, machine, "iptables-save -t filter | sed 's/\\[[0-9:]*\\]/[0:0]/' | grep -v '^#'"
        )
    assert cli.inside(student, "vm2", "postconf -h mynetworks_style") == "subnet\n"
    assert cli.inside(student, "host", f"dig +short MX {domain}") == ""
    users = [
        cli.inside(student, machine, "awk -F: '$3>=1000 && $3<60000{print $1}' /etc/passwd") for machine in MACHINES
    ]
    assert users == [f"{student}\n"] * 3


def test_the_sheets_package_installs_without_a_network(cli: Cli, student: str) -> None:
    cli("up", student, "--no-check", "--at", "relay")
    cli("exec", "-s", student, "vm3", "--", "yum", "-y", "install", "dovecot")
    assert cli.inside(student, "vm3", "systemctl is-enabled dovecot; systemctl is-active dovecot; true").split() == [
        "disabled",
        "inactive",
    ]
    said = cli.inside(student, "vm3", "test -x /usr/libexec/dovecot/dovecot-lda && doveconf -h ssl mail_location")
    assert said.split("\n")[:2] == ["required", ""]


@pytest.mark.parametrize(
    "left",
    [
        "",
        "echo carol:x:1700: >>/etc/group",
        "useradd -m -u 1700 carol; chown -R root: /home/carol; sed -i /^carol:/d /etc/passwd",
        "useradd -m -u 1700 carol; rm -r /home/carol; sed -i /^carol:/d /etc/passwd",
    ],
    ids=["nothing", "its group", "all but its owner", "all but its home"],
)
def test_an_account_of_which_a_power_cut_left_a_part_is_made_whole(
    cli: Cli, finished: dict[str, Any], left: str
) -> None:
    script = f"""
        {left}
        echo carol:secret:1700:1700:carol:/home/carol:/bin/bash >/etc/labenv/accounts; /usr/lib/labenv/boot
        stat -c '%U %a' /home/carol /home/carol/.bashrc
        getent passwd carol
        grep -c '^carol:' /etc/shadow /etc/group
        userdel -r carol 2>/dev/null || true
    """
    assert cli.inside(finished["student"], "vm2", script).splitlines() == [
        "carol 700",
        "carol 644",
        "carol:x:1700:1700:carol:/home/carol:/bin/bash",
        "/etc/shadow:1",
        "/etc/group:1",
    ]


def test_a_link_to_nowhere_among_the_network_files_is_passed_over(cli: Cli, finished: dict[str, Any]) -> None:
    script = """
        ln -s /nowhere /etc/sysconfig/network-scripts/ifcfg-old
        ip route del default
        /usr/lib/labenv/boot; echo $?
        rm /etc/sysconfig/network-scripts/ifcfg-old
        ip -o route show default | wc -l
    """
    assert cli.inside(finished["student"], "vm2", script).split() == ["0", "1"]


def test_a_reboot_waits_for_nobody_who_came_in_from_outside(cli: Cli, engine: Engine, student: str) -> None:
    cli("up", student, "--no-check", "--at", "lab4a")
    deaf = engine.api.exec_create(f"labenv-{student}-vm2", ["sh", "-c", "trap '' HUP TERM; exec sleep 300"])
    engine.api.exec_start(deaf, detach=True)
    before = time.monotonic()
    cli("reboot", "vm2", "-s", student)
    assert time.monotonic() - before < 8, "systemd alone would wait for ten"
