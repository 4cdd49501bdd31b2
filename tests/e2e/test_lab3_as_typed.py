"""The sheet of Lab 3 typed word by word by a person at a terminal; then all checks."""

import re
from dataclasses import dataclass

from tests.e2e.conftest import Cli
from tests.e2e.terminal import Open, Terminal

# As the sheet has them: with "ops.(" without a blank, and ");".
NAMED_CONF = """\
options {{
        directory "/var/named/";
        allow-query {{127.0.0.1; {network}.0/24;}};
        forwarders {{ 208.67.222.222; }}; # This one works at home
        #forwarders {{ 10.102.100.21; }}; # This one works at Seneca
}};
zone "localhost" {{
        type master;
        file "named.localhost";
}};
zone "{domain}" {{
        type master;
        file "mydb-for-{student}-ops";
}};
"""
REVERSE = """\
zone "{x}.168.192.in-addr.arpa." {{
        type master;
        file "mydb-for-{network}";
}};
"""
ZONE = """\
$TTL    3D
@       IN      SOA     host.{domain}.      hostmaster.{domain}.(
                2018042901       ; Serial
                8H      ; Refresh
                2H      ; Retry
                1W      ; Expire
                1D      ; Negative Cache TTL
);
@       IN      NS      host.{domain}.
"""


@dataclass(frozen=True)
class Sitting:
    """A student, with a terminal for each machine."""

    student: str
    domain: str
    network: str
    host: Terminal
    clients: tuple[Terminal, ...]

    def filled(self, text: str) -> str:
        """A text of the sheet with the student's own values."""
        x = self.network.split(".")[2]
        return text.format(student=self.student, domain=self.domain, network=self.network, x=x)


def test_lab_3_typed_word_by_word_passes_every_check(cli: Cli, student: str, terminal: Open) -> None:
    made = cli.json("up", student, "--lab", "lab3", "--at", "lab2b", "--no-check")
    network = made["network"].removesuffix(".0/24")
    host, *clients = (terminal(student, name) for name in ("host", "vm1", "vm2", "vm3"))
    at = Sitting(student, made["domain"], network, host, tuple(clients))
    _server(at)
    _firewall(at)
    _clients(at)
    cli("reboot", "--all", "-s", student)  # the names take effect
    at = Sitting(
        student, at.domain, network, terminal(student, "host"), tuple(terminal(student, f"vm{n}") for n in (1, 2, 3))
    )
    _testing(at)
    _reverse(at)
    assert "not from the image" not in cli("check", "-s", student, rc=None).stdout
    results = cli.json("check", "-s", student, rc=None)["results"]
    assert [result for result in results if result["status"] not in ("pass", "skip")] == []
    assert len({result["step"] for result in results if result["status"] == "pass"}) >= 25


def _server(at: Sitting) -> None:
    assert "Complete!" in at.host.type("yum install bind", (r"\[y/d/N\]: ", "y\r"))
    assert "127.0.0.1" in at.host.type("cat /etc/named.conf")
    at.host.type("cp /etc/named.conf /etc/named.conf.bak")
    at.host.paste("/etc/named.conf", at.filled(NAMED_CONF))
    zone = f"/var/named/mydb-for-{at.student}-ops"
    at.host.paste(zone, at.filled(ZONE) + f"host    IN      A       {at.network}.1\n")
    at.host.type("systemctl start named")
    assert "/usr/sbin/named" in at.host.type("ps ax | grep named")
    assert "active (running)" in at.host.type("systemctl status named")
    assert f"zone {at.domain}/IN: loaded serial 2018042901" in at.host.type("grep loaded /var/log/messages")
    assert "Created symlink" in at.host.type("systemctl enable named")
    at.host.vi("/etc/sysconfig/network-scripts/ifcfg-eth0", "PREFIX", "oDNS1=127.0.0.1")
    at.host.type("ifdown eth0; ifup eth0")
    assert "nameserver 127.0.0.1" in at.host.type("cat /etc/resolv.conf")
    more = "".join(f"vm{number}     IN      A       {at.network}.{number + 1}\n" for number in (1, 2, 3))
    at.host.paste(zone, more, ">>")
    at.host.type("systemctl restart named")


def _firewall(at: Sitting) -> None:
    vm2 = at.clients[1]
    assert "timed out" in vm2.type(f"host -W 1 vm1.{at.domain}")
    at.host.type("iptables -A INPUT -p udp --dport 53 -j ACCEPT")
    at.host.type("iptables -A INPUT -p tcp --dport 53 -j ACCEPT")
    assert "OK" in at.host.type("service iptables save")
    assert f"{at.network}.2" in vm2.type(f"host vm1.{at.domain}")


def _clients(at: Sitting) -> None:
    for machine in at.clients:
        assert "already installed" in machine.type("yum install bind-utils")
    for machine in (at.host, *at.clients):
        said = machine.type(f"hostnamectl set-hostname {machine.machine}.{at.domain}")
        assert f"labenv reboot {machine.machine}" in said


def _testing(at: Sitting) -> None:
    for machine in (at.host, *at.clients):
        assert f"{machine.machine}.{at.domain}" in machine.type("hostname")
        for number, name in enumerate(("host", "vm1", "vm2", "vm3"), 1):
            assert f"{name}.{at.domain} has address {at.network}.{number}" in machine.type(f"host {name}.{at.domain}")
    assert "3(NXDOMAIN)" in at.clients[0].type("host vm2") or "2(SERVFAIL)" in at.clients[0].type("host vm2")
    at.host.vi("/etc/sysconfig/network-scripts/ifcfg-eth0", "DNS1", f"oSEARCH={at.domain}")
    at.host.type("systemctl restart network")
    for machine in at.clients:
        machine.vi("/etc/sysconfig/network-scripts/ifcfg-eth0", "DNS1", f"oDOMAIN={at.domain}")
        machine.type("nmcli connection reload; nmcli connection up eth0")
        machine.type("systemctl restart network")
    for machine in (at.host, *at.clients):
        for name in ("host", "vm1", "vm2", "vm3"):
            assert f"{name}.{at.domain} has address" in machine.type(f"host {name}")
    assert "already installed" in at.clients[0].type("yum install lynx")
    assert f"host.{at.domain}." in at.clients[0].type(f"dig NS {at.domain}")


def _reverse(at: Sitting) -> None:
    assert "3(NXDOMAIN)" in at.clients[1].type(f"host {at.network}.1")
    at.host.paste("/etc/named.conf", at.filled(REVERSE), ">>")
    names = enumerate(("host", "vm1", "vm2", "vm3"), 1)
    records = "".join(f"{number}       IN      PTR     {name}.{at.domain}.\n" for number, name in names)
    at.host.paste(f"/var/named/mydb-for-{at.network}", at.filled(ZONE) + records)
    at.host.type("systemctl restart named")
    for number, name in enumerate(("host", "vm1", "vm2", "vm3"), 1):
        said = at.clients[2].type(f"host {at.network}.{number}")
        assert re.search(rf"domain name pointer {name}\.{re.escape(at.domain)}\.", said)
