"""The sheet of Lab 3."""

import re

from tests.e2e.sheets.sitting import Sitting
from tests.e2e.terminal import Terminal

FROM = "lab2b"

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


def typed(at: Sitting) -> None:
    """Type it."""
    _server(at)
    _firewall(at)
    _clients(at)
    at.cli("reboot", "--all", "-s", at.student)  # the names take effect
    at.sit_down()
    _testing(at)
    _reverse(at)


def _all(at: Sitting) -> tuple[Terminal, ...]:
    return at.vm1, at.vm2, at.vm3


def _filled(at: Sitting, text: str) -> str:
    """A text of the sheet with the student's own values."""
    x = at.network.split(".")[2]
    return text.format(student=at.student, domain=at.domain, network=at.network, x=x)


def _server(at: Sitting) -> None:
    assert "Complete!" in at.host.type("yum install bind", (r"\[y/d/N\]: ", "y\r"))
    assert "127.0.0.1" in at.host.type("cat /etc/named.conf")
    at.host.type("cp /etc/named.conf /etc/named.conf.bak")
    at.host.paste("/etc/named.conf", _filled(at, NAMED_CONF))
    zone = f"/var/named/mydb-for-{at.student}-ops"
    at.host.paste(zone, _filled(at, ZONE) + f"host    IN      A       {at.network}.1\n")
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
    vm2 = at.vm2
    assert "timed out" in vm2.type(f"host -W 1 vm1.{at.domain}")
    at.host.type("iptables -A INPUT -p udp --dport 53 -j ACCEPT")
    at.host.type("iptables -A INPUT -p tcp --dport 53 -j ACCEPT")
    assert "OK" in at.host.type("service iptables save")
    assert f"{at.network}.2" in vm2.type(f"host vm1.{at.domain}")


def _clients(at: Sitting) -> None:
    for machine in _all(at):
        assert "already installed" in machine.type("yum install bind-utils")
    for machine in (at.host, *_all(at)):
        said = machine.type(f"hostnamectl set-hostname {machine.machine}.{at.domain}")
        assert f"labenv reboot {machine.machine}" in said


def _testing(at: Sitting) -> None:
    for machine in (at.host, *_all(at)):
        assert f"{machine.machine}.{at.domain}" in machine.type("hostname")
        for number, name in enumerate(("host", "vm1", "vm2", "vm3"), 1):
            assert f"{name}.{at.domain} has address {at.network}.{number}" in machine.type(f"host {name}.{at.domain}")
    assert "3(NXDOMAIN)" in at.vm1.type("host vm2") or "2(SERVFAIL)" in at.vm1.type("host vm2")
    at.host.vi("/etc/sysconfig/network-scripts/ifcfg-eth0", "DNS1", f"oSEARCH={at.domain}")
    at.host.type("systemctl restart network")
    for machine in _all(at):
        machine.vi("/etc/sysconfig/network-scripts/ifcfg-eth0", "DNS1", f"oDOMAIN={at.domain}")
        machine.type("nmcli connection reload; nmcli connection up eth0")
        machine.type("systemctl restart network")
    for machine in (at.host, *_all(at)):
        for name in ("host", "vm1", "vm2", "vm3"):
            assert f"{name}.{at.domain} has address" in machine.type(f"host {name}")
    assert "already installed" in at.vm1.type("yum install lynx")
    assert f"host.{at.domain}." in at.vm1.type(f"dig NS {at.domain}")


def _reverse(at: Sitting) -> None:
    assert "3(NXDOMAIN)" in at.vm2.type(f"host {at.network}.1")
    at.host.paste("/etc/named.conf", _filled(at, REVERSE), ">>")
    names = enumerate(("host", "vm1", "vm2", "vm3"), 1)
    records = "".join(f"{number}       IN      PTR     {name}.{at.domain}.\n" for number, name in names)
    at.host.paste(f"/var/named/mydb-for-{at.network}", _filled(at, ZONE) + records)
    at.host.type("systemctl restart named")
    for number, name in enumerate(("host", "vm1", "vm2", "vm3"), 1):
        said = at.vm3.type(f"host {at.network}.{number}")
        assert re.search(rf"domain name pointer {name}\.{re.escape(at.domain)}\.", said)
