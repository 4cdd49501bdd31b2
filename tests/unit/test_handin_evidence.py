"""The course's evidence: settings that are in force but hidden from the course's marker get a remark."""

from labenv.classroom.handins import handin
from labenv.classroom.handins.evidence import unseen
from labenv.lab import labs

WANTED = handin.wanted(labs.load("lab4b"))
FIELDS = {entry.title: entry for entry in WANTED.fields}


def test_the_fields_stand_in_the_order_of_the_courses_check() -> None:
    words = ["date", "hostname", "getenforce", "iptables -L -v -n", "UUID", "main.cf", "is-active postfix"]
    words += ["is-enabled postfix", "host -t mx", "dovecot.conf", "10-ssl", "10-auth", "10-mail", "is-active dovecot"]
    words += ["is-enabled dovecot", "bash_history", "maillog"]
    commands = [entry.command for entry in WANTED.fields]
    places = [next(place for place, command in enumerate(commands) if word in command) for word in words]
    assert places == sorted(places)


def test_a_value_that_shows_is_not_remarked_on() -> None:
    assert unseen(FIELDS["Dovecot TLS"], "vm3", "ssl=yes\n", "ssl = yes\n") == []


def test_a_value_from_another_file_is_remarked_on() -> None:
    [remark] = unseen(FIELDS["Dovecot TLS"], "vm3", "", "ssl = yes\n")
    assert "ssl is yes" in remark
    assert "10-ssl.conf" in remark


def test_a_value_on_several_lines_is_remarked_on() -> None:
    shown, holds = "mydestination = $mydomain,\n", "mydestination = $mydomain, localhost\n"
    [remark] = unseen(FIELDS["Postfix settings"], "vm3", shown, holds)
    assert remark.startswith("On vm3, mydestination is $mydomain, localhost, but")
