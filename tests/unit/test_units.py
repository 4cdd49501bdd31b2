"""What systemd says about a service, read as whether it runs and what will keep it from starting at boot."""

from types import SimpleNamespace
from typing import cast

import pytest

from labenv.checks.machine import Machine
from labenv.checks.units import Unit, look, read

DROP_IN = "/etc/systemd/system/dovecot.service.d/local.conf"
REACHED = "multi-user.target\n  dovecot.service\n  rsyslog.service\n"


def said(
    *,
    files: str = "dovecot.service enabled enabled\n",
    boot: str = REACHED,
    conflicts: str = "shutdown.target",
    changed: str = f"1700000000 {DROP_IN}\n",
    settings: str = "",
    missing: str = "",
    verify: str = "",
    conditions: str = "",
) -> str:
    """What a machine answers, as systemd 252 prints it."""
    state = f"Id=dovecot.service\nConflicts={conflicts}\nActiveState=active\nActiveEnterTimestamp=@1795956601\n"
    return (
        f"=== files\n{files}=== state\nId=postfix.service\nActiveState=inactive\n\n{state}=== boot\n{boot}=== changed\n{changed}"
        f"=== settings\n{settings}=== missing\n{missing}=== verify\n{verify}=== conditions\n{conditions}"
    )


def test_a_service_that_runs_and_starts_at_boot_has_nothing_in_its_way() -> None:
    assert read(said(), "dovecot") == Unit("dovecot", "active", "enabled")


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        (
            {
                "settings": f"{DROP_IN}:ConditionPathExists=/etc/dovecot/enabled\n",
                "conditions": "dovecot.service: ConditionPathExists=/etc/dovecot/enabled failed.\nConditions failed.\n",
            },
            f"ConditionPathExists=/etc/dovecot/enabled is not met ({DROP_IN})",
        ),
        (
            {"conditions": "dovecot.service: AssertHost=vm9 failed.\nAsserts failed.\n"},
            "AssertHost=vm9 is not met",
        ),
        (
            {"settings": f"{DROP_IN}:ExecStartPre=/usr/bin/nothing\n", "missing": "/usr/bin/nothing\n"},
            f"/usr/bin/nothing cannot be run ({DROP_IN})",
        ),
        (
            {
                "verify": "dovecot.service: Service has more than one ExecStart= setting, which is only allowed for "
                "Type=oneshot services. Refusing.\nUnit dovecot.service has a bad unit file setting.\n"
            },
            "Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services",
        ),
        (
            {"boot": "rescue.target\n  sysinit.target\n"},
            "the default target, rescue.target, does not start it",
        ),
        (
            {"conflicts": "shutdown.target rsyslog.service", "settings": f"{DROP_IN}:Conflicts=rsyslog.service\n"},
            f"it conflicts with rsyslog.service, which starts too ({DROP_IN})",
        ),
    ],
)
def test_what_will_keep_a_service_from_starting_is_named_with_its_file(change: dict[str, str], obstacle: str) -> None:
    assert read(said(**change), "dovecot").obstacles == (obstacle,)


def test_a_required_unit_that_is_masked_is_why_the_service_cannot_be_started_again() -> None:
    unit = read(
        said(
            settings=f"{DROP_IN}:Requires=ssh.socket\n",
            verify="dovecot.service: Failed to create dovecot.service/start: Unit ssh.socket is masked.\n",
        ),
        "dovecot",
    )
    assert (unit.obstacles, unit.refusal) == ((), f"unit ssh.socket is masked ({DROP_IN})")


@pytest.mark.parametrize(
    "change",
    [
        {
            "conditions": "dovecot.service: ConditionPathExists=|/nowhere failed.\n"
            "dovecot.service: ConditionPathExists=|/etc succeeded.\nConditions succeeded.\n"
        },
        {"conditions": "iptables.service: ConditionPathExists=/etc/sysconfig/iptables failed.\nConditions failed.\n"},
        {"verify": "postfix.service: Failed to create postfix.service/start: Unit ssh.socket is masked.\n"},
        {"verify": f"{DROP_IN}:3: Unknown key name 'Colour' in section 'Service', ignoring.\n"},
        {
            "settings": "/etc/systemd/system/postfix.service:ExecStart=/usr/bin/nothing\n",
            "missing": "/usr/bin/nothing\n",
        },
        {"files": "dovecot.service disabled enabled\n", "boot": "multi-user.target\n"},
    ],
    ids=[
        "one alternative holds",
        "another's condition",
        "another's need",
        "an odd key",
        "another's program",
        "disabled",
    ],
)
def test_what_keeps_no_service_from_starting_is_no_obstacle(change: dict[str, str]) -> None:
    unit = read(said(**change), "dovecot")
    assert (unit.obstacles, unit.refusal) == ((), "")


def test_a_file_that_was_changed_after_the_start_is_named_and_one_from_before_is_not() -> None:
    later = said(changed=f"1700000000 /lib/systemd/system/dovecot.service\n1795956700 {DROP_IN}\n")
    assert read(later, "dovecot").changed == (DROP_IN,)


def test_a_service_that_is_not_installed_is_neither_enabled_nor_in_anybodys_way() -> None:
    assert read(said(files=""), "named") == Unit("named", "", "")


@pytest.mark.parametrize("nonsense", ["", "\x00\x01", "=== files\ndovecot.service\n=== state\nId=\n=== boot\n"])
def test_an_answer_without_sense_says_nothing(nonsense: str) -> None:
    assert read(nonsense, "dovecot") == Unit("dovecot", "", "")


def shallow(wants: str, *, basic: str = "", conflicts: str = "shutdown.target", enabled: str = "enabled") -> str:
    """What a machine answers at first, without the tree of the default target."""
    return (
        f"=== files\ndovecot.service {enabled} enabled\n=== target\nmulti-user.target\n=== state\n"
        f"Id=dovecot.service\nConflicts={conflicts}\nActiveState=active\nActiveEnterTimestamp=@1795956601\n\n"
        f"Id=multi-user.target\nWants={wants}\nRequires=basic.target\n\nId=basic.target\nWants={basic}\nRequires=sysinit.target\n"
        "=== changed\n=== settings\n=== missing\n=== verify\n=== conditions\n"
    )


@pytest.mark.parametrize(
    ("first", "asks_again"),
    [
        (shallow("dovecot.service rsyslog.service"), False),
        (shallow("rsyslog.service", basic="dovecot.service"), False),
        (shallow("rsyslog.service", enabled="disabled"), False),
        (shallow("rsyslog.service"), True),
        (shallow("dovecot.service", conflicts="shutdown.target rsyslog.service"), True),
    ],
)
def test_the_whole_tree_of_a_boot_is_asked_for_only_where_it_decides(first: str, asks_again: bool) -> None:
    asked: list[str] = []

    def once(command: str) -> SimpleNamespace:
        asked.append(command)
        tree = "=== boot\nmulti-user.target\n  rsyslog.service\n"
        return SimpleNamespace(stdout=first if len(asked) == 1 else tree, rc=0)

    unit = look(cast(Machine, SimpleNamespace(once=once)), ("dovecot",))["dovecot"]
    assert len(asked) == 1 + asks_again
    assert unit.obstacles == (("the default target, multi-user.target, does not start it",) if asks_again else ())
