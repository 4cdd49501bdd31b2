"""Investigation 1, "Install, Configure & Run a Webserver": Apache on vm1, its firewall, and a first page."""

from labenv.checks import doors, services
from labenv.checks.doors import OUTSIDE, Firewall, Reach
from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.firewall import who_drops_connection
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.dns.asking import lookups
from labenv.labs.lab6.checks import state
from labenv.labs.lab6.checks.common import HTTP, SERVICES, last_error
from labenv.labs.lab6.checks.probes import Visits
from labenv.text import one_line
from labenv.www.pages import Answer
from labenv.www.restarts import HTTPD


@step("2", machine="vm1")
def test_apache_is_installed(vm1: Machine, evidence: Evidence) -> None:
    there = "httpd" in state.of(vm1).programs
    evidence(there, f"the program httpd is {'there' if there else 'not there'} on vm1", "it is there")


@step("3", machine="vm1")
def test_apache_runs(vm1: Machine, evidence: Evidence) -> None:
    syntax = state.of(vm1).syntax
    broken = syntax and "Syntax OK" not in syntax
    evidence(not broken, f"httpd -t on vm1 says: {syntax}", "Syntax OK")
    services.runs_and_starts(vm1, "httpd", evidence, among=SERVICES)


@step("5", machine="vm1")
def test_firewall_lets_requests_in(web_from_host: Reach, host: Machine, vm1: Machine, evidence: Evidence) -> None:
    if web_from_host.let_in and not web_from_host.made:
        raise Waits("3")
    why = "" if web_from_host.made else who_drops_connection(host, vm1, HTTP)
    evidence(web_from_host.made, f"host to vm1 port {HTTP}: {web_from_host.words}{why}", "a connection")


@step("5", machine="vm1")
def test_rules_are_saved(
    web_from_host: Reach,
    firewall_of_vm1: Firewall,
    vm1: Machine,
    host: Machine,
    site: Site,
    evidence: Evidence,
) -> None:
    services.runs_and_starts(vm1, "iptables", evidence, among=SERVICES)
    found = firewall_of_vm1
    doors.rules_load(site, vm1, found, "host", OUTSIDE, evidence)
    if found.same and web_from_host.let_in:
        evidence(True, "the rules that are saved on vm1 are those in force", "they do the same")
        return
    packet = doors.packet(site, "host", HTTP)
    if found.same:
        found = doors.tried(site, "vm1", [packet])
    doors.stays_open(vm1, found, packet, "host", evidence)


@step("6", machine="host")
def test_host_gets_an_answer_by_name(visits: Visits, host: Machine, vm1: Machine, evidence: Evidence) -> None:
    [looked, *_] = lookups(host, {vm1.fqdn: vm1.address})
    evidence(looked.found, f"host looks up {looked.words}", vm1.address)
    answer = _answered(visits, "/")
    evidence(True, f"host asks for http://{vm1.fqdn}/: {answer}", "an answer")


@step("8", machine="vm1")
def test_first_page_is_there(visits: Visits, vm1: Machine, evidence: Evidence) -> None:
    answer = _answered(visits, "/")
    wanted = f"web page on {vm1.fqdn} and the current time is"
    shown = " ".join(answer.text.split())  # as a browser shows it
    good = answer.status == 200 and wanted.lower() in shown.lower()
    seen = f"host asks for http://{vm1.fqdn}/: {answer}, {one_line(answer.text)[:120] or 'an empty page'}"
    remark = "" if good else last_error(vm1, "permission") + not_restarted(vm1, HTTPD)
    evidence(good, seen + remark, f"200 and a page with '{wanted}'")


@step("9", machine="host")
def test_page_has_a_name(visits: Visits, vm1: Machine, evidence: Evidence) -> None:
    bare, named = _answered(visits, "/"), _answered(visits, "/index.html")
    evidence(named.status == 200, f"host asks for http://{vm1.fqdn}/index.html: {named}", "200")
    same = bare.text == named.text
    evidence(same, f"with and without index.html, host gets {'the same page' if same else 'two pages'}", "the same")
    if "<?php" in bare.text:
        raise CheckFailed("the page has a program in it, which is shown as text", "a page without a program")


def _answered(visits: Visits, path: str) -> Answer:
    """The answer that host got. Raises CheckFailed if it got none."""
    answer = visits.host[path]
    if isinstance(answer, CheckFailed):
        raise answer
    return answer
