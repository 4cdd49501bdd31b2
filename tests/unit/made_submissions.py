"""Submissions made up for a test: valid ones, and the bytes of hostile ones."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from labenv import __version__
from labenv.lab import labs
from labenv.sheet import logbook
from labenv.student import Student

LAB = labs.load("lab4b")
MAIN = "myorigin = $mydomain\nmydomain = {domain}\nmydestination = $mydomain, $myhostname, localhost\n"
VM3 = 'mynetworks = 192.168.90.0/24\nmailbox_command = /usr/libexec/dovecot/dovecot-lda -f "$SENDER"\n'


def members(student: str = "asmith15", *, failing: tuple[str, ...] = (), book: str = "") -> dict[str, bytes]:
    """The members of a valid submission of a student who did everything but `failing`."""
    domain = f"{student}.ops"
    results = [
        {
            "step": step.id,
            "check": "x",
            "machine": machine,
            "title": step.title,
            "status": "skip" if step.is_for_a_person else "fail" if step.id in failing else "pass",
            "evidence": "",
            "hint": "",
        }
        for step in LAB.steps.values()
        for machine in step.machines
    ]
    main = {"vm2": MAIN.format(domain=domain) + f"relayhost = vm3.{domain}\n", "vm3": MAIN.format(domain=domain) + VM3}
    texts = {
        "check.json": json.dumps({"student": student, "lab": "lab4b", "results": results, "summary": {}}),
        "hints.jsonl": '{"time": "2026-11-22T10:00:00+00:00", "step": "17", "level": 2}\n',
        "logbook.md": book or logbook.blank(LAB, Student(student, 90, "anna", "")),
        f"config/host/var/named/mydb-for-{student}-ops": f"@ IN MX 10 vm3.{domain}.\n",
        "config/vm3/etc/dovecot/dovecot.conf": "protocols = imap\nmail_location = maildir:~/Maildir\n",
        "config/vm3/etc/dovecot/conf.d/10-auth.conf": "disable_plaintext_auth = no\n",
        "config/vm3/etc/sysconfig/iptables": "*filter\n:INPUT DROP [0:0]\n"
        "-A INPUT -p tcp --dport 25 -j ACCEPT\n-A INPUT -p tcp --dport 143 -j ACCEPT\nCOMMIT\n",
    }
    for machine, text in main.items():
        texts[f"config/{machine}/etc/postfix/main.cf"] = text
        texts[f"evidence/{machine}.txt"] = f"## Host name\n{machine}.{domain}\n\n## Postfix settings\n{text}"
    return {name: text.encode() for name, text in texts.items()}


def manifest(student: str, contents: dict[str, bytes], **changed: Any) -> bytes:
    """A manifest that matches."""
    about = {
        "format": 1,
        "student": student,
        "domain": f"{student}.ops",
        "network": "192.168.90.0/24",
        "lab": "lab4b",
        "labenv": __version__,
        "time": "2026-11-22T10:00:00+00:00",
        "members": [
            {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in contents.items()
        ],
    }
    return json.dumps(about | changed).encode()


def tarred(contents: dict[str, bytes] | list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar archive of these."""
    buffer = io.BytesIO()
    entries = contents if isinstance(contents, list) else [(entry(n, c), c) for n, c in contents.items()]
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def entry(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    """The header of a member."""
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content), kind
    return info


def saved(file: Path, student: str = "asmith15", contents: dict[str, bytes] | None = None, **changed: Any) -> Path:
    """A submission in a file, with a manifest that matches except for what is `changed`."""
    contents = contents if contents is not None else members(student)
    file.write_bytes(gzip.compress(tarred({"manifest.json": manifest(student, contents, **changed), **contents})))
    return file
