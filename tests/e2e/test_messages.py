"""Steps that only messages show: they are tried, and the student's own mail counts where trying is not possible."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labenv.checks.machine import Site
from labenv.engine import Engine
from tests.e2e.conftest import Cli

STEPS = ("8", "10", "15", "16")


@pytest.fixture
def site(cli: Cli, engine: Engine, new_student: Callable[[], str]) -> Iterator[Site]:
    student = new_student()
    cli("up", student, "--at", "domain", "--no-check")
    site = Site(engine, engine.environments(student)[0])
    yield site
    site.close()
    cli("down", "-s", student, rc=None)


def judged(cli: Cli, site: Site, *steps: str) -> dict[str, Any]:
    document = cli.json("check", "-s", site.student.id, *steps, rc=None)
    return {f"{result['step']}@{result['machine']}": result for result in document["results"]}


def test_by_trying_and_by_the_students_own_messages(cli: Cli, site: Site) -> None:
    vm2, vm3, domain = site["vm2"], site["vm3"], site.student.domain
    fresh = judged(cli, site, *STEPS)
    assert {result["status"] for result in fresh.values()} == {"pass"}
    assert not any("your own message" in result["evidence"] for result in fresh.values())

    count = r"grep -c 'to=<root.*delivered to mailbox' /var/log/maillog"
    before = vm3.output(f"{count} || true")
    vm2.output(f"echo hello | mail -s own root@vm3.{domain}; echo hello | mail -s own root@{domain}")
    vm3.output(f'timeout 20 sh -c "until [ \\$({count}) = $(({before} + 2)) ]; do sleep 0.1; done"')
    told = judged(cli, site, *STEPS)
    assert {result["status"] for result in told.values()} == {"pass"}
    for name in ("10@vm2", "15@vm2", "16@vm3"):
        assert "your own message" in told[name]["evidence"], name

    vm3.output("iptables -I INPUT -p tcp --dport 25 -j REJECT")
    cut_off = judged(cli, site, *STEPS)
    assert {name: result["status"] for name, result in cut_off.items()} == {
        "8@vm2": "pass",
        "8@vm3": "pass",
        "10@vm2": "warn",
        "10@vm3": "pass",
        "15@vm2": "warn",
        "16@vm3": "warn",
    }
    assert "nothing accepts connections on port 25 of vm3" in cut_off["15@vm2"]["evidence"]
    vm3.output("iptables -D INPUT 1")

    vm3.output("touch /etc/postfix/main.cf && iptables -I INPUT -p tcp --dport 25 -j REJECT")
    assert judged(cli, site, "15")["15@vm2"]["status"] == "fail", "the message is older than the configuration"
    vm3.output("iptables -D INPUT 1")


def test_messages_of_lab4a_that_were_moved_or_deleted(cli: Cli, site: Site) -> None:
    vm2, vm3 = site["vm2"], site["vm3"]
    vm2.output("cat /var/spool/mail/root >/root/mbox && truncate -s 0 /var/spool/mail/root")
    vm3.output("truncate -s 0 /var/spool/mail/root")
    found = judged(cli, site, "8")
    assert found["8@vm2"]["status"] == "pass"
    assert "/root/mbox on vm2 has a message from root@vm3." in found["8@vm2"]["evidence"]
    assert found["8@vm3"]["status"] == "warn"
    vm3.output("mv $(command -v mail) /root/")
    assert judged(cli, site, "8")["8@vm3"]["status"] == "fail"
