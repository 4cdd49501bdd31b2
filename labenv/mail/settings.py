"""Effective settings: how Postfix and Dovecot read a parameter, how often the file sets it, and what may be wrong."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from labenv.checks.evidence import CheckFailed, Evidence
from labenv.checks.machine import QUICK, Machine, last_words

MAIN = "/etc/postfix/main.cf"
HOT = 2  # seconds for which Postfix's programs wait until they read a main.cf that was just written (its load_file.c)
# Whoever has edited it and looks on does not wait with them: a copy that is older is read at once.
_POSTCONF = """if [ $(($(date +%s) - $(stat -c %Y {main}))) -le {hot} ] && copy=$(mktemp -d); then
    cp /etc/postfix/*.cf "$copy" && touch -d '1 minute ago' "$copy"/*.cf
    postconf -c "$copy" {expand} >"$copy/out" 2>"$copy/errors"; status=$?
    sed "s|$copy|/etc/postfix|g" "$copy/errors" >&2; sed "s|$copy|/etc/postfix|g" "$copy/out"
    rm -r "$copy"; (exit $status)
else
    postconf {expand}
fi"""
# The settings that the sheet has a student write into Dovecot's files; a misspelt one most likely means one of these.
_OF_DOVECOT = ("protocols", "mail_location", "disable_plaintext_auth", "ssl", "postmaster_address", "listen")


@dataclass(frozen=True)
class Setting:
    """A parameter's effective value, and the lines of `file` that set it at line start, as the course's marker greps.

    `complaints` are postconf(1)'s warnings about main.cf; `unmarked` are names of parameters in the value, without `$`; `others` are
    other files that set it to this value.
    """

    name: str
    machine: str
    value: str
    file: str
    lines: tuple[str, ...]
    complaints: tuple[str, ...] = ()
    unmarked: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The setting in words."""
        return f"{self.name} on {self.machine} is {self.value or 'not set'}"

    @property
    def is_set_once(self) -> bool:
        """Whether one line of the file sets it."""
        return len(self.lines) == 1

    @property
    def comment(self) -> str:
        """What was meant as a comment behind a value of main.cf, where comments have lines of their own (postconf(5))."""
        found = re.search(r"(?:^|\s)(#.*)", self.value) if self.file == MAIN else None
        return found[1] if found else ""

    @property
    def remark(self) -> str:
        """What may be wrong with a wrong value, as a sentence to add, or nothing."""
        remarks = []
        unused = re.findall(r"unused parameter: (\w+)=", "\n".join(self.complaints))
        if misspelt := difflib.get_close_matches(self.name, unused, 1):
            remarks.append(f"main.cf has '{misspelt[0]}', which is unknown to Postfix; did you mean {self.name}?")
        if len(self.lines) > 1:
            remarks.append(f"main.cf sets it {len(self.lines)} times, and the last line counts")
        unknown = re.findall(r"undefined parameter: (\w+)", "\n".join(self.complaints))
        if used := [name for name in unknown if self.lines and f"${name}" in self.lines[-1]]:
            meant = difflib.get_close_matches(used[0], ("mydomain", "myhostname", "myorigin", "mynetworks"), 1)
            question = f"; did you mean ${meant[0]}?" if meant else ""
            remarks.append(f"${used[0]} is not a parameter of Postfix{question}")
        remarks += [f"{name} is the name of a parameter; ${name} is its value" for name in self.unmarked]
        if self.others and not self.lines:
            remarks.append(f"{self.others[-1]} sets it so")
        if self.comment:
            remarks.append(f"main.cf has no comments at the end of a line: '{self.comment}' is part of the value")
        if re.search("[<>]", self.value):
            remarks.append("replace what the sheet has in angle brackets, including the brackets")
        return "; ".join(remarks)


def expect(setting: Setting, holds: object, wanted: str, evidence: Evidence, remark: str = "") -> None:
    """Note what a setting is; if it is wrong, with what may be the cause, or else `remark`.

    Raises CheckFailed if it is wrong.
    """
    reason = "" if holds else setting.remark or remark
    evidence(holds, f"{setting}{f' ({reason})' if reason else ''}", wanted)


def set_in_file(setting: Setting, evidence: Evidence) -> None:
    """Warn if the value, although it is right, does not come from one line of the file that the sheet names."""
    if not setting.lines:
        evidence.doubt(f"{setting.name} is {setting.value}, but not from {setting.file}", "set there, at line start")
    elif not setting.is_set_once:
        evidence.doubt(f"{setting.file} on {setting.machine} sets {setting.name} {len(setting.lines)} times", "once")
    elif setting.comment:
        evidence.doubt(f"'{setting.comment}' is part of the value of {setting.name}", "comments on lines of their own")


@dataclass(frozen=True)
class MainCf:
    """The lines of main.cf that set a parameter at line start, and the names of these parameters."""

    text: str

    @property
    def names(self) -> list[str]:
        """The parameters in the order of the file, each once."""
        return list(dict.fromkeys(re.findall(r"^(\w+)[ \t]*=", self.text, re.MULTILINE)))

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines that set a parameter."""
        return tuple(re.findall(rf"^{name}[ \t]*=.*$", self.text, re.MULTILINE))


def main_cf(machine: Machine) -> MainCf:
    """The machine's main.cf, read once for all checks of a run."""
    return MainCf(machine.once(f"cat {MAIN}").stdout)


def set_there(machine: Machine, names: Iterable[str]) -> str:
    """Which of these parameters main.cf sets, with their values, as the end of a sentence; nothing if it sets none."""
    found = [setting for name in names if (setting := postconf(machine, name, expand=False)).lines]
    return "".join(f"; {setting}" for setting in found)


def postconf(machine: Machine, name: str, *, expand: bool = True) -> Setting:
    """A parameter of main.cf (postconf(1)), with `$name` expanded or literally. Raises CheckFailed with postconf's error."""
    asked = machine.once(_POSTCONF.format(main=MAIN, hot=HOT, expand="-x" if expand else ""))
    if asked.rc:
        raise CheckFailed(f"{machine.name} cannot read {name}: {last_words(asked)}", "a configuration without errors")
    value = re.search(rf"^{name} =(.*)$", asked.stdout, re.MULTILINE)
    lines = main_cf(machine).lines(name)
    complaints = tuple(asked.stderr.splitlines())
    named = re.findall(r"(?<![$\w(){}.-])my\w+\b(?![.-])", lines[-1].partition("=")[2]) if lines else []
    unmarked = tuple(word for word in named if re.search(rf"^{word} =", asked.stdout, re.MULTILINE))
    return Setting(name, machine.name, value[1].strip() if value else "", MAIN, lines, complaints, unmarked)


@dataclass(frozen=True)
class Dovecot:
    """Dovecot's configuration on a machine: whether Dovecot is installed, its error, and its parameters.

    doveconf(1) looks up the machine's name at each start, which takes seconds if the DNS is dead: it runs only once.
    """

    machine: Machine
    is_installed: bool
    complaint: str
    values: dict[str, str]

    def setting(self, name: str, file: str) -> Setting:
        """A parameter, with the lines of `file`, below /etc/dovecot, that set it.

        Raises CheckFailed if Dovecot is not installed or its configuration is broken.
        """
        path = f"/etc/dovecot/{file}"
        if not self.is_installed:
            raise CheckFailed(f"Dovecot is not installed on {self.machine.name}", f"{name} set in {path}")
        if self.complaint:
            raise CheckFailed(f"Dovecot on {self.machine.name} cannot read its configuration: {self.complaint}")
        value = self.values[name]
        found = self.machine.run(
            "grep -rE %s /etc/dovecot --include=%s", rf"^[[:space:]]*{name}[[:space:]]*=", "*.conf"
        ).stdout
        rows = [line.partition(":") for line in found.splitlines()]
        lines = [text for where, _, text in rows if where == path and text.startswith(name)]
        same = tuple(line for line in lines if _as_read(line.partition("=")[2]) == value)
        others = sorted(
            {where for where, _, text in rows if where != path and _as_read(text.partition("=")[2]) == value}
        )
        return Setting(name, self.machine.name, value, path, same, others=tuple(others))


def dovecot_on(machine: Machine) -> Dovecot:
    """Dovecot's configuration as it is now."""
    installed = machine.run("command -v doveconf").rc == 0
    asked = machine.run(f"{QUICK} doveconf -S namespace login_trusted_networks " + " ".join(_OF_DOVECOT))
    values = {name: value.strip() for name, _, value in (line.partition("=") for line in asked.stdout.splitlines())}
    return Dovecot(machine, installed, _complaint(asked.stderr) if installed and asked.rc else "", values)


def _as_read(written: str) -> str:
    """A value as Dovecot reads it: without a comment, blanks and quotes around it; the case of yes and no is folded.

    https://doc.dovecot.org/2.3/configuration_manual/config_file/config_file_syntax/
    """
    value = re.sub(r"\s#.*", "", f" {written}").strip() if not re.match(r"\s*[\"']", written) else written.strip()
    if quoted := re.match(r"([\"'])(.*?)\1\s*(#.*)?$", value):
        value = quoted[2]
    return value.lower() if value.lower() in ("yes", "no") else value


def _complaint(said: str) -> str:
    """Why Dovecot cannot read its configuration, with file and line."""
    line = (said.strip().splitlines() or ["doveconf ends without a word"])[-1]
    reason = line.partition("Fatal: ")[2] or line
    unknown = re.search(r"Unknown setting: (.+)", reason)
    if unknown and "{" in unknown[1]:
        return f"{reason}; an earlier section, perhaps in another file, is not closed"
    meant = difflib.get_close_matches(unknown[1], _OF_DOVECOT, 1) if unknown else []
    return f"{reason}; did you mean {meant[0]}?" if meant else reason


def words(value: str) -> list[str]:
    """The members of a list value, which Postfix separates by commas or blanks; what is in braces stays together."""
    return re.findall(r"(?:[^\s,{}]|\{(?:[^{}]|\{[^{}]*\})*\}|[{}])+", value)
