"""Investigation 1, from PHP on: a page that is a program, and who may see it; and the database's page of Investigation 2."""

import re

from labenv.checks.doors import OUTSIDE
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab6.checks import state
from labenv.labs.lab6.checks.common import last_error
from labenv.labs.lab6.checks.probes import PRIVATE, Visits
from labenv.text import one_line
from labenv.www.pages import Answer
from labenv.www.restarts import HTTPD

_FORBIDDEN, _MISSING, _OK = 403, 404, 200
_REDIRECTS = re.compile(r"^-A .*--dports? \S*\b(80|http)\b.*-j (DNAT|REDIRECT).*", re.MULTILINE)
_CONNECTED = re.compile(r"via (UNIX socket|TCP/IP)")


@step("14", machine="vm1")
def test_server_has_php(vm1: Machine, evidence: Evidence) -> None:
    _has_library(vm1, "libphp", "PHP", evidence)


@step("32", machine="vm1")
def test_php_has_mysql(vm1: Machine, evidence: Evidence) -> None:
    _has_library(vm1, "mysqli.so", "the module mysqli", evidence)


@step("15", machine="host")
def test_program_is_run(visits: Visits, vm1: Machine, evidence: Evidence) -> None:
    path, answer = "/index.php", visits.host["/index.php"]
    if not isinstance(answer, Answer) or answer.status == _MISSING:
        path, answer = PRIVATE, _seen_on_vm1(visits)
    if isinstance(answer, CheckFailed):
        raise answer
    if answer.status == _MISSING:
        raise CheckFailed("vm1 has neither /index.php nor /private/index.php", "a page with PHP")
    if "<?" in answer.text or "system(" in answer.text:
        raise CheckFailed(f"{path} shows its program: {one_line(answer.text)[:120]}", "its result")
    if answer.status == _FORBIDDEN:
        raise Waits("22")
    good = answer.status == _OK and answer.text.strip()
    why = "" if good else last_error(vm1, "PHP ")
    evidence(good, f"{path}: {answer}, {one_line(answer.text)[:120] or 'an empty page'}{why}", "200 and a result")


@step("20", machine="vm1")
def test_page_has_moved(visits: Visits, evidence: Evidence) -> None:
    there = _seen_on_vm1(visits)
    if isinstance(there, CheckFailed):
        raise there
    evidence(there.status != _MISSING, f"vm1 answers {PRIVATE} with {there}", "the page")
    old = visits.host["/index.php"]
    gone = isinstance(old, Answer) and old.status == _MISSING
    evidence(gone, f"host asks for /index.php: {old}", "404, as it has moved")


@step("22", machine="vm1")
def test_strangers_are_refused(visits: Visits, vm1: Machine, evidence: Evidence) -> None:
    syntax = state.of(vm1).syntax
    evidence("Syntax OK" in syntax, f"httpd -t on vm1 says: {syntax}", "Syntax OK")
    stranger = visits.stranger
    if isinstance(stranger, Answer):
        saw = f"{OUTSIDE}, outside the network, asks for {PRIVATE}: {stranger}"
        good = stranger.status == _FORBIDDEN
        evidence(good, saw if good else saw + not_restarted(vm1, HTTPD), "403")
    else:
        evidence(True, f"{OUTSIDE}, outside the network, gets no connection", "403, or none")
    hosts = visits.host[PRIVATE]
    if isinstance(hosts, Answer) and hosts.status == _FORBIDDEN:
        hosts = _seen_on_vm1(visits)  # later in the sheet, only vm1 gets the page
        evidence(
            isinstance(hosts, Answer) and hosts.status != _FORBIDDEN, f"nobody gets {PRIVATE}: {hosts}", "vm1 does"
        )
        return
    evidence(isinstance(hosts, Answer) and hosts.status == _OK, f"host asks for {PRIVATE}: {hosts}", "200")


@step("23", machine="host")
def test_redirection_is_not_saved(host: Machine, evidence: Evidence) -> None:
    path = host.firewall.path
    rule = _REDIRECTS.search(host.run("cat %s", path).stdout)
    evidence(
        not rule,
        f"{path} on host has '{one_line(rule[0])}'" if rule else f"{path} on host redirects no requests for pages",
        "no such rule",
    )


@step("30", machine="vm1")
def test_only_vm1_sees_it(visits: Visits, vm1: Machine, evidence: Evidence) -> None:
    hosts = visits.host[PRIVATE]
    if isinstance(hosts, CheckFailed):
        raise hosts
    good = hosts.status == _FORBIDDEN
    saw = f"host asks for {PRIVATE}: {hosts}"
    evidence(good, saw if good else saw + not_restarted(vm1, HTTPD), "403")
    own, loopback = visits.own, visits.loopback
    lets = [isinstance(one, Answer) and one.status != _FORBIDDEN for one in (own, loopback)]
    saw = f"vm1 itself gets {own} by its name, and {loopback} at localhost"
    evidence(any(lets), saw, "the page")


@step("33", machine="vm1")
def test_page_connects(visits: Visits, vm1: Machine, evidence: Evidence) -> None:
    answer = _seen_on_vm1(visits)
    if isinstance(answer, CheckFailed):
        raise answer
    good = answer.status == _OK and _CONNECTED.search(answer.text)
    why = "" if good else last_error(vm1, "PHP ")
    seen = f"{PRIVATE}: {answer}, {one_line(answer.text)[:120] or 'an empty page'}{why}"
    evidence(good, seen, "200 and 'Localhost via UNIX socket'")


def _seen_on_vm1(visits: Visits) -> Answer | CheckFailed:
    """What vm1 gets of the private page: by its name, or at localhost if only that is allowed."""
    own, loopback = visits.own, visits.loopback
    refused = not isinstance(own, Answer) or own.status == _FORBIDDEN
    return loopback if refused and isinstance(loopback, Answer) else own


def _has_library(vm1: Machine, library: str, what: str, evidence: Evidence) -> None:
    found = any(name.startswith(library) for name in state.of(vm1).libraries)
    saw = f"the web server that runs on vm1 {'has' if found else 'does not have'} {what}"
    evidence(found, saw if found else saw + not_restarted(vm1, HTTPD), f"{what} in it")
