"""Making a swarm, joining it, and what its parts trust each other by: a certificate, a token, a key for ssh.

They are made once, by `labenv swarm init`, and lie in labenv's folder of state on the manager, for its user alone. The services get
theirs as secrets of the swarm.
"""

import fcntl
import hashlib
import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_urlsafe

from labenv import places
from labenv.engine import Engine, swarm
from labenv.errors import EngineError, UsageError
from labenv.swarm import leases, words

_YEARS = 10
_ADDRESS, _SSH_KEY = "address", "id_ed25519"  # files in the folder
_NONE = "This computer manages no swarm of labenv's, or another user's labenv does. Make one: labenv swarm init"
_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/=]{20,200}( [\w@.-]{0,60})?", re.ASCII)
# The key opens a way to the engine's socket, and nothing else.
_RESTRICTED = 'restrict,port-forwarding,command="/bin/false"'


def folder() -> Path:
    """Where labenv keeps what belongs to its swarm."""
    return places.state() / "swarm"


def prepare(address: str) -> None:
    """Make what is not there yet of certificate, token and key; the certificate is for that address. Raises EngineError."""
    try:
        with alone():
            if not (folder() / words.TOKEN).exists():
                private(folder() / words.TOKEN, token_urlsafe(32).encode())
            if not leases.is_kept() or address != _address():
                certificate, key = _certificate(address)
                (folder() / _ADDRESS).unlink(missing_ok=True)  # it is there again once certificate and key fit together
                private(folder() / words.KEY, key)
                private(folder() / words.CERTIFICATE, certificate)
                private(folder() / _ADDRESS, address.encode())
            if not (folder() / _SSH_KEY).exists():
                _make_key(folder() / _SSH_KEY)
    except OSError as error:
        raise EngineError(f"{folder()} cannot be written: {error.strerror}. {places.way_out(folder())}") from error


@contextmanager
def alone() -> Iterator[None]:
    """Let no other command change the folder during the block; it is made if needed. Raises OSError."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    folder().chmod(0o700)
    descriptor = os.open(folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def made() -> datetime:
    """When this computer's swarm was made. Raises EngineError if this computer manages none of labenv's."""
    try:
        return datetime.fromtimestamp((folder() / words.TOKEN).stat().st_mtime, UTC)
    except OSError as error:
        raise EngineError(_NONE) from error


def public_key() -> str:
    """The key with which this manager reaches the nodes, in OpenSSH's form, for authorized_keys. Raises EngineError."""
    return content(f"{_SSH_KEY}.pub").decode().strip()


def authorize(key: str) -> Path:
    """Let the manager with that public key reach this computer's engine as this user; returns the file it was written to.

    Nothing is written twice. Raises UsageError for what is no such key, EngineError if the file cannot be written.
    """
    if not _KEY.fullmatch(key.strip()):
        raise UsageError("--key takes what `labenv swarm init` has printed: ssh-ed25519 AAAA…")
    path = Path.home() / ".ssh" / "authorized_keys"
    line = f"{_RESTRICTED} {key.strip()}"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        there = path.read_bytes() if path.exists() else b""
        if line.encode() not in map(bytes.strip, there.splitlines()):
            with open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(b"\n" * bool(there and not there.endswith(b"\n")) + line.encode() + b"\n")
    except OSError as error:
        raise EngineError(
            f"{path} cannot be written: {error.strerror}. Add this line there yourself: {line}"
        ) from error
    return path


def keep(engine: Engine, name: str, content: bytes) -> str:
    """Have the swarm keep a secret; returns its full name, which stands for this content. Raises EngineError."""
    full = f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    swarm.keep_secret(engine, full, content)
    return full


def named(engine: Engine, secrets: Mapping[str, str]) -> dict[str, str]:
    """Secrets for a service by their full names: those that lie in the folder are kept first. Raises EngineError."""
    ours = {words.CERTIFICATE, words.KEY, words.TOKEN}
    return {keep(engine, name, content(name)) if name in ours else name: file for name, file in secrets.items()}


def keeper_url() -> str:
    """Where the keeper answers. Raises EngineError if this computer manages no swarm of labenv's."""
    address = _address()
    if not address:
        raise EngineError(_NONE)
    return f"https://{f'[{address}]' if ':' in address else address}:{words.PORT}"


def forget() -> None:
    """Remove what was made for a swarm that is no more; the key stays, because nodes may know it."""
    for name in (words.CERTIFICATE, words.KEY, words.TOKEN, _ADDRESS):
        (folder() / name).unlink(missing_ok=True)


def address_of(engine: Engine) -> str:
    """The address by which the swarm knows this node. Raises EngineError if it is in none."""
    address: str = swarm.state(engine).get("NodeAddr", "")
    if not address:
        raise EngineError("This engine is in no swarm. Make one: labenv swarm init")
    return address


def _address() -> str:
    """The address that the certificate is for; "" if there is none, or it was interrupted while it was made."""
    with suppress(EngineError):
        return content(_ADDRESS).decode().strip()
    return ""


def content(name: str) -> bytes:
    """What is in a file of the folder. Raises EngineError if labenv has made no swarm here."""
    try:
        return (folder() / name).read_bytes()
    except FileNotFoundError as error:
        raise EngineError(_NONE) from error


def private(path: Path, content: bytes) -> None:
    """Write a file of the folder, whole, for this user alone. For who is `alone`. Raises OSError."""
    draft = path.with_name(f"{path.name}.part")
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    draft.rename(path)


def _make_key(path: Path) -> None:
    if not (program := shutil.which("ssh-keygen")):
        raise EngineError("ssh-keygen is missing. Install it: apt-get install openssh-client")
    draft, public = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.pub")
    for each in (draft, public):
        each.unlink(missing_ok=True)  # of an interrupted one
    done = subprocess.run(
        [program, "-q", "-t", "ed25519", "-N", "", "-C", "labenv", "-f", str(draft)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineError(f"ssh-keygen failed: {done.stderr.strip()[:200]}")
    public.rename(path.with_name(f"{path.name}.pub"))
    draft.rename(path)  # last: it is there once both are


def _certificate(address: str) -> tuple[bytes, bytes]:
    """A certificate for the keeper at that address, and its key, both as PEM. Only this swarm trusts it."""
    from cryptography import x509  # only who makes a swarm needs it
    from cryptography.hazmat.primitives import hashes, serialization  # as above
    from cryptography.hazmat.primitives.asymmetric import ec  # as above

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "labenv keeper")])
    try:
        where: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        where = x509.DNSName(address)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # the nodes' clocks may differ
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName([where]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    packed = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return made.public_bytes(serialization.Encoding.PEM), packed
