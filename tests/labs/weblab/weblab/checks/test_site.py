"""Part 1: the web server and the page."""

from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine, last_words
from labenv.checks.plugin import step
from labenv.student import Student
from labenv.www import pages

from . import common

_REDIRECTIONS = {301, 302, 303, 307, 308}
_EMPTY_REPLY = 52  # curl(1), EXIT CODES


@step("2", machine="web")
def test_nginx_is_installed(web: Machine, evidence: Evidence) -> None:
    state = web.run("dpkg-query --show --showformat '${Status} ${Version}' nginx").stdout
    evidence(
        state.startswith("install ok installed"), f"dpkg says of nginx: {state or 'nothing'}", "install ok installed"
    )


@step("3", machine="web")
def test_nginx_runs(web: Machine, evidence: Evidence) -> None:
    common.service(web, "nginx", evidence)


@step("3", machine="web")
def test_nginx_could_start_again(web: Machine, evidence: Evidence) -> None:
    tested = web.run("nginx -t -q")
    said = tested.stderr.strip().splitlines()[:1] or ["nothing"]  # the first line has file and number
    evidence(tested.rc == 0, f"`nginx -t` says {said[0]}", "no error")


@step("4", machine="web")
def test_page_can_be_read(web: Machine, student: Student, evidence: Evidence) -> None:
    path = f"/srv/www/{student.domain}/index.html"
    page = web.run("su -s /bin/sh www-data -c 'head -c 100000 %s'", path)
    evidence(page.rc == 0, f"www-data reads {path}: {last_words(page) if page.rc else 'it can'}", "it can")
    has = "has" if student.id in page.stdout else "does not have"
    evidence(student.id in page.stdout, f"{path} {has} your id", f"{student.id} in it")


@step("5", machine="web")
def test_site_answers(web: Machine, site_name: str, student: Student, evidence: Evidence) -> None:
    answer = pages.fetch(web, web.address, name=site_name)
    way = f"http://{site_name}/"
    if answer.status in _REDIRECTIONS and answer.location.startswith(f"https://{site_name}/"):
        way = answer.location
        answer = pages.fetch(web, web.address, way.removeprefix(f"https://{site_name}"), name=site_name, tls=True)
    evidence(answer.status == 200, f"{way} is answered with {answer}", "200 OK")
    has = "has" if student.id in answer.text else "does not have"
    evidence(student.id in answer.text, f"the page at {way} {has} your id", f"{student.id} in it")


@step("6", machine="web")
def test_other_names_get_nothing(web: Machine, student: Student, evidence: Evidence) -> None:
    asked = "other.example.com"
    closed = web.run("curl -s -o /dev/null --max-time 5 -H %s http://%s", f"Host: {asked}", web.address)
    if closed.rc == _EMPTY_REPLY:  # return 444 in nginx
        evidence(True, f"who asks for {asked} is answered with nothing", "an error")
        return
    answer = pages.fetch(web, web.address, name=asked)
    shows = ", your page" if student.id in answer.text else ", the package's page" if "nginx!" in answer.text else ""
    right = answer.status >= 400 and not shows
    evidence(right, f"who asks for {asked} is answered with {answer}{shows}", "an error")
