"""Where a machine has its saved firewall rules is a property of its image."""

import pytest

from labenv.environment import SavedRules, saved_rules


def test_an_image_says_where_its_dialect_has_them() -> None:
    said = saved_rules("/etc/iptables/rules.v4 netfilter-persistent netfilter-persistent save")
    assert said == SavedRules("/etc/iptables/rules.v4", "netfilter-persistent", "netfilter-persistent save")


@pytest.mark.parametrize(
    "label",
    ["", "/etc/rules", "/etc/rules; reboot iptables save", "../rules x save", "/etc/a\x1b[2J x", f"/{'x' * 200} x"],
)
def test_what_says_nothing_or_nonsense_has_them_where_the_course_does(label: str) -> None:
    assert saved_rules(label) == SavedRules("/etc/sysconfig/iptables", "iptables", "service iptables save")
