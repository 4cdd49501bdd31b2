"""Lab 6: what its checks read out of vm1's answers, and its files."""

import pytest

from labenv import resources
from labenv.engine.image_sources import wanted
from labenv.lab import labs, overlay, topology
from labenv.labs.lab6.checks import state
from labenv.student import Student
from labenv.www.roundcube import said

_STUDENT = Student("bob", 7, "bob", "secret78")
_ANSWER = """\
=== programs
/usr/sbin/httpd
/usr/bin/mysql
=== syntax
Syntax OK
=== libraries
libphp8.2.so
mysqli.so
=== webmail
index.php
=== strange
501:501 /var/www/html/webmail/INSTALL
=== closed
root:root 755 /var/www/html/webmail/temp
=== tables
session
users
=== stored
mysql/db.frm
other/users.frm
roundcubemail/session.frm
roundcubemail/users.frm
"""


def laid(stage: str) -> dict[str, str]:
    """The files of vm1 at a stage."""
    lab = labs.load("lab6")
    there = topology.of(lab, _STUDENT)
    [vm1] = [node for node in there.nodes if node.name == "vm1"]
    return {item.path: item.content.decode() for item in overlay.overlay(lab, there, vm1, _STUDENT, stage)}


def test_the_web_server_begins_with_the_settings_of_its_package() -> None:
    package = wanted()["web"].folder / "packages/el-httpd/etc/httpd/conf/httpd.conf"
    assert laid("web")["/etc/httpd/conf/httpd.conf"] == package.read_text(encoding="utf-8")
    assert "Require ip 192.168.7.0/24" in laid("php")["/etc/httpd/conf/httpd.conf"]
    assert "Require local" in laid("done")["/etc/httpd/conf/httpd.conf"]


def test_passwords_are_in_files_that_only_root_reads_or_that_the_sheet_has() -> None:
    secret = {path for path, text in laid("done").items() if _STUDENT.password in text}
    assert secret == {
        "/etc/labenv/accounts",
        "/etc/labenv/database.sql",
        "/var/www/html/private/index.php",
        "/var/www/html/webmail/config/config.inc.php",
    }


def test_the_key_of_the_sessions_has_the_length_that_roundcube_needs() -> None:
    config = laid("done")["/var/www/html/webmail/config/config.inc.php"]
    [key] = [line.split("'")[3] for line in config.splitlines() if "des_key" in line]
    assert len(key) == 24


def test_what_vm1_says_is_read() -> None:
    found = state.read(_ANSWER)
    assert found.programs == {"httpd", "mysql"}
    assert found.syntax == "Syntax OK"
    assert found.libraries == {"libphp8.2.so", "mysqli.so"}
    assert found.webmail == {"index.php"}
    assert found.strange == "501:501 /var/www/html/webmail/INSTALL"
    assert found.closed == ("root:root 755 /var/www/html/webmail/temp",)
    assert found.best == ("roundcubemail", frozenset())
    less = _ANSWER.replace("roundcubemail/users.frm\n", "").replace("other/users.frm\n", "")
    assert state.read(less).best == ("roundcubemail", frozenset({"users"}))
    assert state.read("").best == ("", frozenset())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('<script>rcmail.display_message("Login \\"failed\\".","warning",0);</script>', 'Login "failed".'),
        ('{"action":"send","exec":"this.display_message(\\"SMTP Error (454)\\",\\"error\\",0);"}', "SMTP Error (454)"),
        ("{broken", ""),
        ("<p>Oops</p>", ""),
    ],
)
def test_what_roundcube_says_to_a_person_is_found(text: str, words: str) -> None:
    assert said(text) == words


def test_its_outer_world_has_the_sites_of_downloads() -> None:
    assert labs.load("lab6").image_of("outside", "outside", "lab4b") == "downloads"
    assert "outside" in labs.load("lab6").profiles
    assert (resources.topologies() / "templates" / "outside" / "zone-downloads.j2").exists()
