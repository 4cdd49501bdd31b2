"""Investigation 2: MariaDB on vm1, and the passwords of its root."""

from labenv.checks import services, units
from labenv.checks.doors import Reach
from labenv.checks.evidence import Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.labs.lab6.checks import state
from labenv.labs.lab6.checks.common import MYSQL, SERVICES
from labenv.text import one_line

_PROGRAMS = ("mysqld", "mysql", "mysqladmin")
_ASK = f"timeout 5 runuser -u {state.ACCOUNT} -- mysql --no-defaults -S /var/lib/mysql/mysql.sock -u root"


@step("25", machine="vm1")
def test_mariadb_is_installed(vm1: Machine, evidence: Evidence) -> None:
    lacks = [name for name in _PROGRAMS if name not in state.of(vm1).programs]
    saw = f"vm1 lacks {', '.join(lacks)}" if lacks else f"vm1 has {', '.join(_PROGRAMS)}"
    evidence(not lacks, saw, "server and clients")


@step("28", machine="vm1")
def test_root_needs_a_password(vm1: Machine, evidence: Evidence) -> None:
    if units.look(vm1, SERVICES)["mariadb"].active != "active":
        raise Waits("29")
    for where, to in (("localhost", ""), (vm1.fqdn, f" -h {vm1.fqdn}")):
        tried = vm1.run(f"{_ASK}{to} -N -e 'SELECT CURRENT_USER()' 2>&1")
        who = one_line(tried.stdout.strip())
        let_in = not tried.rc and who.startswith("root@")
        saw = f"without a password, '{state.ACCOUNT}' on vm1 asks for root at {where}: {who}"
        evidence(not let_in, f"{saw} is let in" if let_in else saw, "it is refused")


@step("29", machine="vm1")
def test_mariadb_runs(vm1: Machine, database_from_host: Reach, evidence: Evidence) -> None:
    services.runs_and_starts(vm1, "mariadb", evidence, among=SERVICES)
    if database_from_host.made:
        evidence.doubt(f"host reaches port {MYSQL} of vm1", "the database is for vm1 alone")
