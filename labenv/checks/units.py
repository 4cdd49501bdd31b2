"""Services as systemd has them: whether they run, whether they start at boot, and what will keep them from it.

What is asked is what is on the disk, where systemd can be asked about it: a boot reads that, whatever was loaded before.
"""

import re
import shlex
from dataclasses import dataclass, replace
from functools import lru_cache

from labenv.checks.machine import Machine

# Of a unit's settings, those that may keep it from starting (systemd.unit(5), systemd.service(5)).
_DECIDING = "(Condition|Assert)[A-Za-z]+|Exec(Condition|StartPre|Start|StartPost)|Requires|Requisite|BindsTo|Conflicts|EnvironmentFile|User|Group"
_SECTION = "=== "
# What the default target pulls in, at any distance. It takes as long as all the rest: mostly the targets' own settings tell enough.
_TARGET = "target=$(readlink /etc/systemd/system/default.target || readlink /lib/systemd/system/default.target)"
_TREE = f"{_TARGET}; echo '=== boot'; systemctl list-dependencies --plain --all ${{target##*/}} 2>&1"
# `verify` looks at the first program of each kind only; it ends at the first unit that does not exist, and `condition` takes one unit,
# and as long as `verify`: a file that is there needs no such question.
_ASK = r"""
sections() {
    echo '=== files'; systemctl list-unit-files --plain --no-legend "$@"
    TARGET
    echo '=== target'; echo "${target##*/}"
    echo '=== state'; systemctl show --timestamp=unix -p Id -p ActiveState -p ActiveEnterTimestamp -p Wants -p Requires \
        -p Conflicts -p ConflictedBy -p EnvironmentFiles -p User -p Group "$@" "${target##*/}" basic.target
    paths=
    for unit; do
        for tree in /lib /run /etc; do
            for path in $tree/systemd/system/$unit $tree/systemd/system/$unit.d/*.conf; do
                [ ! -f "$path" ] || paths="$paths $path"
            done
        done
    done
    echo '=== changed'; stat -c '%Y %n' /dev/null $paths
    settings=$(grep -HE '^[[:space:]]*(DECIDING)[[:space:]]*=' /dev/null $paths)
    echo '=== settings'; echo "$settings"
    echo '=== missing'
    echo "$settings" | sed -nE 's/^[^:]*:[[:space:]]*Exec[^=]*=[[:space:]]*[@:+!|]*([^-[:space:]][^[:space:]]*).*/\1/p' |
        while read -r program; do command -v "$program" >/dev/null || echo "$program"; done
    there=
    for unit; do case $paths in *"/$unit"*) there="$there $unit" ;; esac; done
    echo '=== verify'; [ -z "$there" ] || systemd-analyze verify --man=no --generators=no $there
    echo '=== conditions'
    for unit in $there; do
        unmet=
        for setting in $(grep -hsE '^[[:space:]]*(Condition|Assert)' /*/systemd/system/$unit /*/systemd/system/$unit.d/*.conf); do
            case $setting in ConditionPathExists=/*) [ -e "${setting#*=}" ] || unmet=1 ;; *) unmet=1 ;; esac
        done
        [ -z "$unmet" ] || systemd-analyze condition --unit="$unit"
    done
}
sections UNITS 2>&1
""".replace("DECIDING", _DECIDING).replace("TARGET", _TARGET)


@dataclass(frozen=True)
class Unit:
    """A service: `active` and `enabled` in systemctl(1)'s words, "" if it is not installed.

    `obstacles` say, in words, why it will not start at boot, `refusal` why systemctl(1) would not start it. A boot starts a
    service even if a unit that it requires is masked or missing: systemd 252 keeps the job that it has made for it.
    `changed` are its files that were changed since it started.
    """

    name: str
    active: str
    enabled: str
    obstacles: tuple[str, ...] = ()
    refusal: str = ""
    changed: tuple[str, ...] = ()


def look(machine: Machine, names: tuple[str, ...]) -> dict[str, Unit]:
    """The services of these names on a machine, looked up once for all checks of a run."""
    said = str(machine.once(_ASK.replace("UNITS", " ".join(f"{name}.service" for name in names))).stdout)
    if any(_is_unclear(_sections(said), f"{name}.service") for name in names):
        said += str(machine.once(_TREE).stdout)
    found = {name: read(said, name) for name in names}
    return {name: unit if unit.obstacles else _with_accounts(machine, said, unit) for name, unit in found.items()}


def wrong_line(machine: Machine, name: str) -> str:
    """The complaint about a line of a file with which the last start of a service failed; "" if its journal has none.

    named-checkconf(8) and named(8) write such a line first, and then what follows from it.
    """
    log = machine.run(
        "journalctl --no-pager -o cat -n 50 _SYSTEMD_UNIT=%s.service + UNIT=%s.service", name, name
    ).stdout
    begin = log.rfind("\nStarting ")
    found = re.search(r"^(?:\w+: )?(\S+:\d+: .*)", log[max(begin, 0) :], re.MULTILINE)
    return found[1] if found else ""


def read(said: str, name: str) -> Unit:
    """A service, in what a machine answered to `look`."""
    unit = f"{name}.service"
    sections = _sections(said)
    state = _state(sections.get("state", []), unit)
    enabled = [line.split()[1] for line in sections.get("files", []) if line.split()[:1] == [unit] and " " in line]
    since = int(state.get("ActiveEnterTimestamp", "").lstrip("@") or 0)
    changed = tuple(
        path
        for time, _, path in (line.partition(" ") for line in sections.get("changed", []))
        if f"/{unit}" in path and time.isdigit() and 0 < since < int(time)
    )
    settings = [line for line in sections.get("settings", []) if f"/{unit}" in line]
    obstacles = _unmet(sections.get("conditions", []), unit, settings)
    programs = [word for word in sections.get("missing", []) if any(word in line for line in settings)]
    obstacles += [f"{program} cannot be run{_where(program, settings)}" for program in programs]
    verified = sections.get("verify", [])
    obstacles += _broken(verified, unit)
    if enabled and enabled[0] == "enabled":
        obstacles += _not_reached(sections.get("boot", []), unit, state, settings)
    active = state.get("ActiveState", "")
    refusal = _refusal(verified, unit, settings)
    return Unit(name, active, enabled[0] if enabled else "", tuple(dict.fromkeys(obstacles)), refusal, changed)


@lru_cache(4)  # of the machines, whose services are read one by one
def _sections(said: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in said.splitlines():
        if line.startswith(_SECTION):
            lines = sections.setdefault(line.removeprefix(_SECTION), [])
        else:
            lines.append(line)
    return sections


def _state(lines: list[str], unit: str) -> dict[str, str]:
    """The properties of one unit: systemctl(1) separates units by empty lines."""
    for block in "\n".join(lines).split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if properties.get("Id") == unit:
            return properties
    return {}


def _is_unclear(sections: dict[str, list[str]], unit: str) -> bool:
    """Whether only all that the default target pulls in tells if it reaches an enabled unit, or something that the unit conflicts with.

    Each service conflicts with shutdown.target (systemd.service(5), default dependencies), which no boot reaches.
    """
    if not any(line.split()[:2] == [unit, "enabled"] for line in sections.get("files", [])):
        return False
    told = sections.get("state", [])
    target = "".join(sections.get("target", []))
    pulled = _pulls(told, target)
    reached = pulled | (_pulls(told, "basic.target") if "basic.target" in pulled else set())
    return unit not in reached or bool(_rivals(_state(told, unit)) - {"shutdown.target"})


def _pulls(lines: list[str], unit: str) -> set[str]:
    state = _state(lines, unit)
    return set(f"{state.get('Wants', '')} {state.get('Requires', '')}".split())


def _rivals(state: dict[str, str]) -> set[str]:
    return set(f"{state.get('Conflicts', '')} {state.get('ConflictedBy', '')}".split())


def _unmet(lines: list[str], unit: str, settings: list[str]) -> list[str]:
    """Conditions and assertions that do not hold now; alternatives ("|") only if none of them does (systemd.unit(5))."""
    failed = []
    waiting: list[str] = []
    for line in lines:
        if line in ("Conditions failed.", "Asserts failed."):
            failed += waiting
        elif line.startswith(f"{unit}: ") and line.endswith(" failed."):
            waiting.append(line.removeprefix(f"{unit}: ").removesuffix(" failed."))
            continue
        elif line.startswith(f"{unit}: "):
            continue
        waiting = []
    return [f"{condition} is not met{_where(condition, settings)}" for condition in failed]


def _broken(lines: list[str], unit: str) -> list[str]:
    """What is wrong with a unit's file, so that systemd does not load it."""
    if not any(f"Unit {unit} has a bad unit file setting" in line for line in lines):
        return []
    own = [line.removeprefix(f"{unit}: ") for line in lines if line.startswith(f"{unit}: ")]
    reasons = [line.removesuffix(" Refusing.").rstrip(".") for line in own if line.endswith(" Refusing.")]
    return reasons[:1] or [f"systemd refuses the file of {unit}"]


def _refusal(lines: list[str], unit: str, settings: list[str]) -> str:
    """Why systemd makes no job that starts the unit: one that it requires is missing or masked."""
    found = re.search(
        rf"^{re.escape(unit)}: Failed to create {re.escape(unit)}/start: (.*?)\.?$", "\n".join(lines), re.M
    )
    if not found:
        return ""
    named = re.search(r"Unit (\S+)", found[1])
    return found[1][:1].lower() + found[1][1:] + _where(named[1] if named else "", settings)


def _not_reached(lines: list[str], unit: str, state: dict[str, str], settings: list[str]) -> list[str]:
    """An enabled unit that the default target does not reach, or that is in conflict with another that it reaches."""
    if not lines:
        return []
    target, *pulled = (line.strip() for line in lines)
    if unit not in pulled:
        return [f"the default target, {target}, does not start it"]
    rivals = _rivals(state) & set(pulled)
    return [f"it conflicts with {rival}, which starts too{_where(rival, settings)}" for rival in sorted(rivals)]


def _with_accounts(machine: Machine, said: str, unit: Unit) -> Unit:
    """The unit with what else it needs: the account and the files of variables that it names."""
    state = _state(_sections(said).get("state", []), f"{unit.name}.service")
    needs = [(state.get("User", ""), "user", "getent passwd"), (state.get("Group", ""), "group", "getent group")]
    file = re.fullmatch(r"(/\S+) \(ignore_errors=no\)", state.get("EnvironmentFiles", ""))
    needs += [(file[1], "file", "test -e")] if file else []
    missing = [
        f"there is no {what} {value}"
        for value, what, ask in needs
        if value and machine.once(f"{ask} {shlex.quote(value)}").rc
    ]
    return replace(unit, obstacles=tuple(missing))


def _where(words: str, settings: list[str]) -> str:
    """The file that has a setting with these words, as a remark: the last, which counts."""
    files = [line.partition(":")[0] for line in settings if words and words in line.partition(":")[2]]
    return f" ({files[-1]})" if files else ""
