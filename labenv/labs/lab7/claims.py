"""What the files of a submission show, if the results in it are true.

Only what all right ways of doing a step have in common is asked for, so that right work gets no note.
"""

import re
from collections.abc import Callable, Iterator

from labenv.classroom.handins.claims import Files, may_let_in
from labenv.mail.files import dovecot, main_cf

_SAVED = "etc/sysconfig/iptables"
_WEBMAIL = "var/www/html/webmail/config/config.inc.php"


def contradictions(files: Files, passing: set[str]) -> Iterator[str]:
    """A sentence for each claim that the files contradict. `passing` are the steps that are said to pass."""
    for step, (test, wanted) in _CLAIMS.items():
        if step in passing and not test(files):
            yield f"check.json says that step {step} passes, but {wanted}"
    for machine in ("vm1", "vm2", "vm3"):
        text = files.evidence(machine)
        if text and f"\n{machine}.{files.domain}\n" not in text:
            yield f"evidence of {machine} does not show the host name {machine}.{files.domain}"


def _offers_tls(files: Files) -> bool:
    """One of the parameters that turn TLS on (postconf(5)), and one that names a certificate."""
    settings = main_cf(files.text("vm2", "etc/postfix/main.cf"))
    is_on = any(settings.get(name) for name in ("smtpd_use_tls", "smtpd_tls_security_level", "smtpd_enforce_tls"))
    return is_on and any(settings.get(f"smtpd_tls_{name}") for name in ("cert_file", "chain_files", "eccert_file"))


def _requires_tls(files: Files) -> bool:
    return "required" in dovecot(files.below("vm3", "etc/dovecot"), "ssl")


def _webmail_names(files: Files, scheme: str) -> bool:
    """Whether a line of Roundcube's settings that is no comment names a server over TLS."""
    text = files.text("vm1", _WEBMAIL)
    return bool(re.search(rf"^(?!\s*(?://|#|\*)).*{scheme}://", text, re.MULTILINE | re.IGNORECASE))


def _web_names_a_key(files: Files) -> bool:
    texts = files.below("vm1", "etc/httpd")
    return any(re.search(r"^\s*SSLCertificateFile\s+\S", text, re.MULTILINE | re.IGNORECASE) for text in texts)


# For each step: what the files need if it passes, and the note if that is missing.
_CLAIMS: dict[str, tuple[Callable[[Files], object], str]] = {
    "2": (_offers_tls, "main.cf of vm2 does not turn TLS on, or names no certificate"),
    "9": (_requires_tls, "no Dovecot file of vm3 sets ssl to required"),
    "12b": (
        lambda f: may_let_in(f.text("vm3", _SAVED), 993),
        "the saved firewall of vm3 does not let host connect to port 993",
    ),
    "15": (
        lambda f: _webmail_names(f, "ssl") and _webmail_names(f, "tls"),
        "Roundcube's settings name no server with ssl:// or none with tls://",
    ),
    "20": (_web_names_a_key, "no file of the web server names a certificate"),
    "21": (
        lambda f: may_let_in(f.text("vm1", _SAVED), 443),
        "the saved firewall of vm1 does not let host connect to port 443",
    ),
}
