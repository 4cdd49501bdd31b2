"""What vm1 says of its programs, of the web server that runs, and of Roundcube's files."""

import re
from dataclasses import dataclass

from labenv.checks.machine import Machine

ACCOUNT = "apache"
WEBMAIL = "/var/www/html/webmail"
_SECTION = "=== "
# A process keeps what it has loaded, whatever is installed later; so its own libraries count.
_LOOK = f"""
echo '{_SECTION}programs'; command -v httpd mysql mysqladmin; ls /usr/libexec/mysqld 2>/dev/null
echo '{_SECTION}syntax'; httpd -t 2>&1 | head -n 5
echo '{_SECTION}libraries'
cat "/proc/$(systemctl show -p MainPID --value httpd)/maps" 2>/dev/null | grep -o '[^/]*\\.so' | sort -u
echo '{_SECTION}webmail'; cd {WEBMAIL} 2>/dev/null && ls -d index.php program/include/iniset.php 2>/dev/null
echo '{_SECTION}strange'; find {WEBMAIL}/ \\( -nouser -o -nogroup \\) -printf '%U:%G %p\\n' 2>/dev/null | head -n 1
echo '{_SECTION}closed'
for folder in temp logs; do
    runuser -u {ACCOUNT} -- test -w {WEBMAIL}/$folder -a -x {WEBMAIL}/$folder || stat -c '%U:%G %a %n' {WEBMAIL}/$folder 2>&1
done
echo '{_SECTION}tables'; sed -n 's/^CREATE TABLE `\\(.*\\)`.*/\\1/p' {WEBMAIL}/SQL/mysql.initial.sql 2>/dev/null
echo '{_SECTION}stored'; cd /var/lib/mysql 2>/dev/null && ls -d */*.frm 2>/dev/null
true
"""
_NOT_ROUNDCUBES = {"mysql", "performance_schema", "sys"}


@dataclass(frozen=True)
class State:
    """What vm1 says.

    `libraries` are those of the web server that runs. `strange` is a file of Roundcube's with an owner who does not exist, `closed` are its
    folders that the web server cannot write to. `tables` are those that Roundcube is to have, `stored` those of each database.
    """

    programs: frozenset[str]
    syntax: str
    libraries: frozenset[str]
    webmail: frozenset[str]
    strange: str
    closed: tuple[str, ...]
    tables: frozenset[str]
    stored: dict[str, frozenset[str]]

    @property
    def best(self) -> tuple[str, frozenset[str]]:
        """The database that has most of Roundcube's tables, and which it lacks; no name if none has one."""
        lacks = {name: self.tables - there for name, there in self.stored.items() if self.tables & there}
        name = min(lacks, key=lambda each: len(lacks[each]), default="")
        return name, lacks.get(name, self.tables)


def of(vm1: Machine) -> State:
    """The state of vm1, looked up once for all checks of a run."""
    return read(str(vm1.once(_LOOK).stdout))


def read(said: str) -> State:
    """The state of vm1 in what it answered."""
    sections: dict[str, list[str]] = {}
    for part in re.split(rf"^{_SECTION}", said, flags=re.MULTILINE)[1:]:
        title, *lines = part.splitlines()
        sections[title] = [line for line in lines if line]
    stored: dict[str, set[str]] = {}
    for path in sections.get("stored", []):
        database, _, file = path.partition("/")
        if database not in _NOT_ROUNDCUBES:
            stored.setdefault(database, set()).add(file.removesuffix(".frm"))
    return State(
        programs=frozenset(path.rpartition("/")[2] for path in sections.get("programs", [])),
        syntax="; ".join(sections.get("syntax", [])),
        libraries=frozenset(sections.get("libraries", [])),
        webmail=frozenset(sections.get("webmail", [])),
        strange="".join(sections.get("strange", [])),
        closed=tuple(sections.get("closed", [])),
        tables=frozenset(sections.get("tables", [])),
        stored={name: frozenset(there) for name, there in stored.items()},
    )
