"""What is carried of the files that every machine has: names, addresses, saved firewall rules, what changes a unit."""

import re

from labenv.checks import interface
from labenv.checks.carried import Law, by_lines, is_plain
from labenv.lab.model import Lab

_SETTING = re.compile(r"\s*(#.*|\w+=(\"[^\"`$\\]*\"|'[^']*'|[^\s\"'`$\\;&|<>()]*)\s*(#.*)?)?\r?")
# Each option takes one word or a string; -M names the program that loads modules (iptables(8)), and a module's name is none of a file.
_RULE = re.compile(r"\s*(#.*|\*\w+|:[\w-]+ \S+( \[\d+:\d+\])?|COMMIT|(\[\d+:\d+\] )?-\S.*)?\s*")
_LOADER = re.compile(r"(^|\s)(-[A-Za-z]*M\S*|--mo(d|dp\S*)?)(\s|=|$)")
_MODULE = re.compile(r"(?:^|\s)(?:-[mjgp]|--(?:match|jump|goto|protocol))[\s=]*([\"']?)(\S*)\1")
# What of a unit a drop-in may change: conditions, order, and when it is started again (systemd.unit(5), systemd.service(5)).
_UNIT = re.compile(
    r"Description|Documentation|After|Before|Wants|Requires|Requisite|BindsTo|PartOf|Upholds|Conflicts|(Condition|Assert)\w+|"
    r"StartLimit(IntervalSec|Burst)|RefuseManual(Start|Stop)|DefaultDependencies|Restart(Sec)?|Timeout(Start|Stop)?Sec|Nice|KillMode|"
    r"Limit(NOFILE|NPROC)|WantedBy|RequiredBy|Alias|Also"
)


def of(lab: Lab) -> tuple[Law, ...]:
    """The laws for a lab's files: its kits', then those of every machine."""
    return (*(law for kit in interface.of(lab) for law in kit.laws), *COMMON)


def _setting(line: str) -> str:
    return is_plain(line) or ("" if _SETTING.fullmatch(line) else "not NAME=VALUE")


def _rule(line: str) -> str:
    if said := is_plain(line):
        return said
    if _LOADER.search(line):
        return "it names a program that loads modules"
    if any(not re.fullmatch(r"[\w-]*", name) for _, name in _MODULE.findall(line)):
        return "it names a module by its file"
    return "" if _RULE.fullmatch(line) else "no rule"


def _drop_in(line: str) -> str:
    name, equals, value = line.partition("=")
    name = name.strip()
    if (said := is_plain(line)) or not line.strip() or line.lstrip()[0] in "#;":
        return said
    if line.rstrip().endswith("\\"):
        return "it goes on in the next line"
    if not equals:
        return "" if re.fullmatch(r"\s*\[\w+\]\s*", line) else "not NAME=VALUE"
    takes_away = name.startswith("Exec") and not value.strip()  # what the unit itself would run
    return "" if _UNIT.fullmatch(name) or takes_away else f"{name[:40]}="


COMMON = (
    Law(("/etc/hosts", "/etc/resolv.conf", "/etc/hostname"), by_lines(is_plain)),
    Law(("/etc/sysconfig/network-scripts/ifcfg-*",), by_lines(_setting)),
    Law(("/etc/sysconfig/iptables", "/etc/iptables/rules.v4"), by_lines(_rule)),
    Law(("/etc/systemd/system/systemd-*.d/*.conf", "/etc/systemd/system/ssh.service.d/keys.conf")),  # the images' own
    Law(("/etc/systemd/system/*.d/*.conf",), by_lines(_drop_in)),
)
# They are asked for in each machine; the lab says what else is carried.
EVERYWHERE = tuple(path for law in COMMON if law.judge for path in law.paths)
