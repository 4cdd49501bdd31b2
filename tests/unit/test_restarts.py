"""Which services have not read their files since a change, from what a machine answers."""

from types import SimpleNamespace

import pytest

from labenv.checks.restarts import Service, not_restarted
from labenv.dns.restarts import NAMED
from labenv.mail.restarts import DOVECOT, POSTFIX, needs_more_than_a_reload

# vm3, ten seconds after it was started, with a Postfix that was reloaded four seconds ago.
SAID = {
    POSTFIX: """now 1000000010.50 510.50
master 50000
qmgr 50600

{postfix} /etc/postfix/main.cf
900000000.0 /etc/postfix/master.cf
""",
    DOVECOT: """ActiveState={state}
StateChangeTimestamp=Sun 2001-09-09 01:46:45.500000 UTC

{dovecot} /etc/dovecot/conf.d/10-ssl.conf
900000000.0 /etc/dovecot/dovecot.conf
""",
    NAMED: """ActiveState=active
StateChangeTimestamp=Sun 2001-09-09 01:46:41.500000 UTC

{named} /var/named/mydb-for-asmith15-ops
""",
}


class Machine:
    """A machine that gives prepared answers."""

    name = "vm3"

    def __init__(self, state: str = "active", configured: str = "", **times: float) -> None:
        known = {"postfix": 900000000.0, "dovecot": 900000000.0, "named": 900000000.0} | times
        self.answers = {"rndc status": configured and f"last configured: {configured}\n"}
        self.answers |= {service.ask: said.format(state=state, **known) for service, said in SAID.items()}

    def once(self, command: str) -> SimpleNamespace:
        return SimpleNamespace(stdout=self.answers[command])


def remark(service: Service, machine: Machine) -> str:
    return not_restarted(machine, service)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "before", "after"), [(POSTFIX, 1000000005, 1000000007), (DOVECOT, 1000000005, 1000000006)]
)
def test_an_edit_after_the_last_start_or_reload_is_said(service: Service, before: float, after: float) -> None:
    assert remark(service, Machine("active", "", **{service.unit: before})) == ""
    said = remark(service, Machine("active", "", **{service.unit: after}))
    assert said.endswith(f"was changed: systemctl restart {service.unit}")
    assert " on vm3 runs with the settings from before /etc/" in said


def test_a_service_that_does_not_run_has_no_settings() -> None:
    assert remark(DOVECOT, Machine("inactive", dovecot=1000000009)) == ""


def test_a_reload_by_rndc_counts() -> None:
    assert "named on vm3 runs" in remark(NAMED, Machine(named=1000000004))
    reloaded = Machine(named=1000000004, configured="Sun, 09 Sep 2001 01:46:45 GMT")
    assert remark(NAMED, reloaded) == ""


def test_the_interfaces_need_more_than_a_reload() -> None:
    reloaded = Machine(postfix=1000000003)
    assert remark(POSTFIX, reloaded) == ""
    assert "a reload is not enough" in needs_more_than_a_reload(reloaded)  # type: ignore[arg-type]
    assert not needs_more_than_a_reload(Machine())  # type: ignore[arg-type]
