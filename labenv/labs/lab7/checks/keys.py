"""Keys and certificates in the files of a machine: those that its server names, or else those of the sheet."""

import re
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from labenv.checks.machine import QUICK, Machine
from labenv.mail.settings import postconf
from labenv.www import certificates
from labenv.www.certificates import Certificate

AUTHORITY = "/etc/ssl/certs/cacert.pem"
# What packages bring for a server that has no certificate of its own yet.
_BROUGHT = ("/etc/pki/", "/etc/dovecot/private/")
_DOVECOT = f"{QUICK} doveconf -P -h ssl_cert ssl_key"
_APACHE = r"""
httpd -t -D DUMP_CERTS 2>/dev/null | sed -n 's,^ *\(/.*\),certificate \1,p'
sed -n 's/^[[:space:]]*SSLCertificateKeyFile[[:space:]]\+"\?\([^"]*\)"\?[[:space:]]*$/key \1/Ip' /etc/httpd/conf/*.conf /etc/httpd/conf.d/*.conf 2>/dev/null
"""
_SECTION = "=== "
# What kind of thing a file is, by the first of its lines that say it. Nobody is asked for a passphrase: openssl ends where one is needed.
_LOOK = f"""
kind() {{
    if [ ! -e "$1" ]; then echo missing; elif [ ! -s "$1" ]; then echo empty; else grep -m 2 -aoE 'BEGIN [A-Z ]+|ENCRYPTED' "$1"; fi
}}
key=%s certificate=%s
echo '{_SECTION}certificate'; kind "$certificate"
echo '{_SECTION}text'; openssl x509 -in "$certificate" 2>/dev/null
echo '{_SECTION}public'; openssl x509 -in "$certificate" -noout -pubkey 2>/dev/null
echo '{_SECTION}key'; kind "$key"
echo '{_SECTION}own'; openssl pkey -in "$key" -passin pass: -pubout 2>/dev/null
echo '{_SECTION}mode'; stat -L -c '%%a %%U' "$key" 2>/dev/null
echo '{_SECTION}authority'; [ ! -e {AUTHORITY} ] || openssl x509 -in {AUTHORITY} -noout -ext basicConstraints 2>&1
"""


@dataclass(frozen=True)
class Pair:
    """A key and a certificate of a machine, by their paths.

    `certificate` is None if `complaint` says why there is none, and `flaw` why the key, whose mode and owner are `mode`, does not open; both
    are ends of sentences about the file. `fits` is whether key and certificate belong together. `authority` is whether the sheet's
    certificate of an authority is one, None if it is not there.
    """

    key: str
    path: str
    certificate: Certificate | None
    complaint: str
    flaw: str
    fits: bool
    mode: str
    authority: bool | None


def named(machine: Machine) -> tuple[str, str]:
    """The key and the certificate that the server of a machine is told to use, each empty if none of its own is named.

    Raises CheckFailed if Postfix cannot read its configuration.
    """
    if machine.name == "vm2":
        both = postconf(machine, "smtpd_tls_chain_files").value.split(",")[0].strip()
        key, path = (both or postconf(machine, f"smtpd_tls_{what}_file").value for what in ("key", "cert"))
    elif machine.name == "vm3":
        said = machine.once(_DOVECOT).stdout.splitlines()
        path, key = (line.strip().removeprefix("<").strip() for line in (*said, "", "")[:2])
    else:
        lines = [line.partition(" ") for line in machine.once(_APACHE).stdout.splitlines()]
        path, key = (_first(it for what, _, it in lines if what == kind) for kind in ("certificate", "key"))
        key = key or path
    return _first([key]), _first([path])


def _first(files: Iterable[str]) -> str:
    """The first that no package has brought."""
    return next((file for file in files if not file.startswith(_BROUGHT)), "")


def usual(machine: Machine) -> tuple[str, str]:
    """The key and the certificate of the sheet."""
    return f"/etc/ssl/private/{machine.fqdn}.key", f"/etc/ssl/certs/{machine.fqdn}.crt"


def of(machine: Machine) -> Pair:
    """The pair of a machine. What its server names and is not there does not count: its own step judges that."""
    key, path = (
        name if name and not machine.once(machine.backend.quote("test -e %s", name)).rc else sheets
        for name, sheets in zip(named(machine), usual(machine), strict=True)
    )
    return read(key, path, str(machine.once(machine.backend.quote(_LOOK, key, path)).stdout))


def read(key: str, path: str, said: str) -> Pair:
    """The pair in what a machine answered."""
    sections: dict[str, str] = {}
    for part in re.split(rf"^{_SECTION}", said, flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        sections[title] = text.strip()
    certificate = None
    if text := sections.get("text"):
        with suppress(ValueError, IndexError):
            certificate = certificates.read(ssl.PEM_cert_to_DER_cert(text))
    own, authority = sections.get("own", ""), sections.get("authority", "")
    return Pair(
        key=key,
        path=path,
        certificate=certificate,
        complaint="" if certificate else _flaw(sections.get("certificate", "")),
        flaw="" if own else _flaw(sections.get("key", "")),
        fits=bool(own) and own == sections.get("public", ""),
        mode=sections.get("mode", ""),
        authority="CA:TRUE" in authority if authority else None,
    )


def _flaw(kind: str) -> str:
    """Why a file of that kind cannot be read as what it is to be."""
    if kind in ("missing", "empty"):
        return f"is {kind}"
    if "ENCRYPTED" in kind:
        return "still asks for a passphrase"
    found = re.search(r"BEGIN ([A-Z ]+)", kind)
    return f"has a {found[1].strip().lower()}" if found else "cannot be read"
