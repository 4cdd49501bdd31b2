"""The sheet of Lab 7 typed word by word by a person at a terminal; then all checks."""

import re
from dataclasses import dataclass

from tests.e2e.conftest import Cli
from tests.e2e.terminal import Open, Terminal

# As the sheet has them, with the student's own name. The second machine's commands have no `cd`, and no -p.
KEYS = """\
openssl genrsa -des3 -out {name}.key 2048
chmod 600 {name}.key
openssl req -new -key {name}.key -out {name}.csr
openssl x509 -req -days 365 -in {name}.csr -signkey {name}.key -out {name}.crt
openssl rsa -in {name}.key -out {name}.key.nopass
mv {name}.key.nopass {name}.key
openssl req -new -x509 -extensions v3_ca -keyout cakey.pem -out cacert.pem -days 3650
chmod 600 {name}.key cakey.pem
cp {name}.key cakey.pem /etc/ssl/private
cp {name}.crt cacert.pem /etc/ssl/certs
"""
MAIN_CF = """\
# Settings to enable secure SMTP using my self-signed certificate:
smtpd_tls_auth_only = no
smtpd_use_tls = yes
smtp_use_tls = yes
smtpd_tls_key_file = /etc/ssl/private/vm2.{domain}.key
smtpd_tls_cert_file = /etc/ssl/certs/vm2.{domain}.crt
smtpd_tls_CAfile = /etc/ssl/certs/cacert.pem
tls_random_source = dev:/dev/urandom
smtpd_tls_loglevel = 1
"""
WEBMAIL = """\
$config['imap_host'] = 'ssl://vm3.{domain}:993';
$config['smtp_host'] = 'tls://vm2.{domain}:25';
$config['imap_conn_options'] = ['ssl' => ['verify_peer' => false]];
$config['smtp_conn_options'] = ['ssl' => ['verify_peer' => false]];
"""
PASSPHRASE = "abcd"


@dataclass(frozen=True)
class Sitting:
    """A student, with a terminal for each machine that the sheet works on."""

    student: str
    domain: str
    network: str
    host: Terminal
    vm1: Terminal
    vm2: Terminal
    vm3: Terminal


def test_lab_7_typed_word_by_word_passes_every_check(cli: Cli, student: str, terminal: Open) -> None:
    made = cli.json("up", student, "--lab", "lab7", "--at", "lab6", "--no-check")
    network = made["network"].removesuffix(".0/24")
    machines = (terminal(student, name) for name in ("host", "vm1", "vm2", "vm3"))
    at = Sitting(student, made["domain"], network, *machines)
    _postfix(at)
    _dovecot(at, made["password"])
    _roundcube(at)
    _https(at)
    assert "not from the image" not in cli("check", "-s", student, rc=None).stdout
    results = cli.json("check", "-s", student, rc=None)["results"]
    assert [result for result in results if result["status"] not in ("pass", "skip")] == []
    assert len({result["step"] for result in results if result["status"] == "pass"}) >= 19
    noted = at.vm1.type("cat /var/log/httpd/*access_log /var/log/httpd/ssl_request_log")
    assert re.findall(r'"([A-Z]+ [^"]* HTTP/1.1)"', noted) == ["GET /webmail/ HTTP/1.1"] * 2, (
        "the visit with curl alone, in two logs"
    )
    cli("reboot", "--all", "-s", student)
    results = cli.json("check", "-s", student, rc=None)["results"]
    assert [result for result in results if result["status"] not in ("pass", "skip")] == []


def _keys(machine: Terminal, domain: str) -> None:
    """Each command with the answers that openssl asks for."""
    name = f"{machine.machine}.{domain}"
    request = (
        (r"Country Name .*\[XX\]:", "CA\r"),
        (r"State or Province .*\[\]:", "Ontario\r"),
        (r"Locality Name .*\[Default City\]:", "Toronto\r"),
        (r"Organization Name .*\[Default Company Ltd\]:", "Seneca\r"),
        (r"Organizational Unit .*\[\]:", "OPS335\r"),
        (r"Common Name .*\[\]:", f"{name}\r"),
        (r"Email Address \[\]:", "\r"),
    )
    new = ((r"PEM pass phrase:", f"{PASSPHRASE}\r"), (r"Verifying - Enter PEM pass phrase:", f"{PASSPHRASE}\r"))
    opened = ((r"Enter pass phrase for \S+:", f"{PASSPHRASE}\r"),)
    answers = {
        "genrsa": new,
        "req -new -key": (*opened, *request, ("A challenge password", "\r"), ("An optional company name", "\r")),
        "x509": opened,
        "rsa -in": opened,
        "req -new -x509": (*new, *request),
    }
    for line in KEYS.format(name=name).splitlines():
        asked = next((found for part, found in answers.items() if f"openssl {part}" in line), ())
        said = machine.type(line, *asked)
        assert "rror" not in said
        if "x509 -req" in line:
            assert "Certificate request self-signature ok" in said
    assert "PEM certificate" in machine.type(f"file /etc/ssl/certs/{name}.crt")


def _postfix(at: Sitting) -> None:
    at.vm2.type("mkdir -p /root/postfix-keys /etc/ssl/{private,certs}; cd /root/postfix-keys")
    _keys(at.vm2, at.domain)
    at.vm2.paste("/etc/postfix/main.cf", MAIN_CF.format(domain=at.domain), ">>")
    at.vm2.type("systemctl restart postfix")
    send = f"mail -S v15-compat -S smtp-use-starttls -S mta=smtp://vm2.{at.domain} -S smtp-auth=none"
    me = f"{at.student}@{at.domain}"
    refused = at.host.type(f"echo Hello | {send} -r {me} -s TLS {me}")
    assert "certificate" in refused, "nobody trusts it yet"
    at.host.type(f"echo Hello | {send} -S tls-verify=ignore -r {me} -s TLS {me}")
    at.vm2.log(rf"Anonymous TLS connection established from host\.{at.domain}\[{at.network}\.1\]: TLSv1\.")


def _dovecot(at: Sitting, password: str) -> None:
    assert "File exists" in at.vm3.type("mkdir /etc/ssl/{private,certs}")
    _keys(at.vm3, at.domain)
    for setting, value in (
        ("ssl", "required"),
        ("ssl_cert", rf"< \/etc\/ssl\/certs\/vm3.{at.domain}.crt"),
        ("ssl_key", rf"< \/etc\/ssl\/private\/vm3.{at.domain}.key"),
    ):
        at.vm3.vi("/etc/dovecot/conf.d/10-ssl.conf", f"^{setting} =", f":s/=.*/= {value}/\r")
    at.vm3.vi("/etc/dovecot/conf.d/10-auth.conf", "^disable_plaintext_auth", ":s/=.*/= yes/\r")
    at.vm3.vi("/etc/dovecot/conf.d/10-master.conf", "#port = 143", ":s/#port = 143/port = 0/\r")
    at.vm3.type("systemctl restart dovecot")
    listens = at.vm3.type("ss -ltn")
    assert ":993 " in listens
    assert ":143 " not in listens
    read = f"mail -S v15-compat -S tls-verify=ignore -H -f imaps://{at.student}:{password}@vm3.{at.domain}/INBOX"
    assert "timed out" in at.host.type(f"nc -zvw 2 vm3.{at.domain} 993")
    at.vm3.type(f"iptables -A INPUT -s {at.network}.0/24 -p tcp --dport 993 -j ACCEPT")
    assert "OK" in at.vm3.type("service iptables save")
    assert "TLS" in at.host.type(read), "the message of before"
    at.vm3.log(rf"Login: user=<{at.student}>, .*rip={at.network}\.1, .*TLS")


def _roundcube(at: Sitting) -> None:
    config = "/var/www/html/webmail/config/config.inc.php"
    at.vm1.type(rf"sed -i '/_host.\]/d' {config}")
    at.vm1.paste(config, WEBMAIL.format(domain=at.domain), ">>")
    assert "No syntax errors" in at.vm1.type(f"php -l {config}")


def _https(at: Sitting) -> None:
    assert "File exists" in at.vm1.type("mkdir /etc/ssl/{private,certs}")
    _keys(at.vm1, at.domain)
    assert "Complete!" in at.vm1.type("yum install mod_ssl", (r"\[y/d/N\]: ", "y\r"))
    for setting, path in (
        ("SSLCertificateFile", rf"\/etc\/ssl\/certs\/vm1.{at.domain}.crt"),
        ("SSLCertificateKeyFile", rf"\/etc\/ssl\/private\/vm1.{at.domain}.key"),
    ):
        at.vm1.vi("/etc/httpd/conf.d/ssl.conf", f"^{setting}", f':s/ .*/ "{path}"/\r')
    at.vm1.type("systemctl restart httpd")
    at.vm1.type("iptables -A INPUT -p tcp --dport 443 -j ACCEPT")
    assert "OK" in at.vm1.type("service iptables save")
    page = f"https://vm1.{at.domain}/webmail/"
    assert "self-signed certificate" in at.host.type(f"curl {page}")
    assert "Roundcube Webmail" in at.host.type(f"curl -sk {page} | grep '<title>'")
