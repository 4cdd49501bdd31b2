"""What a value does, however it is written: match lists, next hops, calls of the delivery agent, the place of mail."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from labenv.checks.evidence import CheckFailed
from labenv.checks.machine import Machine, Site
from labenv.labs.lab4b.checks.agent import LDA, tried
from labenv.labs.lab4b.checks.relay import relay_of, way_without_relayhost
from labenv.labs.lab4b.checks.store import is_their_maildir
from labenv.labs.lab4b.checks.trust import Trust, trust_of
from labenv.mail.match_list import BadNetworkError, Client, MatchList, network
from labenv.mail.settings import Dovecot, words
from labenv.mail.tables import UnusableTableError, closed
from labenv.student import Student

ADA = Student("asmith15", 90, "ada", "secret")
DOMAIN = "asmith15.ops"


class Told:
    """A machine that answers each command as it was told."""

    def __init__(self, name: str, address: str, answer: Callable[[str, tuple[str, ...]], tuple[int, str, str]]) -> None:
        self.name, self.address, self.fqdn = name, address, f"{name}.{DOMAIN}"
        self._answer = answer

    def run(self, command: str, *args: str) -> Any:
        rc, stdout, stderr = self._answer(command, args)
        return SimpleNamespace(rc=rc, stdout=stdout, stderr=stderr)

    once = run


def told(
    answer: Callable[[str, tuple[str, ...]], tuple[int, str, str]], name: str = "vm3", address: str = "192.168.90.4"
) -> Machine:
    return cast(Machine, Told(name, address, answer))


def tables(**contents: dict[str, str]) -> Machine:
    """A machine with tables (texthash) and files of these names in /."""

    def answer(command: str, args: tuple[str, ...]) -> tuple[int, str, str]:
        if "postmap" in command:
            _, keys, table, _ = args
            held = contents.get(table.partition(":/")[2])
            if held is None:
                return 1, "", f"postmap: fatal: open {table}: No such file or directory"
            return 0, "".join(f"{key}\t{held[key]}\n" for key in keys.split("\n") if key in held), ""
        held = contents.get(args[0].removeprefix("/"))
        return (0, "\n".join(held), "") if held is not None else (1, "", "no such file")

    return told(answer)


class Place(SimpleNamespace):
    """An environment: its student and machines."""

    def __getitem__(self, name: str) -> Machine:
        return cast(Machine, self.machines[name])


def lab(relayhost: str = "", main_cf: str = "", dig: str = "", **contents: dict[str, str]) -> Site:
    """An environment whose vm2 has these lines in main.cf and these tables, and whose DNS answers everything with `dig`."""
    settings = f"relayhost = {relayhost}\n{main_cf}\ntransport_maps =\ndefault_transport = smtp\n"
    filled = tables(**contents)

    def answer(command: str, args: tuple[str, ...]) -> tuple[int, str, str]:
        if "postconf" in command or command.startswith("cat"):
            return 0, settings, ""
        if command.startswith("dig"):
            return 0, dig, ""
        result = filled.run(command, *args)
        return result.rc, result.stdout, result.stderr

    machines = {name: told(answer, name, f"192.168.90.{last}") for name, last in (("host", 1), ("vm2", 3), ("vm3", 4))}
    return cast(Site, Place(student=ADA, machines=machines))


def test_members_of_a_list_are_separated_by_blanks_or_commas_but_not_in_braces() -> None:
    assert words("a, b\tc,d") == ["a", "b", "c", "d"]
    assert words("cidr:{{10.0.0.0/8 OK}, {b c}} x") == ["cidr:{{10.0.0.0/8 OK}, {b c}}", "x"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("192.168.90.1/24", "host bits.*192.168.90.0/24"),
        ("192.168.90.0/255.255.255.0", "a mask in dots.*/24"),
        ("192.168.90.0/254", "/254.*/24"),
        ("192.168.90/24", "192.168.90 is not an address"),
        ("[::1]/200", "/200"),
    ],
)
def test_a_word_that_postfix_refuses_as_a_network_is_refused_with_the_reason(word: str, reason: str) -> None:
    with pytest.raises(BadNetworkError, match=reason):
        network(word)


@pytest.mark.parametrize("word", ["192.168.X.0/24", "192.168.90.0/24;", "vm2.asmith15.ops", "#", "192.168.90", "abc"])
def test_a_word_that_postfix_passes_over_is_no_network(word: str) -> None:
    assert network(word) is None


@pytest.mark.parametrize(
    ("value", "has"),
    [
        ("asmith15.ops", True),
        ("ASMITH15.OPS, localhost", True),
        ("!asmith15.ops, asmith15.ops", False),
        ("asmith15.ops, !asmith15.ops", True),
        (".asmith15.ops", False),
        ("/list", True),
        ("!/list, asmith15.ops", False),
        ("hash:/table", True),
        ("hash:/empty", False),
    ],
)
def test_the_first_pattern_that_fits_a_name_decides(value: str, has: bool) -> None:
    machine = tables(list={"# the domain": "", "asmith15.ops": ""}, table={"asmith15.ops": "OK"}, empty={})
    assert MatchList(machine, value, [DOMAIN]).has_name(DOMAIN) == has


def test_a_file_that_reads_itself_ends_the_reading() -> None:
    with pytest.raises(CheckFailed, match="reads itself"):
        MatchList(tables(list={"/list": ""}), "/list", [])


def test_a_file_or_table_that_is_not_there_is_told() -> None:
    with pytest.raises(CheckFailed, match="cannot read /list"):
        MatchList(tables(), "/list", [])
    with pytest.raises(UnusableTableError, match="No such file"):
        MatchList(tables(), "hash:/nets", ["a"]).has_name("a")


def test_a_domain_in_the_list_stands_for_its_clients() -> None:
    listed = MatchList(tables(), DOMAIN, [])
    assert listed.decides(Client("192.168.90.3", f"VM2.{DOMAIN}"))
    assert listed.decides(Client("192.168.90.3")) is None


@pytest.mark.parametrize(
    "value",
    [
        "192.168.90.0/24",
        "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128 192.168.90.0/24",
        "[fe80::]/10 [::ffff:192.168.90.0]/120 192.168.90.0/25, 192.168.90.128/25",
        "192.168.90.0/24, !192.168.90.3",
        "!10.0.0.0/8, 192.168.90.0/24",
    ],
)
def test_lists_that_trust_the_lab_alone(value: str) -> None:
    assert trust_of(tables(), value, lab()) == Trust((), (), (), ())


@pytest.mark.parametrize(
    ("value", "culprit"),
    [
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("192.168.90.0/24 192.168.88.0/22", "192.168.88.0/22"),
        ("192.168.90.0/24 192.168.0.0/16", "192.168.0.0/16"),
        ("192.168.90.0/24 8.8.4.4", "8.8.4.4"),
        ("192.168.90.0/24 [::]/0", "[::]/0"),
        ("192.168.90.0/24 hash:/nets", "hash:/nets"),
    ],
)
def test_a_list_that_trusts_strangers_is_blamed_by_its_word(value: str, culprit: str) -> None:
    trust = trust_of(tables(nets={"192.168.5.77": "OK"}), value, lab())
    assert {str(pattern) for _, pattern in trust.strangers} == {culprit}


@pytest.mark.parametrize(
    ("value", "words", "has_machines"),
    [
        ("!192.168.90.3, 192.168.90.0/24", r"excludes vm2.asmith15.ops \(192.168.90.3\), by !192.168.90.3", False),
        ("192.168.90.0", "192.168.90.0/24", False),
        ("192.168.90.0/24;", "passes over 192.168.90.0/24;", False),
        ("192.168.90.0/25", "does not have 192.168.90.128", True),
        ("192.168.90.3", "host.asmith15.ops", False),
    ],
)
def test_a_list_that_leaves_some_of_the_lab_out_says_whom_and_why(value: str, words: str, has_machines: bool) -> None:
    trust = trust_of(tables(), value, lab())
    assert trust.left_out
    assert trust.has_machines == has_machines
    assert re.search(words, trust.narrow(ADA.network))


@pytest.mark.parametrize(
    "value",
    [
        *("vm3.asmith15.ops", "[VM3.asmith15.ops]:25", "asmith15.ops", "[192.168.90.4]:smtp", "192.168.90.4"),
        *("[vm3.asmith15.ops]:25, [192.168.90.4]:25", "vm3.asmith15.ops:mail"),
    ],
)
def test_relay_hosts_that_are_vm3_whatever_the_dns_says(value: str) -> None:
    assert relay_of(lab(value)).leads_to_vm3


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("vm3", "the DNS does not know vm3; your domain is asmith15.ops"),
        ("vm3.asmith15.ops.", "ends with a dot"),
        ("vm3.<yourdomain>.ops", "no host name"),
        ("vm3.asmith15.ops;", "no host name"),
        ("[vm3.asmith15.ops", "neither"),
        ("smtp:[vm3.asmith15.ops]", "neither"),
        ("vm3.asmith15.ops:587", "port 587"),
        ("[192.168.90.3]", "not the address of vm3"),
        ("vm3.asmith15.ops, vm33.asmith15.ops", "does not know vm33"),
    ],
)
def test_relay_hosts_that_are_not_vm3_say_why(value: str, fault: str) -> None:
    relay = relay_of(lab(value))
    assert not relay.leads_to_vm3
    assert fault in "; ".join(relay.faults)


def test_a_comment_alone_is_no_relay_host() -> None:
    assert not relay_of(lab("# Format: [host]:port")).leads_to_vm3


@pytest.mark.parametrize(
    ("value", "dig", "leads"),
    [
        ("[mail.asmith15.ops]", "mail.asmith15.ops. 300 IN A 192.168.90.4", True),
        ("[mail.asmith15.ops]", "mail.asmith15.ops. 300 IN A 192.168.90.3", False),
        (
            "[mail.asmith15.ops]",
            "mail.asmith15.ops. 300 IN A 192.168.90.4\nmail.asmith15.ops. 300 IN A 10.0.0.1",
            False,
        ),
        ("mail.asmith15.ops", "mail.asmith15.ops. 300 IN MX 5 vm3.asmith15.ops.\nx. 3 IN A 192.168.90.4", True),
    ],
)
def test_another_name_is_looked_up_where_the_mail_would_go(value: str, dig: str, leads: bool) -> None:
    assert relay_of(lab(value, dig=dig)).leads_to_vm3 == leads


@pytest.mark.parametrize(
    ("main_cf", "way"),
    [
        ("", ""),
        ("default_transport = smtp:[vm3.asmith15.ops]", "default_transport is smtp:[vm3.asmith15.ops]"),
        ("default_transport = smtp:[vm2.asmith15.ops]", ""),
        ("default_transport = discard:[vm3.asmith15.ops]", ""),
        ("transport_maps = hash:/transport", "transport_maps has :[192.168.90.4]"),
    ],
)
def test_mail_may_reach_vm3_without_a_relay_host(main_cf: str, way: str) -> None:
    assert way_without_relayhost(lab(main_cf=main_cf, transport={"*": ":[192.168.90.4]"})) == way


def test_a_table_that_cannot_be_opened_is_named_with_its_parameter() -> None:
    vm2 = lab(main_cf="smtp_sasl_password_maps = hash:/sasl\nalias_maps = hash:/aliases", aliases={})["vm2"]
    assert [str(table) for table in closed(vm2, ".*")] == [
        "smtp_sasl_password_maps on vm2 names hash:/sasl, which Postfix cannot open "
        "(open hash:/sasl: No such file or directory)"
    ]
    assert closed(vm2, "alias.*") == []


def agent(said: str) -> Machine:
    """A machine on which the path is the agent, and the run of the command prints this."""
    return told(lambda command, _: (0, f"= {LDA}\n" if "-ef" in command else said, ""))


def printed(*arguments: str) -> str:
    return "".join(f"agent,:,{argument},:," for argument in arguments)


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        (("-f", "sam@example.com", "-a", "asmith15@asmith15.ops"), True),
        (("-e", "-f", "sam@example.com", "-a", "asmith15@asmith15.ops"), True),
        (("-fsam@example.com", "-aasmith15@asmith15.ops", "-d", "asmith15"), True),
        (("-f", "sam@example.com", "-a", "asmith15@asmith15.ops", "-d", "root"), False),
        (("-f", "'$SENDER'", "-a", "'$RECIPIENT'"), False),
        (("-f", "''", "-a", "''"), False),
        (("-f", "asmith15@asmith15.ops", "-a", "sam@example.com"), False),
        (("-f", "sam@example.com"), False),
        (("-x", "-f", "sam@example.com", "-a", "asmith15@asmith15.ops"), False),
        (("''",), False),
    ],
)
def test_the_agents_call_is_right_if_it_is_told_sender_and_recipient(arguments: tuple[str, ...], right: bool) -> None:
    run = printed(*arguments)
    assert tried(agent(f"{run}---{run}"), f'{LDA} -f "$SENDER"', ADA).calls[0].is_right == right


def test_a_command_that_does_not_call_the_agent_or_hides_it_has_no_calls() -> None:
    assert not tried(agent("---"), f"{LDA} | cat >/dev/null", ADA).calls
    assert not tried(agent("never asked"), "", ADA).calls
    refused = tried(agent(f"sh: 1: {LDA} -f: not found---"), f'"{LDA} -f"', ADA)
    assert (refused.calls, refused.remark) == ((), f"the shell says: sh: 1: {LDA} -f: not found")


@pytest.mark.parametrize(
    "location",
    [
        *("maildir:~/Maildir", "maildir:~/Maildir/", "maildir:%h/Maildir", "maildir:/home/%u/Maildir"),
        *("maildir:/home/%Ln/Maildir", "maildir:%{home}/Maildir", "maildir:~/Maildir:LAYOUT=fs"),
    ],
)
def test_places_that_are_the_users_maildir(location: str) -> None:
    assert is_their_maildir(homes(), location, ADA)


@pytest.mark.parametrize(
    "location",
    [
        *("", "maildir: ~/Maildir", "maildir:~/maildir", "mbox:~/Maildir", "maildir:Maildir", "maildir:$HOME/Maildir"),
        *("maildir:/home/asmith15/Maildir", "maildir:/var/mail/%u", "maildir:~/Maildir:INBOX=/var/mail/%u"),
    ],
)
def test_places_that_are_not(location: str) -> None:
    assert not is_their_maildir(homes(), location, ADA)


def homes() -> Machine:
    """A machine with both of the student's users."""
    users = "asmith15:x:1000:1000::/home/asmith15:/bin/bash\nada:x:1001:1001::/home/ada:/bin/bash\n"
    return told(lambda *_: (0, users, ""))


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("protocols = imap   # only this", True),
        ('protocols = "imap"', True),
        ("protocols = imap  ", True),
        ("protocols = imap#x", False),
        ("protocols = imap pop3", False),
    ],
)
def test_a_line_of_dovecots_is_compared_as_dovecot_reads_it(line: str, same: bool) -> None:
    said = f"/etc/dovecot/dovecot.conf:{line}\n/etc/dovecot/conf.d/99-local.conf:  {line}\n"
    found = Dovecot(told(lambda *_: (0, said, "")), True, "", {"protocols": "imap"}).setting(
        "protocols", "dovecot.conf"
    )
    assert bool(found.lines) == same
    assert found.others == (("/etc/dovecot/conf.d/99-local.conf",) if same else ())
