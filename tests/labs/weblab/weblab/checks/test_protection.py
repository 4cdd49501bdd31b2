"""Part 2: certificate and firewall."""

from datetime import UTC, datetime

from labenv.checks import firewall
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine, Site
from labenv.checks.plugin import step
from labenv.engine.trial import Packet
from labenv.student import Student
from labenv.www import certificates, pages

from . import common

_OPEN = (22, 80, 443)
_NOBODYS = 8080  # a port that no service here uses
_FOR_GOOD = {301, 308}


@step("7", machine="web")
def test_certificate_is_for_the_site(web: Machine, site_name: str, evidence: Evidence) -> None:
    shown = certificates.served(web, web.address, name=site_name)
    names = ", ".join(shown.names) or f"no name (its common name is {shown.name})"
    evidence(shown.is_for(site_name), f"the certificate is for {names}", site_name)
    saw = f"the certificate is valid from {shown.begins:%Y-%m-%d} to {shown.ends:%Y-%m-%d}"
    evidence(shown.is_valid(datetime.now(UTC)), saw, "today within that")


@step("7", machine="web")
def test_key_is_roots(web: Machine, evidence: Evidence) -> None:
    keys = web.run(
        r"nginx -T 2>/dev/null | sed -n 's/^ *ssl_certificate_key  *\([^ ;]*\);.*/\1/p' | sort -u"
    ).stdout.split()
    evidence(keys, f"nginx uses the keys {', '.join(keys) or 'of no file'}", "a key")
    for key in keys:
        right = web.run("stat -L -c '%%U %%a' %s", key).stdout.strip() or "not there"
        evidence(right in {"root 600", "root 400", "root 640"}, f"{key} is {right}", "root 600")


@step("8", machine="web")
def test_http_leads_to_https(web: Machine, site_name: str, evidence: Evidence) -> None:
    answer = pages.fetch(web, web.address, "/a/path", name=site_name)
    wanted = f"https://{site_name}/a/path"
    saw = f"http://{site_name}/a/path is answered with {answer}"
    evidence(300 <= answer.status < 400 and answer.location == wanted, saw, f"301, Location: {wanted}")
    if answer.status not in _FOR_GOOD:
        evidence.doubt(saw, "301, which says that it is for good")


@step("9", machine="web")
def test_firewall_in_force(web: Machine, site: Site, student: Student, evidence: Evidence) -> None:
    _judge(site, student, web.once(firewall.NOW).stdout_bytes, "the firewall", evidence)


@step("10", machine="web")
def test_firewall_is_saved(web: Machine, site: Site, student: Student, evidence: Evidence) -> None:
    common.service(web, "netfilter-persistent", evidence)
    saved = firewall.saved(web)
    evidence(
        saved.rc == 0, f"there are {'' if saved.rc == 0 else 'no '}rules in {web.firewall.path}", "the rules in force"
    )
    if not firewall.same(saved.stdout, web.once(firewall.NOW).stdout):
        _judge(site, student, saved.stdout_bytes, f"after a boot the firewall of {web.firewall.path}", evidence)


def _judge(site: Site, student: Student, rules: bytes, what: str, evidence: Evidence) -> None:
    """Try the first packet of a connection from a neighbour to each port, on a kernel that has these rules."""
    neighbour = f"{student.prefix}.77"
    verdict = site.try_rules("web", rules, [Packet(neighbour, port) for port in (*_OPEN, _NOBODYS)])
    evidence(
        not verdict.complaint,
        f"{what} cannot be loaded: {verdict.complaint.strip()[:200]}" if verdict.complaint else f"{what} can be loaded",
        "rules",
    )
    for port, fate in zip((*_OPEN, _NOBODYS), verdict.fates, strict=True):
        wanted = "is let in" if port in _OPEN else "is not let in"
        is_in = fate.word == "in"
        saw = f"port {port} {'is let in' if is_in else f'is {fate.word}'} by {what}"
        evidence(is_in == (port in _OPEN), saw, wanted)
