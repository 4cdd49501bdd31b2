"""What a check says about a wrong setting: the typo, the second line, the placeholder."""

import pytest

from labenv.checks.evidence import CheckFailed, Evidence
from labenv.labs.lab4b.checks.dns import Exchangers, _records
from labenv.mail.settings import Setting, expect, set_in_file


def relayhost(value: str, lines: tuple[str, ...], *complaints: str) -> Setting:
    said = tuple(f"postconf: warning: /etc/postfix/main.cf{complaint}" for complaint in complaints)
    return Setting("relayhost", "vm2", value, "/etc/postfix/main.cf", lines, said)


@pytest.mark.parametrize(
    ("setting", "remark"),
    [
        (
            relayhost("", (), ": unused parameter: relayhots=vm3.asmith15.ops"),
            "main.cf has 'relayhots', which is unknown to Postfix; did you mean relayhost?",
        ),
        (relayhost("", (), ": unused parameter: my_own=1"), ""),
        (
            relayhost("a", ("relayhost = vm3", "relayhost = a"), ", line 3: overriding earlier entry: relayhost=vm3"),
            "main.cf sets it 2 times, and the last line counts",
        ),
        (
            relayhost("vm3.", ("relayhost = vm3.$mydomian",), ": undefined parameter: mydomian"),
            "$mydomian is not a parameter of Postfix; did you mean $mydomain?",
        ),
        (
            relayhost("vm3.<yourdomain>.ops", ("relayhost = vm3.<yourdomain>.ops",)),
            "replace what the sheet has in angle brackets, including the brackets",
        ),
        (
            relayhost("vm3 # mine", ("relayhost = vm3 # mine",)),
            "main.cf has no comments at the end of a line: '# mine' is part of the value",
        ),
        (
            Setting("myorigin", "vm2", "mydomain", "/etc/postfix/main.cf", ("myorigin = mydomain",), (), ("mydomain",)),
            "mydomain is the name of a parameter; $mydomain is its value",
        ),
        (relayhost("vm2.asmith15.ops", ("relayhost = vm2.asmith15.ops",)), ""),
    ],
)
def test_the_likely_mistake_is_named(setting: Setting, remark: str) -> None:
    assert setting.remark == remark


def test_the_mistake_is_part_of_the_evidence_only_where_the_value_is_wrong() -> None:
    setting = relayhost("vm3", ("relayhost = a", "relayhost = vm3"))
    evidence = Evidence()
    expect(setting, True, "vm3", evidence)
    assert str(evidence) == "relayhost on vm2 is vm3 (expected: vm3)"
    with pytest.raises(CheckFailed, match=r"relayhost on vm2 is vm3 \(main.cf sets it 2 times.*expected: vm4"):
        expect(setting, False, "vm4", evidence, "not said, as there is a better reason")


@pytest.mark.parametrize("lines", [(), ("relayhost = a", "relayhost = vm3")])
def test_a_right_value_from_elsewhere_or_written_twice_is_doubted(lines: tuple[str, ...]) -> None:
    evidence = Evidence()
    set_in_file(relayhost("vm3", lines), evidence)
    assert evidence.doubts


VM3 = {"vm3.asmith15.ops.": "192.168.90.4", "vm2.asmith15.ops.": "192.168.90.3", "mail.asmith15.ops.": "192.168.90.4"}


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ((), "has no MX record"),
        (("10 vm2.asmith15.ops.",), "MX 10 vm2"),
        (("10 vm3.asmith15.ops.", "10 vm2.asmith15.ops."), "MX 10 vm3"),
        (("10 vm3.asmith15.ops.asmith15.ops.",), "the domain twice"),
        (("10 192.168.90.4.asmith15.ops.",), "a name, not an address"),
        (("10 www.asmith15.ops.",), "no address"),
        (("10 mx.asmith15.ops.",), "an alias"),
        (("0 .",), "takes no mail"),
    ],
)
def test_exchangers_that_are_not_vm3(records: tuple[str, ...], words: str) -> None:
    zone = Exchangers(records, VM3, frozenset({"mx.asmith15.ops."}))
    with pytest.raises(CheckFailed, match=words):
        zone.judge("the zone has", "asmith15.ops", "192.168.90.4", Evidence())


@pytest.mark.parametrize(
    ("records", "doubts"),
    [
        (("0 VM3.asmith15.ops.",), 0),
        (("10 vm3.asmith15.ops.", "20 vm2.asmith15.ops."), 0),
        (("10 mail.asmith15.ops.",), 1),
    ],
)
def test_exchangers_that_are_vm3(records: tuple[str, ...], doubts: int) -> None:
    evidence = Evidence()
    Exchangers(records, VM3).judge("the zone has", "asmith15.ops", "192.168.90.4", evidence)
    assert len(evidence.doubts) == doubts


def test_a_server_may_give_mx_records_of_one_preference_in_any_order() -> None:
    lines = [f"asmith15.ops. 86400 IN MX {record}" for record in ("10 vm3.asmith15.ops.", "10 mail.asmith15.ops.")]
    there = {_records("\n".join(order), "asmith15.ops") for order in (lines, lines[::-1])}
    assert there == {("10 mail.asmith15.ops.", "10 vm3.asmith15.ops.")}
