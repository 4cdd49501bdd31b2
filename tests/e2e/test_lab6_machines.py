"""The web server's machine of Lab 6: its packages, its first starts, what checks leave behind, and the sites of downloads."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from labenv.engine import Engine
from tests.e2e.conftest import Cli

Typed = Callable[..., str]
_TARBALL = "https://github.com/roundcube/roundcubemail/releases/download/1.6.5/roundcubemail-1.6.5-complete.tar.gz"
_COUNTED = ("users", "identities", "session", "collected_addresses")


def typing(engine: Engine, made: dict[str, Any], name: str) -> Typed:
    """Runs a shell script on a machine that must end with `rc`; what it printed, stderr included."""
    container = next(machine["container"] for machine in made["machines"] if machine["name"] == name)

    def run(script: str, rc: int = 0) -> str:
        started = engine.api.exec_create(container, ["sh", "-c", script])
        said: str = engine.api.exec_start(started).decode()
        assert engine.api.exec_inspect(started)["ExitCode"] == rc, f"{script}\n{said}"
        return said

    return run


@pytest.fixture(scope="module")
def begun(cli: Cli, new_student: Callable[[], str]) -> dict[str, Any]:
    """An environment where the sheet starts, with the world outside."""
    made: dict[str, Any] = cli.json("up", new_student(), "--lab", "lab6", "--at", "lab4b", "--outside", "--no-check")
    return made


@pytest.fixture(scope="module")
def done(cli: Cli, new_student: Callable[[], str]) -> dict[str, Any]:
    """An environment where the sheet ends."""
    made: dict[str, Any] = cli.json("up", new_student(), "--lab", "lab6", "--no-check")
    return made


def test_what_the_sheet_installs_has_the_familys_names_files_and_accounts(
    engine: Engine, begun: dict[str, Any]
) -> None:
    vm1 = typing(engine, begun, "vm1")
    assert vm1("rpm -q httpd mariadb-server", rc=2).count("is not installed") == 2
    assert re.search(r"^httpd\.\w+ +2\.4\S+ +labenv$", vm1("yum list available"), re.MULTILINE)
    names = "httpd php php-mysql php-mysqlnd php-xml php-mbstring php-intl mariadb mariadb-server mod_ssl lynx"
    assert "Complete!" in vm1(f"yum -y install {names}")
    assert vm1("rpm -q --qf '%{NAME} ' httpd php php-mysql mod_ssl mariadb-server") == (
        "httpd php php-mysql mod_ssl mariadb-server "
    )
    assert vm1("rpm -V httpd php php-mysql mod_ssl mariadb mariadb-server") == ""
    assert vm1("rpm -qf --qf '%{NAME} ' /etc/httpd/conf/httpd.conf /etc/php.ini /etc/my.cnf /usr/sbin/httpd") == (
        "httpd php mariadb httpd "
    )
    assert vm1("systemctl is-enabled httpd mariadb", rc=1) == "disabled\ndisabled\n"
    assert vm1("getent passwd apache").startswith("apache:x:48:48:Apache:/usr/share/httpd:")
    assert vm1("httpd -t") == "Syntax OK\n"
    assert {"php_module (shared)", "ssl_module (shared)"} <= {line.strip() for line in vm1("httpd -M").splitlines()}
    assert vm1("ls -d /etc/apache2/* /etc/cron.d/php 2>/dev/null || true") == ""


def test_the_web_server_is_called_httpd_speaks_tls_and_goes_on_after_a_reload(
    engine: Engine, begun: dict[str, Any]
) -> None:
    vm1 = typing(engine, begun, "vm1")
    vm1("systemctl start httpd")
    assert "httpd" in vm1("ss -ltnp sport = :443")
    assert set(vm1("ps -C httpd -o user=").split()) == {"root", "apache"}
    before = vm1("systemctl show -p MainPID httpd")
    vm1("apachectl graceful")
    assert vm1("systemctl is-active httpd") == "active\n"
    assert vm1("systemctl show -p MainPID httpd") == before
    assert "Testing 123" in vm1("curl -s -k https://localhost/")
    assert f"CN = vm1.{begun['domain']}" in vm1("openssl x509 -in /etc/pki/tls/certs/localhost.crt -noout -subject")


def test_the_first_start_of_the_database_says_how_to_set_both_passwords(engine: Engine, begun: dict[str, Any]) -> None:
    vm1 = typing(engine, begun, "vm1")
    vm1("systemctl start mariadb")
    said = vm1("journalctl -u mariadb -o cat --no-pager")
    for line in re.findall(r"(/usr/bin/mysqladmin .*) 'new-password'", said):
        vm1(f"{line} secret")
    assert said.count("mysqladmin") == 2
    assert "ERROR 1045" in vm1("mysql -u root -e 'SELECT 1' 2>&1", rc=1)
    assert "ERROR 1045" in vm1("mysql -u root -h $(hostname) -e 'SELECT 1' 2>&1", rc=1)
    assert vm1("mysql -u root -psecret -h $(hostname) -Ne 'SELECT CURRENT_USER()'") == f"root@vm1.{begun['domain']}\n"
    vm1("systemctl restart mariadb")
    assert vm1("journalctl -u mariadb -o cat --no-pager").count("PLEASE REMEMBER") == 1


def test_packages_go_again_with_what_stands_on_them(engine: Engine, begun: dict[str, Any]) -> None:
    vm1 = typing(engine, begun, "vm1")
    vm1("echo mine >/var/www/html/mine.html")
    said = vm1("yum -y remove httpd")
    assert re.search(r"Dependency Removed:\n(.*\n)*  php\.", said)
    assert vm1("cat /var/www/html/mine.html") == "mine\n"
    assert vm1("rpm -q httpd php mod_ssl", rc=3).count("is not installed") == 3
    assert vm1("command -v httpd || echo none") == "none\n"


def test_the_world_outside_has_the_tarball_over_tls_that_machines_trust(
    engine: Engine, begun: dict[str, Any], done: dict[str, Any]
) -> None:
    vm1 = typing(engine, begun, "vm1")
    assert "Complete: 1.6.5" in vm1("lynx -dump https://www.roundcube.net/download/")
    assert "301" in vm1("curl -s -o /dev/null -w '%{http_code}' http://roundcube.net/download/")
    vm1(f"cd /tmp && wget -q {_TARBALL} && tar -xzf roundcubemail-*.tar.gz --no-same-owner")
    digests = "find . -type f ! -path './config/config.inc.php' ! -path './logs/*' | sort | xargs sha256sum | sha256sum"
    fetched = vm1(f"cd /tmp/roundcubemail-1.6.5 && {digests}")
    assert fetched == typing(engine, done, "vm1")(f"cd /var/www/html/webmail && {digests}")
    assert vm1("tar -tvzf /tmp/roundcubemail-*.tar.gz | cut -d' ' -f2 | sort -u") == "501/501\n"


def test_a_check_leaves_the_webmail_and_the_mail_as_they_were(cli: Cli, engine: Engine, done: dict[str, Any]) -> None:
    vm1, vm3 = typing(engine, done, "vm1"), typing(engine, done, "vm3")

    def state() -> list[str]:
        sql = "; ".join(f"SELECT COUNT(*) FROM {table}" for table in _COUNTED)
        mailbox = f"find /home/{done['student']}/Maildir -path '*/new/*' -o -path '*/cur/*'"
        return [
            vm1(f"mysql -u roundcube -p{done['password']} roundcubemail -Ne '{sql}'"),
            vm1("ls /var/www/html/webmail/logs /var/www/html/webmail/temp"),
            vm3(mailbox),
            vm3("grep -c 'imap-login: Login' /var/log/maillog || true"),
        ]

    before = state()
    for _ in range(2):
        assert cli.json("check", "-s", done["student"], "50")["summary"]["failed"] == 0
    vm3("sleep 2")  # Dovecot's last lines come a moment after the end of a session
    assert state() == before


def test_a_save_under_a_running_database_restores_it(cli: Cli, engine: Engine, student: str) -> None:
    made = cli.json("up", student, "--lab", "lab6", "--at", "unpacked", "--no-check")
    sql = f"mysql -u root -p{made['password']} roundcubemail -Ne"
    typing(engine, made, "vm1")(f"{sql} \"CREATE TABLE mine (what TEXT); INSERT INTO mine VALUES ('kept')\"")
    cli("save", "kept", "-s", student)
    typing(engine, made, "vm1")(f"{sql} 'DROP TABLE mine'")
    cli("restore", "kept", "-s", student)
    [again] = cli.json("status", "-s", student)["environments"]
    assert typing(engine, again, "vm1")(f"{sql} 'SELECT what FROM mine'") == "kept\n"
