"""What the files of a submission show, if the results in it are true.

Only what all right ways of doing a step have in common is asked for, so that right work gets no note.
"""

import re
from collections.abc import Iterator

from labenv.classroom.handins.claims import Files, may_let_in
from labenv.mail.files import expanded, is_elsewhere, main_cf

_MAIN = "etc/postfix/main.cf"
_SAVED = "etc/sysconfig/iptables"
_MARKED = r"my(?:hostname|domain|origin|destination)|inet_interfaces"
# For each machine the steps that its files must bear out: its interfaces, its domain, its origin, its saved rules.
_STEPS = {"vm2": ("34", "35", "36", "32"), "vm3": ("42", "42", "42", "42")}


def contradictions(files: Files, passing: set[str]) -> Iterator[str]:
    """A sentence for each claim that the files contradict. `passing` are the steps that are said to pass."""
    for machine, (interfaces, domain, origin, saved) in _STEPS.items():
        claims = (
            (interfaces, _serves_the_network(files, machine), f"main.cf of {machine} listens for {machine} alone"),
            (domain, _has_the_domain(files, machine), f"the domain in main.cf of {machine} is not the student's"),
            (origin, _sends_as_itself(files, machine), f"myorigin in main.cf of {machine} is not its full name"),
            (
                saved,
                may_let_in(files.text(machine, _SAVED), 25),
                f"the saved firewall of {machine} does not let port 25 in",
            ),
        )
        for step, borne_out, otherwise in claims:
            if step in passing and not borne_out:
                yield f"check.json says that step {step} passes, but {otherwise}"
        yield from _evidence(files, machine)


def _serves_the_network(files: Files, machine: str) -> bool:
    value = _postfix(files, machine, "inet_interfaces", "all")
    return is_elsewhere(value) or bool(
        set(re.split(r"[,\s]+", value)) - {"", "localhost", "loopback-only", "127.0.0.1", "[::1]"}
    )


def _has_the_domain(files: Files, machine: str) -> bool:
    value = _postfix(files, machine, "mydomain", files.domain)
    return is_elsewhere(value) or value == files.domain


def _sends_as_itself(files: Files, machine: str) -> bool:
    fqdn = f"{machine}.{files.domain}"
    value = _postfix(files, machine, "myorigin", fqdn)
    return is_elsewhere(value) or value == fqdn


def _postfix(files: Files, machine: str, name: str, default: str) -> str:
    """A parameter of main.cf, or its default, with the two names that the sheet uses expanded."""
    value = main_cf(files.text(machine, _MAIN)).get(name, default)
    return expanded(value, mydomain=files.domain, myhostname=f"{machine}.{files.domain}")


def _evidence(files: Files, machine: str) -> Iterator[str]:
    """Whether the evidence quotes main.cf as it is in the archive, and comes from the student's machine."""
    text = files.evidence(machine)
    lines = re.findall(rf"^(?:{_MARKED}).*$", files.text(machine, _MAIN), re.MULTILINE)
    quoted = {line.strip() for line in text.splitlines()}
    if missing := [line for line in lines if line.strip() not in quoted]:
        yield f"evidence of {machine} does not contain the line '{missing[0][:80]}' of its main.cf"
    if text and f"\n{machine}.{files.domain}\n" not in text:
        yield f"evidence of {machine} does not show the host name {machine}.{files.domain}"
