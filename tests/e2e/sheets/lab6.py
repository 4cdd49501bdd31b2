"""The sheet of Lab 6, with Roundcube's installer over HTTP, as a browser on host has it."""

import html
import http.cookiejar
import re
import urllib.parse
import urllib.request

from tests.e2e.sheets.sitting import Sitting

FROM = "lab4b"

# As the sheet has them.
PAGE = "Hello, this is a web page on vm1.{domain} and the current time is {time}!\n"
PHP = '<?php system("date"); ?>'
SECTION = """
<Directory "/var/www/html/private">
  AllowOverride None
  Require {who}
</Directory>
"""
CONNECTS = """\
<?php
$mysqli = new mysqli("localhost", "root", "{password}");
if ($mysqli->connect_errno) {{
    echo "Failed to connect to MySQL: (" . $mysqli->connect_errno . ") " . $mysqli->connect_error;
}}
echo $mysqli->host_info . "\\n";
?>
"""
ROOT, ROUNDCUBE = "lab6pw", "rcpw77"
_MYSQL = r"MariaDB \[\S+\]> "


class Installer:
    """Roundcube's installer in a browser on host; the port is vm1's, published."""

    def __init__(self, port: int) -> None:
        self._start = f"http://127.0.0.1:{port}/webmail/installer/index.php"
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._browser = urllib.request.build_opener(jar)

    def page(self, query: str = "", form: dict[str, str] | None = None) -> str:
        data = urllib.parse.urlencode(form).encode() if form else None
        with self._browser.open(self._start + query, data, timeout=60) as answer:
            return str(answer.read().decode("utf-8"))

    def fields(self, page: str) -> dict[str, str]:
        """The form as it is filled in already."""
        found = {}
        for tag in re.findall(r"<input[^>]*>", page):
            of = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            if "name" in of and (of.get("type") not in ("checkbox", "radio") or "checked" in tag):
                found[of["name"]] = html.unescape(of.get("value", ""))
        for name, options in re.findall(r'(?s)<select[^>]*name="([^"]+)".*?>(.*?)</select>', page):
            values = re.findall(r'<option[^>]*value="([^"]*)"([^>]*)', options)
            found[name] = next((value for value, more in values if "selected" in more), values[0][0])
        return found


def typed(at: Sitting) -> None:
    """Type it. The world outside is there."""
    _web(at)
    _php(at)
    _access(at)
    _database(at)
    _roundcube(at)
    _installer(at, Installer(at.port("vm1", 80)))


def _page(at: Sitting, time: str) -> str:
    return PAGE.format(domain=at.domain, time=time)


def _web(at: Sitting) -> None:
    assert "Complete!" in at.vm1.type("yum install httpd", (r"\[y/d/N\]: ", "y\r"))
    at.vm1.type("systemctl start httpd")
    assert "Created symlink" in at.vm1.type("systemctl enable httpd")
    assert "Testing 123" in at.vm1.type("lynx -dump http://localhost")
    assert "timed out" in at.host.type(f"curl -m 2 http://vm1.{at.domain}")
    at.vm1.type("iptables -A INPUT -p tcp --dport 80 -j ACCEPT")
    assert "OK" in at.vm1.type("service iptables save")
    assert "Apache HTTP Server Test Page" in at.host.type(f"curl -s http://vm1.{at.domain}")
    at.vm1.paste("/var/www/html/index.html", _page(at, "Mar 28 22:16:27 EDT 2016"))
    assert "22:16:27 EDT 2016!" in at.host.type(f"curl -s http://vm1.{at.domain}")


def _php(at: Sitting) -> None:
    at.vm1.paste("/var/www/html/index.php", _page(at, PHP))
    assert PHP in at.host.type(f"curl -s http://vm1.{at.domain}/index.php")
    assert "Complete!" in at.vm1.type("yum install php", (r"\[y/d/N\]: ", "y\r"))
    at.vm1.type("systemctl restart httpd")
    assert re.search(r"the current time is \w{3} .* UTC", at.host.type(f"curl -s http://vm1.{at.domain}/index.php"))


def _access(at: Sitting) -> None:
    outer = f"198.18.{at.network.split('.')[2]}.1"

    def outside(path: str) -> str:
        return at.cli.inside(at.student, "outside", f"curl -s -m 3 http://{outer}{path}; true")

    assert outside("/index.html") == ""
    at.host.type(f"iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to {at.network}.2")
    assert outside("/index.html") == "", "the policy of FORWARD protects"
    at.host.type("iptables -A FORWARD -p tcp --dport 80 -j ACCEPT")
    assert "22:16:27 EDT 2016!" in outside("/index.html")
    assert "UTC" in outside("/index.php")
    at.vm1.type("mkdir /var/www/html/private; mv /var/www/html/index.php /var/www/html/private")
    assert "UTC" in outside("/private/index.php")
    assert "404" in outside("/index.php")
    at.vm1.paste("/etc/httpd/conf/httpd.conf", SECTION.format(who=f"ip {at.network}.0/24"), ">>")
    at.vm1.type("systemctl restart httpd")
    assert "403 Forbidden" in outside("/private/index.php")
    assert "UTC" in at.host.type(f"curl -s http://vm1.{at.domain}/private/index.php")
    assert "Forbidden" in at.vm1.type("lynx -dump http://localhost/private/index.php"), "as the sheet's lines have it"


def _database(at: Sitting) -> None:
    assert "Complete!" in at.vm1.type("yum install mariadb-server", (r"\[y/d/N\]: ", "y\r"))
    at.vm1.type("systemctl start mariadb")
    said = at.vm1.type("journalctl -xe --no-pager")
    assert "PLEASE REMEMBER TO SET A PASSWORD FOR THE MariaDB root USER" in said
    for found in re.findall(r"(/usr/bin/mysqladmin .*) 'new-password'", said):
        assert at.vm1.type(f"{found} '{ROOT}'; echo status $?").count("status 0") == 1
    assert "Created symlink" in at.vm1.type("systemctl enable mariadb")
    at.vm1.type(r"sed -i 's/Require ip .*/Require local/' /etc/httpd/conf/httpd.conf; systemctl restart httpd")
    assert "403 Forbidden" in at.host.type(f"curl -s http://vm1.{at.domain}/private/index.php")
    assert "Complete!" in at.vm1.type("yum install php-mysql", (r"\[y/d/N\]: ", "y\r"))
    at.vm1.type("systemctl restart httpd")
    at.vm1.paste("/var/www/html/private/index.php", CONNECTS.format(password=ROOT))
    assert "Localhost via UNIX socket" in at.vm1.type("lynx -dump http://localhost/private")


def _roundcube(at: Sitting) -> None:
    [link] = re.findall(
        r"https://github\.com/\S+complete\.tar\.gz", at.vm1.type("lynx -dump https://roundcube.net/download/")
    )
    assert "saved" in at.vm1.type(f"cd /root; wget {link}")
    at.vm1.type("tar xzf roundcubemail-*-complete.tar.gz --no-same-owner; mv roundcubemail-1.6.5 /var/www/html/webmail")
    at.vm1.type("cd /var/www/html/webmail; chown apache temp logs")
    assert "CREATE DATABASE roundcubemail" in at.vm1.type("cat INSTALL")
    for sql in (
        "CREATE DATABASE roundcubemail CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;",
        f"CREATE USER roundcube@localhost IDENTIFIED BY '{ROUNDCUBE}';",
        "GRANT ALL PRIVILEGES ON roundcubemail.* TO roundcube@localhost;",
    ):
        asked = (("Enter password: ", f"{ROOT}\r"), (_MYSQL, f"{sql}\r"), (_MYSQL, "quit\r"))
        assert "Query OK" in at.vm1.type("mysql -u root -p", *asked)
    at.vm1.type("mysql -u root -p roundcubemail < SQL/mysql.initial.sql", ("Enter password: ", f"{ROOT}\r"))


def _installer(at: Sitting, installer: Installer) -> None:
    at.vm1.type("yum -y install php-mbstring; systemctl restart httpd")
    assert re.search(r"DOM:.*NOT OK", installer.page()), "as the sheet says"
    assert "Complete!" in at.vm1.type("yum -y install php-xml php-mbstring php-intl")
    at.vm1.type("systemctl restart httpd")
    assert "NOT OK" not in installer.page()
    form = installer.fields(installer.page("?_step=2"))
    form.pop("_smtp_user_u")
    form |= {
        "_dbtype": "mysql", "_dbhost": "localhost", "_dbname": "roundcubemail", "_dbuser": "roundcube", "_dbpass": ROUNDCUBE,
        "_imap_host[]": f"vm3.{at.domain}:143", "_smtp_host": f"vm2.{at.domain}:25", "_smtp_user": "", "_smtp_pass": "",
        "_step": "2", "submit": "CREATE CONFIG",
    }  # fmt: skip
    made = installer.page("", form)
    [config] = re.findall(r"(?s)<textarea[^>]*>(.*?)</textarea>", made)
    at.host.paste("/root/config.inc.php", html.unescape(config))
    place = f"root@vm1.{at.domain}:/var/www/html/webmail/config/"
    at.host.type(f"scp -o StrictHostKeyChecking=accept-new config.inc.php {place}", ("password: ", f"{at.password}\r"))
    tested = installer.page("?_step=3")
    assert tested.count("NOT OK") == 0
    sent = installer.page(
        "?_step=3",
        {
            **installer.fields(tested),
            "_from": f"{at.student}@{at.domain}",
            "_to": f"{at.student}@{at.domain}",
            "sendmail": "Send test mail",
        },
    )
    assert re.search(r"SMTP send:.*OK", sent)
    login = {
        **installer.fields(tested),
        "_host": f"vm3.{at.domain}:143",
        "_user": at.student,
        "_pass": at.password,
        "imaptest": "Check login",
    }
    assert re.search(r"IMAP connect:.*OK", installer.page("?_step=3", login))
    # (9): otherwise mail is from vm3.
    at.vm1.paste("config/config.inc.php", f"$config['mail_domain'] = '{at.domain}';\n", ">>")
