"""Which services have not read their files since a change, from what a machine answers."""

from types import SimpleNamespace

import pytest

from labenv.checks.restarts import needs_more_than_a_reload, not_restarted

# vm3, ten seconds after it was started, with a Postfix that was reloaded four seconds ago.
SAID = """now 1000000010.50 510.50
master 50000
qmgr 50600
Id=dovecot.service
ActiveState={state}
StateChangeTimestamp=Sun 2001-09-09 01:46:45.500000 UTC

Id=named.service
ActiveState=active
StateChangeTimestamp=Sun 2001-09-09 01:46:41.500000 UTC

postfix {postfix} /etc/postfix/main.cf
postfix 900000000.0 /etc/postfix/master.cf
dovecot {dovecot} /etc/dovecot/conf.d/10-ssl.conf
dovecot 900000000.0 /etc/dovecot/dovecot.conf
named {named} /var/named/mydb-for-asmith15-ops
"""


class Machine:
    """A machine that gives prepared answers."""

    name = "vm3"

    def __init__(self, state: str = "active", configured: str = "", **times: float) -> None:
        known = {"postfix": 900000000.0, "dovecot": 900000000.0, "named": 900000000.0} | times
        self.answers = {"rndc status": configured and f"last configured: {configured}\n"}
        self.said = SAID.format(state=state, **known)

    def once(self, command: str) -> SimpleNamespace:
        return SimpleNamespace(stdout=self.answers.get(command, self.said))


def remark(service: str, machine: Machine) -> str:
    return not_restarted(machine, service)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "before", "after"), [("postfix", 1000000005, 1000000007), ("dovecot", 1000000005, 1000000006)]
)
def test_an_edit_after_the_last_start_or_reload_is_said(service: str, before: float, after: float) -> None:
    assert remark(service, Machine("active", "", **{service: before})) == ""
    said = remark(service, Machine("active", "", **{service: after}))
    assert said.endswith(f"was changed: systemctl restart {service}")
    assert " on vm3 runs with the settings from before /etc/" in said


def test_a_service_that_does_not_run_has_no_settings() -> None:
    assert remark("dovecot", Machine("inactive", dovecot=1000000009)) == ""


def test_a_reload_by_rndc_counts() -> None:
    assert "named on vm3 runs" in remark("named", Machine(named=1000000004))
    reloaded = Machine(named=1000000004, configured="Sun, 09 Sep 2001 01:46:45 GMT")
    assert remark("named", reloaded) == ""


def test_the_interfaces_need_more_than_a_reload() -> None:
    reloaded = Machine(postfix=1000000003)
    assert remark("postfix", reloaded) == ""
    assert "a reload is not enough" in needs_more_than_a_reload(reloaded)  # type: ignore[arg-type]
    assert not needs_more_than_a_reload(Machine())  # type: ignore[arg-type]
