"""Lab 6: what the files of a submission contradict, and what right ways of doing it do not."""

from collections.abc import Mapping

import pytest

from labenv.classroom.handins.archive import Archive
from labenv.classroom.handins.claims import Files
from labenv.lab import labs, overlay, topology
from labenv.labs.lab6.claims import contradictions
from labenv.student import Student

_STUDENT = Student("bob", 7, "bob", "secret78")
_LAB = labs.load("lab6")
_HTTPD = "config/vm1/etc/httpd/conf/httpd.conf"
_WEBMAIL = "config/vm1/var/www/html/webmail/config/config.inc.php"


def finished() -> dict[str, str]:
    """The files of a submission of all that the lab asks for, with its evidence."""
    there = topology.of(_LAB, _STUDENT)
    found = {
        f"config/{node.name}{item.path}": item.content.decode()
        for node in there.nodes
        if node.name in ("host", "vm1")
        for item in overlay.overlay(_LAB, there, node, _STUDENT, _LAB.last_stage)
        if not item.link
    }
    found["evidence/host.txt"] = f"## Host name\nhost.{_STUDENT.domain}\n"
    found["evidence/vm1.txt"] = f"## Host name\nvm1.{_STUDENT.domain}\n\n{found[_WEBMAIL]}"
    return found


def said(members: Mapping[str, str]) -> list[str]:
    archive = Archive({name: text.encode() for name, text in members.items()}, {}, (), {})
    files = Files(archive, _STUDENT.domain, _STUDENT.network)
    return list(contradictions(files, set(_LAB.steps)))


def test_the_files_of_a_finished_lab_contradict_nothing() -> None:
    assert said(finished()) == []


@pytest.mark.parametrize(
    ("member", "old", "new", "step"),
    [
        ("config/vm1/etc/sysconfig/iptables", "--dport 80", "--dport 8080", "5"),
        ("config/vm1/var/www/html/index.html", "vm1.bob.ops", "vm1.youruserid.ops", "8"),
        (_HTTPD, '<Directory "/var/www/html/private">', '<Directory "/var/www/html/secret">', "22"),
        (_HTTPD, '<Directory "/var/www/html/private">', '#<Directory "/var/www/html/private">', "30"),
        (
            "config/host/etc/sysconfig/iptables",
            "*filter",
            "*nat\n-A PREROUTING -p tcp --dport 80 -j DNAT\n*filter",
            "23",
        ),
        ("config/vm1/var/www/html/private/index.php", "mysqli", "system", "33"),
        (_WEBMAIL, "smtp_host", "smtp_hots", "43"),
        (_WEBMAIL, "db_dsnw", "db_dsn", "44"),
        (_WEBMAIL, "smtp_pass", "smtp_pas", "48"),
    ],
)
def test_claims_that_the_files_contradict(member: str, old: str, new: str, step: str) -> None:
    members = finished()
    assert old in members[member]
    changed = members | {member: members[member].replace(old, new)}
    changed["evidence/vm1.txt"] = f"\nvm1.{_STUDENT.domain}\n{changed[_WEBMAIL]}"
    assert any(f"step {step} passes" in note for note in said(changed))


@pytest.mark.parametrize(
    ("member", "old", "new"),
    [
        ("config/vm1/etc/sysconfig/iptables", "-p tcp -m tcp --dport 80", "-s 192.168.7.0/24 -p tcp --dport 80:443"),
        (_HTTPD, '"/var/www/html/private"', "/var/www/html/private/"),
        (_HTTPD, 'DocumentRoot "/var/www/html"', "DocumentRoot /srv/pages"),
        ("config/vm1/var/www/html/private/index.php", 'new mysqli("localhost"', 'new PDO("mysql:host=localhost"'),
        (_WEBMAIL, "imap_host", "default_host"),
        (_WEBMAIL, "smtp_host", "smtp_server"),
    ],
)
def test_right_variants_contradict_nothing(member: str, old: str, new: str) -> None:
    members = finished()
    assert old in members[member]
    changed = members | {member: members[member].replace(old, new)}
    changed["evidence/vm1.txt"] = f"\nvm1.{_STUDENT.domain}\n{changed[_WEBMAIL]}"
    assert said(changed) == []


def test_a_section_in_a_file_of_the_folder_or_of_conf_d_counts() -> None:
    members = finished()
    bare = members[_HTTPD].replace("/var/www/html/private", "/var/www/html/other")
    section = {"config/vm1/etc/httpd/conf.d/pages.conf": '<Directory "/var/www/html/private">\n</Directory>\n'}
    assert said(members | {_HTTPD: bare} | section) == []
    assert said(members | {_HTTPD: bare.replace("AllowOverride None", "AllowOverride AuthConfig")}) == []


def test_evidence_that_does_not_quote_the_settings() -> None:
    members = finished()
    members["evidence/vm1.txt"] = members["evidence/vm1.txt"].replace("vm2.bob.ops:25", "vm2.bob.ops:587")
    assert said(members) == [
        "evidence of vm1 does not contain the line '$config['smtp_host'] = 'vm2.bob.ops:25';' of its config.inc.php"
    ]
