"""The files of `labenv client`, with TLS and without."""

from pathlib import Path

import pytest

from labenv.mail import client
from labenv.mail.client import Account, Certificate, Service


def written(folder: Path, imap: str, smtp: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of an account whose servers have that security, by name."""
    monkeypatch.setattr(client, "_shown", lambda protocol, service: Certificate(protocol.encode()))
    account = Account("bob@bob.ops", "bob", "secret78", Service("here", 1993, imap), Service("here", 1025, smtp))
    return {path.name: path.read_text(encoding="utf-8") for path in client.write(account, "bob.ops", folder)}


def test_without_tls_no_certificate_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path, "none", "none", monkeypatch)
    assert set(files) == {"bob.ops.xml", "muttrc", "mbsyncrc", "msmtprc"}
    assert "SSLType None\n" in files["mbsyncrc"]
    assert "tls off\n" in files["msmtprc"]
    assert 'set folder = "imap://bob@here:1993/"\n' in files["muttrc"]
    assert files["muttrc"].endswith("set ssl_starttls = no\nset ssl_force_tls = no\n")
    assert files["bob.ops.xml"].count("<socketType>plain</socketType>") == 2


def test_with_tls_each_client_trusts_the_certificates_that_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = written(tmp_path, "tls", "starttls", monkeypatch)
    assert files["certificates.pem"].count("BEGIN CERTIFICATE") == 2
    assert f'SSLType IMAPS\nCertificateFile "{tmp_path}/certificates.pem"\n' in files["mbsyncrc"]
    assert f"tls on\ntls_starttls on\ntls_fingerprint {Certificate(b'smtp').fingerprint}\n" in files["msmtprc"]
    assert 'set folder = "imaps://bob@here:1993/"\n' in files["muttrc"]
    assert files["muttrc"].endswith("set ssl_starttls = yes\nset ssl_force_tls = yes\n")
    assert "<socketType>SSL</socketType>" in files["bob.ops.xml"]
    assert "<socketType>STARTTLS</socketType>" in files["bob.ops.xml"]
