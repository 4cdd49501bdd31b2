"""A federated class: what its world outside is told, which link each environment gets, and what is said about who reaches whom."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from zoneinfo import ZoneInfo

import dns.zone
import pytest

from labenv.classroom.federation import page
from labenv.classroom.federation.doors import Door
from labenv.classroom.federation.letters import Way
from labenv.classroom.federation.matrix import WORDS, Matrix, _pairs, _troubles, measure
from labenv.classroom.folder.model import Class
from labenv.engine import lent
from labenv.engine.labels import environment_labels, student_of
from labenv.environment import Belonging, Environment
from labenv.environments.networks import Takings, free_link, taken
from labenv.environments.plan import WORLD, plan_again
from labenv.errors import EngineError, UsageError
from labenv.events import silent
from labenv.lab import labs, overlay, topology
from labenv.student import LINKS, Student
from labenv.web.class_ import matrix as on_the_page

ADA, BOB, CY = (
    Student(name, x, "x", "secret99", link)
    for name, x, link in (("ada", 7, None), ("bob", 90, 300), ("cy-9", 255, 511))
)
MARKUP = "<img src=x onerror=pwned()>"
STUDENTS = ("ada", "bob", "cy")


def told(members: list[Student]) -> dict[str, str]:
    """The files of the world outside of a class with these members."""
    made = topology.of(labs.load("lab4b"), lent.owner("ops", 256))
    outside = next(node for node in made.nodes if node.profile == WORLD)
    return {item.path: item.content.decode() for item in overlay.lent(outside, members)}


def test_the_zone_delegates_each_domain_to_the_students_own_name_server() -> None:
    zone = dns.zone.from_text(
        told([ADA, BOB, CY])["/var/named/ops"], origin="ops.", relativize=False, check_origin=False
    )
    for student in (ADA, BOB, CY):
        [server] = zone.find_rdataset(f"{student.domain}.", "NS")
        assert f"{server}" == f"host.{student.domain}."
        [glue] = zone.find_rdataset(f"host.{student.domain}.", "A")
        assert f"{glue}" == f"192.168.{student.x}.1"


def test_each_lan_has_the_public_address_of_its_own_link() -> None:
    rules = told([ADA, BOB, CY])["/etc/labenv/world.nft"]
    assert dict(re.findall(r"([\d.]+/24) : ([\d.]+)", rules)) == {
        "192.168.7.0/24": "198.18.7.1",
        "100.64.7.0/24": "198.18.7.1",
        "192.168.90.0/24": "198.19.44.1",
        "100.64.90.0/24": "198.19.44.1",
        "192.168.255.0/24": "198.19.255.1",
        "100.64.255.0/24": "198.19.255.1",
    }
    assert "elements" not in told([])["/etc/labenv/world.nft"], "nft refuses an empty list"


def test_every_member_has_a_mailbox_outside_and_nobody_elses_address() -> None:
    files = told([ADA, BOB])
    assert "bob@myseneca.ca:{PLAIN}secret99:" in files["/etc/dovecot/users"]
    logins = dict(line.split() for line in files["/etc/postfix/logins"].splitlines() if line[0] != "#")
    assert logins == {"ada@myseneca.ca": "ada@myseneca.ca", "bob@myseneca.ca": "bob@myseneca.ca"}
    assert "bob@myseneca.ca    myseneca.ca/bob/\n" in files["/etc/postfix/mailboxes"]


def test_an_environment_has_the_link_of_its_x_unless_somebody_has_that() -> None:
    nobody = Takings((), {})
    assert free_link(nobody, 90) == 90
    assert free_link(replace(nobody, links=frozenset({90})), 90) == 256, "no X has it"
    assert free_link(Takings(((IPv4Network("198.18.90.8/29"), "a VPN"),), {}), 90) == 256
    assert free_link(replace(nobody, links=frozenset({90, *range(256, LINKS)})), 90) == 0
    with pytest.raises(EngineError, match="All 512 numbers"):
        free_link(replace(nobody, links=frozenset(range(LINKS))), 90)


def test_a_link_is_known_from_labels_and_is_that_of_x_without() -> None:
    there = Environment(replace(BOB, x=7), "lab4b", "done", ())
    labels = environment_labels(there)
    assert student_of("bob", labels) == there.student
    assert labels["labenv.link"] == "300"
    assert "labenv.link" not in environment_labels(Environment(ADA, "lab4b", "done", ()))
    networks = [
        {"Name": "a", "Labels": labels},
        {"Name": "b", "Labels": environment_labels(Environment(ADA, "l", "s", ()))},
    ]
    assert taken(networks, None).links == {300, 7}


def test_a_federated_environment_has_the_link_and_no_machine_of_its_own_for_it() -> None:
    lab = labs.load("lab4b")
    alone = plan_again(BOB, lab, "done", lab.topology, ())
    together = plan_again(BOB, lab, "done", lab.topology, (), belongs=Belonging("ops345", federated=True))
    assert [node.name for node in together.topology.nodes] == [node.name for node in alone.topology.nodes]
    assert [(network.name, network.subnet) for network in together.topology.networks[1:]] == [("wan", "198.19.44.0/29")]
    assert [node.address for node in together.topology.lent] == ["198.19.44.2"]
    assert together.at("relay").belongs.federated
    assert environment_labels(together.environment())["labenv.federated"] == "yes"


def test_what_a_class_could_not_share_is_refused() -> None:
    with pytest.raises(UsageError, match="no machine with the profile 'mars'"):
        topology.of(labs.load("lab4b"), BOB).lending("mars")


OPEN = {who: Door(who, f"vm3.{who}.ops") for who in STUDENTS}
FINE = {who: {to: Way(left=True, accepted=True, delivered=True) for to in STUDENTS if to != who} for who in STUDENTS}


def judged(
    doors: Mapping[str, Door], ways: Mapping[str, Mapping[str, Way]], unsent: Mapping[str, str] | None = None
) -> Matrix:
    pairs = dict(_pairs(STUDENTS, doors, ways, unsent or {}))
    of = Class(Path("/c"), "ops", "<Ops & co>", ZoneInfo("UTC"), (), (), federate=True)
    troubles = _troubles(STUDENTS, doors, pairs, unsent or {})
    return Matrix(of, datetime(2027, 1, 26, 12, tzinfo=UTC), 1.5, STUDENTS, doors, pairs, troubles)


def states(matrix: Matrix) -> list[str]:
    return [" ".join(pair.state if pair else "." for pair in matrix.row(who)) for who in STUDENTS]


def test_all_is_well() -> None:
    matrix = judged(OPEN, FINE)
    assert matrix.is_whole
    assert matrix.troubles == ()
    assert matrix.to_dict()["summary"] == {
        "pairs": 6, "delivered": 6, "accepted": 0, "refused": 0, "unfound": 0, "unsent": 0,
    }  # fmt: skip


def test_a_domain_without_an_mx_is_a_column_and_named_once() -> None:
    doors = OPEN | {"bob": Door("bob", words="there is no MX record in bob.ops")}
    ways = FINE | {"ada": {"cy": FINE["ada"]["cy"]}, "cy": {"ada": FINE["cy"]["ada"]}}
    matrix = judged(doors, ways)
    assert states(matrix) == [". unfound delivered", "delivered . delivered", "delivered unfound ."]
    assert matrix.troubles == (("bob", "gets no mail: there is no MX record in bob.ops"),)


def test_a_server_that_takes_mail_and_loses_it_is_a_column_and_named_once() -> None:
    lost = Way(left=True, accepted=True, words="Command died")
    ways = FINE | {who: FINE[who] | {"bob": lost} for who in ("ada", "cy")}
    matrix = judged(OPEN, ways)
    assert states(matrix) == [". accepted delivered", "delivered . delivered", "delivered accepted ."]
    assert matrix.troubles == (("bob", "takes mail, and does not deliver it: Command died"),)


def test_who_cannot_send_is_a_row_and_named_once() -> None:
    stuck = Way(words="Host not found")
    matrix = judged(OPEN, FINE | {"ada": {"bob": stuck, "cy": stuck}})
    assert states(matrix) == [". unsent unsent", "delivered . delivered", "delivered delivered ."]
    assert matrix.troubles == (("ada", "sends no mail: Host not found"),)
    asleep = judged(OPEN, FINE | {"ada": {}}, {"ada": "Postfix is not running on vm2"})
    assert asleep.troubles == (("ada", "sends no mail: Postfix is not running on vm2"),)


def test_one_server_that_refuses_one_other_is_nobodys_trouble() -> None:
    refused = Way(left=True, words="550 5.7.1 Client host rejected")
    matrix = judged(OPEN, FINE | {"ada": FINE["ada"] | {"bob": refused}})
    assert states(matrix)[0] == ". refused delivered"
    assert matrix.troubles == ()
    assert not matrix.is_whole


def test_machines_that_do_not_run_are_said_once_for_both_directions() -> None:
    down = "not all of its machines run"
    doors = OPEN | {"cy": Door("cy", words=down)}
    matrix = judged(
        doors, {who: {to: FINE[who][to] for to in ("ada", "bob") if to != who} for who in ("ada", "bob")}, {"cy": down}
    )
    assert matrix.troubles == (("cy", f"gets no mail: {down}"),)


def test_a_class_that_is_not_federated_is_told_what_to_do(tmp_path: Path) -> None:
    of = Class(tmp_path, "ops", "OPS", ZoneInfo("UTC"), (), ())
    with pytest.raises(UsageError, match=r"OPS is not federated.*`federate: true` into .*class\.yaml"):
        measure(None, of, None, silent)  # type: ignore[arg-type]


def test_the_page_escapes_what_machines_say_and_loads_nothing() -> None:
    words = "<script>alert(1)</script>\x1b[31m"
    text = page.html(judged(OPEN | {"bob": Door("bob", "x", words)}, FINE), again=10)
    assert "<script" not in text
    assert "\x1b" not in text
    assert "&lt;Ops &amp; co&gt;" in text
    assert 'http-equiv="refresh" content="10"' in text
    assert "default-src 'none'" in text
    assert 'refresh"' not in page.html(judged(OPEN, FINE))


def test_the_map_on_the_teachers_page_has_each_pair_and_no_markup() -> None:
    doors = OPEN | {"bob": Door("bob", words=MARKUP)}
    drawn = on_the_page.drawn(judged(doors, FINE).to_dict())
    assert drawn.count('class="unfound"') == 2
    assert drawn.count('class="delivered"') == 4
    assert f"ada → bob: {WORDS['unfound']}" in drawn
    assert MARKUP not in drawn
