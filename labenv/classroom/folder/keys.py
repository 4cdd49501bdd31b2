"""Public SSH keys in a roster."""

import base64
import binascii

from labenv.errors import UsageError
from labenv.text import one_line, shown

# What a current OpenSSH accepts (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"); ssh-dss is gone since 10.0.
_KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


def read(text: str) -> tuple[str, ...]:
    """The public keys in a cell, one a line, each as "KIND BASE64 COMMENT". Raises UsageError for another text.

    Options before a key are refused: what a key may do is labenv's to say. The data must begin with the kind (RFC 4253, section 6.6).
    """
    return tuple(_key(line.strip()) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def _key(line: str) -> str:
    if "PRIVATE KEY" in line:
        raise UsageError(
            "there is a private key, which nobody but its owner may have. It must be replaced; the public one is in a file .pub."
        )
    kind, _, rest = line.partition(" ")
    data, _, comment = rest.strip().partition(" ")
    if kind not in _KINDS:
        raise UsageError(f"'{shown(line[:30])}…' is no public key: it begins with one of {', '.join(_KINDS)}.")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    name = kind.encode()
    if raw[: 4 + len(name)] != len(name).to_bytes(4, "big") + name or len(raw) < 32 + len(name):
        raise UsageError(
            f"the public key '{kind} {shown(data[:12])}…' is damaged, perhaps cut. Copy it once more, on one line."
        )
    return " ".join(filter(None, (kind, data, one_line(comment.strip()))))
