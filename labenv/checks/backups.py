"""A sheet's own backups: a copy of a machine on another one, by rsync, dump or as an archive. Only a person can judge whether it is full."""

import shlex

import pytest

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.errors import EngineError

_FOLDER = "/backup"
# What reads a whole backup.
_LISTED = {"archive": "tar -tf", "dump": "restore -tf"}


def is_kept(machine: Machine, on: Machine, files: tuple[str, ...], evidence: Evidence) -> None:
    """The newest backup of a machine has the `files` of its /etc as they are; a copy is found by the first of them.

    Skips the check if there is no backup. Raises CheckFailed if it is incomplete, or older than a file.
    """
    try:
        found = _newest(on, machine.name, files[0])
    except EngineError as error:  # the checks of its services report that the machine is down
        pytest.skip(f"the backups cannot be read: {error}")
    if not found:
        pytest.skip(
            f"{on.name} has no backup of {machine.name}: no archive, no dump and no copy of its /etc with {machine.name} in the "
            f"path, below {_FOLDER}"
        )
    kind, path = found
    if kind in _LISTED:
        read = on.run(f"{_LISTED[kind]} %s >/dev/null", path)
        complaint = read.stderr.strip().splitlines()
        program = _LISTED[kind].split()[0]
        # restore(8) also complains that a check has no terminal.
        good = not (read.rc if kind == "dump" else complaint)
        evidence(good, f"{program} reads {path} on {on.name}: {'OK' if good else complaint[0]}", f"a complete {kind}")
    for name in files:
        now = machine.run(f"sha256sum </etc/{name}")
        if now.rc:
            continue  # a service that is not installed yet
        kept = on.run(_read(kind, path, name))
        same = kept.stdout == now.stdout
        evidence(
            same, f"/etc/{name} in {path} {'is' if same else 'is not'} the one on {machine.name} today", "the same"
        )


def _newest(on: Machine, name: str, file: str) -> tuple[str, str] | None:
    """The kind of a machine's newest backup, "archive", "dump" or "copy", and its path."""
    # A copied file keeps its modification time; its change time tells when rsync wrote it.
    looked = on.run(
        f"cd {_FOLDER} 2>/dev/null || exit 0; "
        f"find . -type f -path '*{name}*' \\( -name '*.tar*' -o -name '*.t?z' \\) -printf '%T@ archive %P\\n'; "
        f"find . -type f -path '*{name}*' -name '*dump*' ! -name '*.tar*' -printf '%T@ dump %P\\n'; "
        f"find . -type f -path '*{name}*/{file}' -printf '%C@ copy %P\\n'"
    )
    rows = sorted((line.split(" ", 2) for line in looked.stdout.splitlines()), key=lambda row: float(row[0]))
    if not rows:
        return None
    _, kind, path = rows[-1]
    return kind, f"{_FOLDER}/{path.removesuffix(f'/{file}')}"


def _read(kind: str, path: str, name: str) -> str:
    """A command that prints the digest of a file of /etc in a backup."""
    if kind == "copy":
        return f"sha256sum <{shlex.quote(f'{path}/{name}')}"
    if kind == "dump":  # restore(8) writes files only, and a dump of /etc has no etc in its paths
        return (
            f"folder=$(mktemp -d) && cd $folder && restore -xaoyf {shlex.quote(path)} {shlex.quote(f'./etc/{name}')} "
            f"{shlex.quote(f'./{name}')} >/dev/null 2>&1; cat $folder/etc/{shlex.quote(name)} $folder/{shlex.quote(name)} 2>/dev/null "
            f"| sha256sum; rm -rf $folder"
        )
    return f"tar -xOf {shlex.quote(path)} --wildcards {shlex.quote(f'*etc/{name}')} 2>/dev/null | sha256sum"
