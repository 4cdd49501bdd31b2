"""Every file of Lab 4b, rendered for every stage, machine and a few difficult students."""

import datetime
import email
import email.utils
import ipaddress
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

import labenv.student
from labenv import resources
from labenv.checks.doors import OUTSIDE, latecomer, neighbour

LAB = Path(__file__).parents[2] / "labenv" / "labs" / "lab4b"
SHARED = resources.topologies()
DATA: dict[str, Any] = yaml.safe_load((LAB / "lab.yaml").read_text())
WORLD: dict[str, Any] = yaml.safe_load((SHARED / "outside.yaml").read_text())["services"]["outside"]
DATA["files"]["outside"] += WORLD["x-labenv"]["files"]
STAGES = [stage["id"] for stage in DATA["stages"]]
MACHINES = {"host": 1, "vm2": 3, "vm3": 4}

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader([LAB / "templates", SHARED / "templates"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True)
class Student:
    id: str
    x: int
    first: str
    password: str = "abcd2345"

    @property
    def domain(self) -> str:
        return f"{self.id}.ops"

    @property
    def network(self) -> str:
        return f"192.168.{self.x}"

    @property
    def prefix(self) -> str:
        return self.network

    @property
    def wan(self) -> str:
        return f"198.18.{self.x}"


@dataclass(frozen=True)
class Machine:
    name: str
    fqdn: str
    address: str
    addresses: tuple[str, ...] = ()


STUDENTS = [
    Student("asmith15", 90, "anna"),
    Student("bob", 0, "robert"),
    Student("mary-jane7", 255, "mj"),
    Student("a23456789012345678901234567890-b", 7, "abcdefghijklmnopqrstuvwxyzabcdef"),
]
ONE = STUDENTS[0]
each_student = pytest.mark.parametrize("student", STUDENTS, ids=lambda s: s.id)
each_stage = pytest.mark.parametrize("stage", STAGES)


def since(stage: str) -> list[str]:
    return STAGES[STAGES.index(stage) :]


def render(machine: str, stage: str, student: Student = ONE) -> dict[str, str]:
    """The overlay of a machine: path to content, a link as "-> target"."""
    machines = [Machine(n, f"{n}.{student.domain}", f"{student.network}.{a}") for n, a in MACHINES.items()]
    outside = Machine("outside", "outside.test", f"{student.wan}.2", ("208.67.222.222", "198.51.100.53"))
    context = {
        "student": student,
        "members": (student,),
        "network": student.network,
        "machine": next(m for m in [*machines, outside] if m.name == machine),
        "machines": machines,
        "reached": lambda wanted: stage in since(wanted),
    }
    overlay: dict[str, str] = {}
    for entry in DATA["files"][machine]:
        if stage not in since(entry.get("since", STAGES[0])) or ("until" in entry and stage in since(entry["until"])):
            continue
        path = TEMPLATES.from_string(entry["path"]).render(context)
        assert path not in overlay
        overlay[path] = (
            f"-> {entry['link']}" if "link" in entry else TEMPLATES.get_template(entry["template"]).render(context)
        )
    return overlay


def settings(text: str) -> list[tuple[str, str]]:
    """The lines `name = value` in force, without comments."""
    return re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*(.*)$", text, re.MULTILINE)


@each_student
@each_stage
@pytest.mark.parametrize("machine", [*MACHINES, "outside"])
def test_every_file_renders_completely(machine: str, stage: str, student: Student) -> None:
    for path, text in render(machine, stage, student).items():
        assert not re.search(r"\{\{|\}\}|\{%|%\}|\{#|#\}", path + text), path
        assert not re.search(r"yourdomain|youruser|192\.168\.X|\bNone\b|Undefined", path + text), path
        assert path.startswith("/")
        if not text.startswith("-> "):
            assert text.endswith("\n")
        if student is not ONE:
            assert ONE.id not in path + text
            assert f"{ONE.network}." not in text


@each_student
@each_stage
@pytest.mark.parametrize("machine", ["vm2", "vm3"])
def test_main_cf_sets_each_parameter_once(machine: str, stage: str, student: Student) -> None:
    text = render(machine, stage, student)["/etc/postfix/main.cf"]
    names = Counter(name for name, _ in settings(text))
    assert [name for name, count in names.items() if count > 1] == []
    assert not re.search(r"^[ \t]+\S", text, re.MULTILINE), "a line that continues the one above it"
    assert len(text.splitlines()) > 150


@each_student
@each_stage
def test_main_cf_follows_the_sheet(stage: str, student: Student) -> None:
    vm2 = dict(settings(render("vm2", stage, student)["/etc/postfix/main.cf"]))
    vm3 = dict(settings(render("vm3", stage, student)["/etc/postfix/main.cf"]))
    own = "$myhostname, localhost.$mydomain, localhost"
    lda = '/usr/libexec/dovecot/dovecot-lda -f "$SENDER" -a "$RECIPIENT"'
    at_domain, at_relay, at_lda = (stage in since(name) for name in ("domain", "relay", "lda"))
    for main in (vm2, vm3):
        assert main["mydomain"] == student.domain
        assert main["inet_interfaces"] == "all"
        assert main["myorigin"] == ("$mydomain" if at_domain else "$myhostname")
        assert not {"myhostname", "home_mailbox"} & main.keys()
    assert vm2["mydestination"] == own
    assert vm3["mydestination"] == (f"$mydomain, {own}" if at_domain else own)
    assert vm2["mynetworks_style"] == "subnet"
    assert "mynetworks_style" not in vm3
    assert "mynetworks" not in vm2
    assert vm3.get("mynetworks") == (f"{student.network}.0/24, 127.0.0.0/8" if at_relay else None)
    assert vm2.get("relayhost") == (f"vm3.{student.domain}" if at_relay else None)
    assert "relayhost" not in vm3
    assert vm3.get("mailbox_command") == (lda if at_lda else None)
    assert "mailbox_command" not in vm2


@each_stage
def test_dovecot_is_as_shipped_until_the_sheet_changes_it(stage: str) -> None:
    overlay = render("vm3", stage)
    installed = stage in since("lda")
    folder = "/etc/dovecot" if installed else "/usr/share/dovecot"
    names = ("dovecot.conf", "conf.d/10-mail.conf", "conf.d/10-auth.conf", "conf.d/10-ssl.conf")
    assert {path for path in overlay if "/dovecot/" in path} == {f"{folder}/{name}" for name in names}
    main, mail, auth, ssl = (settings(overlay[f"{folder}/{name}"]) for name in names)
    at_imap = stage in since("imap")
    assert [v for k, v in main if k == "protocols"] == (["imap"] if at_imap else [])
    assert [v for k, v in mail if k == "mail_location"] == (["maildir:~/Maildir"] if installed else [])
    assert [v for k, v in auth if k == "disable_plaintext_auth"] == (["no"] if at_imap else [])
    assert [v for k, v in ssl if k == "ssl"] == (["yes"] if at_imap else ["required"])
    assert ("/etc/systemd/system/multi-user.target.wants/dovecot.service" in overlay) == at_imap
    # A student scrolls to a comment that shows the setting before it exists.
    assert "#protocols = imap pop3 lmtp" in overlay[f"{folder}/dovecot.conf"]
    if not at_imap:
        assert "\n#disable_plaintext_auth = yes\n" in overlay[f"{folder}/conf.d/10-auth.conf"]
    if not installed:
        assert "\n#mail_location =\n" in overlay[f"{folder}/conf.d/10-mail.conf"]


@each_student
@each_stage
def test_zones(stage: str, student: Student) -> None:
    overlay = render("host", stage, student)
    forward = overlay[f"/var/named/mydb-for-{student.id}-ops"]
    reverse = overlay[f"/var/named/mydb-for-{student.network}"]
    at_domain = stage in since("domain")
    mx = [line.split() for line in forward.splitlines() if re.search(r"\bMX\b", line)]
    assert mx == ([["@", "IN", "MX", "10", f"vm3.{student.domain}."]] if at_domain else [])
    assert ("2018042902" in forward) == at_domain
    for name, last in {"host": 1, "vm1": 2, "vm2": 3, "vm3": 4}.items():
        assert re.search(rf"^{name}\s+IN\s+A\s+{re.escape(student.network)}\.{last}$", forward, re.MULTILINE)
        assert re.search(rf"^{last}\s+IN\s+PTR\s+{name}\.{re.escape(student.domain)}\.$", reverse, re.MULTILINE)
    named = overlay["/etc/named.conf"]
    for zone, file in re.findall(r'zone "([^"]+)" \{\s+type master;\s+file "([^"]+)";\s+\};', named):
        assert zone in {"localhost", student.domain, f"{student.x}.168.192.in-addr.arpa."}
        assert f"/var/named/{file}" in overlay
    assert named.count('zone "') == 3
    assert "forwarders { 208.67.222.222; };" in named
    assert f"allow-query {{ 127.0.0.1; {student.network}.0/24; }};" in named


@each_stage
@pytest.mark.parametrize("machine", MACHINES)
def test_firewall(machine: str, stage: str) -> None:
    text = render(machine, stage, Student("bob", 5, "robert"))["/etc/sysconfig/iptables"]
    rules = [line for line in text.splitlines() if line.startswith("-A ")]
    assert ":INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n" in text
    assert not [rule for rule in rules if re.fullmatch(r"-A INPUT -j \w+", rule)], "a rule for everything"
    imap = "-A INPUT -s 192.168.5.0/24 -p tcp -m tcp --dport 143 -j ACCEPT"
    assert [rule for rule in rules if "143" in rule] == ([imap] if machine == "vm3" and stage in since("imap") else [])
    assert any("--dport 25 " in rule for rule in rules) == (machine != "host")
    assert sum("--dport 53 " in rule for rule in rules) == (2 if machine == "host" else 0)


@each_student
@each_stage
def test_accounts(stage: str, student: Student) -> None:
    for machine in MACHINES:
        lines = render(machine, stage, student)["/etc/labenv/accounts"].splitlines()
        accounts = {line.split(":")[0]: line.split(":") for line in lines}
        assert all(len(fields) == 7 for fields in accounts.values())
        assert accounts[student.id][1:4] == [student.password, "1000", "1000"]
        both = machine == "vm3" and stage == "done"
        assert set(accounts) == {"root", student.id} | ({student.first} if both else set())
        assert accounts["root"][1:4] == [student.password, "0", "0"]


@each_student
def test_the_network_files(student: Student) -> None:
    for machine, last in MACHINES.items():
        overlay = render(machine, "lab4a", student)
        assert not re.search(r"\bvm\d|\bhost\b|\.ops", overlay["/etc/labenv/hosts"]), "names belong into the DNS"
        server = "127.0.0.1" if machine == "host" else f"{student.network}.1"
        assert f"search {student.domain}\nnameserver {server}\n" in overlay["/etc/labenv/resolv.conf"]
        eth0 = dict(settings(overlay["/etc/sysconfig/network-scripts/ifcfg-eth0"]))
        assert eth0["IPADDR"] == f"{student.network}.{last}"
        assert eth0.get("GATEWAY") == (None if machine == "host" else f"{student.network}.1")
        lo = {path for path in overlay if path.startswith("/etc/sysconfig/network-scripts/ifcfg-lo")}
        assert bool(lo) == (machine == "host")


@each_student
def test_host_has_the_addresses_from_which_the_checks_connect(student: Student) -> None:
    overlay = render("host", "lab4a", student)
    files = {path.rpartition(":")[2]: text for path, text in overlay.items() if "ifcfg-lo:" in path}
    addresses = {name: dict(settings(text))["IPADDR"] for name, text in files.items()}
    real = labenv.student.Student(student.id, student.x, student.first, student.password)
    assert addresses == {"outside": OUTSIDE, "neighbour": neighbour(real), "latecomer": latecomer(real)}
    near = ipaddress.ip_address(addresses["neighbour"])
    assert near not in real.network
    assert near in real.network.supernet(new_prefix=23)
    assert ipaddress.ip_address(addresses["latecomer"]) in real.network


@each_student
@pytest.mark.parametrize(("machine", "sender"), [("vm2", "vm3"), ("vm3", "vm2")])
def test_root_has_a_message_from_the_other_machine(machine: str, sender: str, student: Student) -> None:
    rendered = render(machine, "lab4a", student)
    assert "/var/spool/mail/root" in rendered["/etc/labenv/letters"].split(), "its dates are put in at the first boot"
    text = datetime.datetime(2026, 3, 7, tzinfo=datetime.UTC).strftime(rendered["/var/spool/mail/root"])
    envelope, _, rest = text.partition("\n")
    message = email.message_from_string(rest)
    address = f"root@{sender}.{student.domain}"
    assert re.fullmatch(rf"From {re.escape(address)}  \w{{3}} \w{{3}} [ \d]\d \d\d:\d\d:\d\d \d{{4}}", envelope)
    assert email.utils.parseaddr(message["From"])[1] == address
    assert message["To"] == message["Delivered-To"] == f"root@{machine}.{student.domain}"
    assert f"[{student.network}.{MACHINES[sender]}]" in message["Received"]
    sent = email.utils.parsedate_to_datetime(message["Date"])
    assert sent.strftime("%a") == message["Date"][:3]
    assert envelope.endswith(sent.strftime("%a %b %e %H:%M:%S %Y"))
    assert text.endswith("\n\n"), "the next message needs an empty line before it"


def test_the_list_of_files_and_the_templates_agree() -> None:
    entries = [entry for machine in DATA["files"].values() for entry in machine]
    assert {e["template"] for e in entries if "template" in e} == {
        path.relative_to(folder / "templates").as_posix()
        for folder in (LAB, SHARED)
        for path in (folder / "templates").rglob("*.j2")
    }
    modes = {entry["path"]: entry.get("mode", "0644") for entry in entries}
    assert {path for path, mode in modes.items() if mode == "0600"} == {
        "/etc/labenv/accounts",
        "/etc/sysconfig/iptables",
        "/var/spool/mail/root",
        "/home/{{ student.id }}/Maildir/.Trash/maildirfolder",
        "/home/{{ student.id }}/Maildir/subscriptions",
    }
    assert set(modes.values()) == {"0600", "0644"}


def test_the_stages_are_the_designs() -> None:
    assert STAGES == ["lab4a", "domain", "relay", "lda", "imap", "done"]


@each_student
def test_the_world_outside_knows_the_student_by_name_and_address(student: Student) -> None:
    overlay = render("outside", "lab4a", student)
    assert f"{student.id}        IN      NS      host.{student.id}\n" in overlay["/var/named/ops"]
    assert f"host.{student.id}   IN      A       {student.network}.1\n" in overlay["/var/named/ops"]
    assert f"{student.id}@myseneca.ca:{{PLAIN}}{student.password}:" in overlay["/etc/dovecot/users"]
    mailbox = f"/var/mail/myseneca.ca/{student.id}/new/"
    messages = [email.message_from_string(text) for path, text in overlay.items() if path.startswith(mailbox)]
    assert len(messages) == 3
    for message in messages:
        assert message["To"] == f"{student.id}@myseneca.ca"
        sent = email.utils.parsedate_to_datetime(message["Date"])
        assert sent.strftime("%a") == message["Date"][:3]
    assert len({message["Message-ID"] for message in messages}) == 3


def test_every_address_or_domain_with_manners_has_a_mailbox_and_every_manner_is_a_restriction_class() -> None:
    overlay = render("outside", "done")
    known = {line.split()[0] for line in overlay["/etc/postfix/mailboxes"].splitlines() if line and line[0] != "#"}
    manners = dict(
        line.split() for line in overlay["/etc/postfix/manners"].splitlines() if line and not line.startswith("#")
    )
    main = dict(settings(overlay["/etc/postfix/main.cf"]))
    assert manners.keys() <= known | {address.partition("@")[2] for address in known}
    assert set(manners.values()) == set(main["smtpd_restriction_classes"].split(", ")) <= main.keys()


@each_student
def test_host_leads_to_the_world_outside(student: Student) -> None:
    uplink = dict(re.findall(r"^(\w+)=(.*)$", render("host", "lab4a", student)["/etc/sysconfig/uplink"], re.MULTILINE))
    assert uplink == {
        "NETWORK": f"{student.network}.0/24",
        "GATEWAY": f"{student.wan}.2",
        "MAIL": f"{student.network}.4",
        "ASKS": f"{student.network}.254",
    }
