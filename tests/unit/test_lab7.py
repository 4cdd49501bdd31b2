"""Lab 7: what its checks read of keys and certificates, its files, and what a hand-in must show."""

import ipaddress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labenv.classroom.handins.claims import Files
from labenv.engine.image_sources import wanted
from labenv.lab import labs, overlay, topology
from labenv.labs.lab7 import claims
from labenv.labs.lab7.checks import keys
from labenv.student import Student

_STUDENT = Student("bob", 7, "bob", "secret78")
_PUBLIC = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----"


def laid(machine: str, stage: str) -> dict[str, str]:
    """The files of a machine at a stage."""
    lab = labs.load("lab7")
    there = topology.of(lab, _STUDENT)
    [node] = [node for node in there.nodes if node.name == machine]
    return {item.path: item.content.decode() for item in overlay.overlay(lab, there, node, _STUDENT, stage)}


def answered(
    certificate: str = "", key: str = "BEGIN PRIVATE KEY", own: str = _PUBLIC, public: str = _PUBLIC
) -> keys.Pair:
    said = (
        f"=== certificate\n{certificate}\n=== text\n=== public\n{public}\n=== key\n{key}\n=== own\n{own}\n"
        "=== mode\n600 root\n=== authority\n"
    )
    return keys.read("/k", "/c", said)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "is missing"),
        ("empty", "is empty"),
        ("BEGIN CERTIFICATE REQUEST", "has a certificate request"),
        ("BEGIN PRIVATE KEY", "has a private key"),
        ("", "cannot be read"),
    ],
)
def test_what_is_no_certificate_is_called_what_it_is(kind: str, words: str) -> None:
    assert answered(kind).complaint == words


@pytest.mark.parametrize("kind", ["BEGIN ENCRYPTED", "BEGIN RSA PRIVATE KEY\nENCRYPTED"])
def test_a_key_with_a_passphrase_is_known_in_both_forms(kind: str) -> None:
    assert answered(key=kind, own="").flaw == "still asks for a passphrase"


def test_a_key_that_opens_has_no_flaw_and_fits_its_own_certificate_alone() -> None:
    pair = answered("empty")
    assert (pair.flaw, pair.fits, pair.authority) == ("", True, None)
    assert not answered(public=_PUBLIC.replace("MFkw", "MFkx")).fits


def test_each_machine_makes_its_certificate_once_its_stage_is_reached() -> None:
    since = {"vm2": "smtp", "vm3": "imaps", "vm1": "done"}
    stages = [stage.id for stage in labs.load("lab7").stages]
    for machine, first in since.items():
        for stage in stages:
            there = "/etc/labenv/certificate" in laid(machine, stage)
            assert there == (stages.index(stage) >= stages.index(first)), (machine, stage)
    assert laid("vm2", "smtp")["/etc/labenv/certificate"] == "vm2.bob.ops /root/postfix-keys secret78\n"


def test_the_site_over_tls_is_that_of_the_package_but_for_two_names() -> None:
    package = (wanted()["web"].folder / "packages/el-mod-ssl/etc/httpd/conf.d/ssl.conf").read_text(encoding="utf-8")
    mine = laid("vm1", "done")["/etc/httpd/conf.d/ssl.conf"]
    changed = [line for line in mine.splitlines() if line not in package.splitlines()]
    assert changed == [
        'SSLCertificateFile "/etc/ssl/certs/vm1.bob.ops.crt"',
        'SSLCertificateKeyFile "/etc/ssl/private/vm1.bob.ops.key"',
    ]


def test_the_labs_files_begin_where_those_of_the_labs_before_end() -> None:
    before = {"vm2": ("/etc/postfix/main.cf",), "vm3": ("/etc/dovecot/conf.d/10-ssl.conf", "/etc/sysconfig/iptables")}
    lab = labs.load("lab6")
    there = topology.of(lab, _STUDENT)
    for machine, paths in before.items():
        [node] = [node for node in there.nodes if node.name == machine]
        then = {item.path: item.content.decode() for item in overlay.overlay(lab, there, node, _STUDENT, "done")}
        for path in paths:
            was, now = (
                [line for line in text.splitlines() if line and not line.startswith("#")]
                for text in (then[path], laid(machine, "lab6")[path])
            )
            assert now == was, path


def _files(**texts: str) -> Files:
    """A hand-in with these texts, by machine."""
    paths = {
        "vm2": "config/vm2/etc/postfix/main.cf",
        "vm3": "config/vm3/etc/dovecot/conf.d/10-ssl.conf",
        "vm1": "config/vm1/var/www/html/webmail/config/config.inc.php",
    }
    there = {paths[name]: text for name, text in texts.items()}
    archive = SimpleNamespace(text=lambda name: there.get(name, ""), members=list(there))
    return Files(cast(Any, archive), "bob.ops", ipaddress.IPv4Network("192.168.7.0/24"))


_RIGHT = {
    "vm2": "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = /etc/ssl/private/vm2.pem\n",
    "vm3": "ssl = required\n",
    "vm1": "$config['default_host'] = 'ssl://vm3.bob.ops:993';\n$config['smtp_host'] = 'tls://vm2.bob.ops:25';\n",
}


@pytest.mark.parametrize(
    ("machine", "wrong", "step"),
    [
        ("vm2", "smtpd_use_tls = yes\n", "2"),
        ("vm2", "smtpd_tls_cert_file = /etc/ssl/certs/vm2.bob.ops.crt\n", "2"),
        ("vm3", "ssl = yes\n", "9"),
        ("vm1", "// ssl://vm3.bob.ops:993\n$config['smtp_host'] = 'tls://vm2.bob.ops:25';\n", "15"),
    ],
)
def test_files_that_contradict_a_result_are_told(machine: str, wrong: str, step: str) -> None:
    assert list(claims.contradictions(_files(**_RIGHT), {"2", "9", "15"})) == []
    [told] = claims.contradictions(_files(**{**_RIGHT, machine: wrong}), {"2", "9", "15"})
    assert told.startswith(f"check.json says that step {step} passes, but ")
    assert list(claims.contradictions(_files(**{**_RIGHT, machine: wrong}), set())) == []
