"""What the files of a submission show, if the results in it are true.

Only what all right ways of doing a step have in common is asked for, so that right work gets no note.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator

from labenv.classroom.handins.claims import Files, may_let_in
from labenv.mail.files import dovecot, expanded, is_elsewhere, main_cf

_MAIN = "etc/postfix/main.cf"
_SAVED = "etc/sysconfig/iptables"
_MARKED = r"my(?:hostname|domain|origin|destination|networks)|relay_domains|relayhost|inet_interfaces|mailbox_command"


def contradictions(files: Files, passing: set[str]) -> Iterator[str]:
    """A sentence for each claim that the files contradict. `passing` are the steps that are said to pass."""
    for machine in ("vm2", "vm3"):
        given = main_cf(files.text(machine, _MAIN)).get("mydomain", "")
        if given and given.casefold() != files.domain.casefold():
            yield f"the domain in main.cf of {machine} is {given}, not the student's"
    for step, (test, wanted) in _CLAIMS.items():
        if step in passing and not test(files):
            yield f"check.json says that step {step} passes, but {wanted}"
    yield from _evidence(files)


def _postfix(files: Files, machine: str, name: str) -> str:
    """A parameter of main.cf, with the two names that the sheet uses expanded."""
    value = main_cf(files.text(machine, _MAIN)).get(name, "")
    return expanded(value, mydomain=files.domain, myhostname=f"{machine}.{files.domain}")


def _dovecot(files: Files, name: str) -> set[str]:
    return dovecot(files.below("vm3", "etc/dovecot"), name)


def _sends_as_the_domain(files: Files) -> bool:
    origins = [_postfix(files, machine, "myorigin") for machine in ("vm2", "vm3")]
    return all(is_elsewhere(origin) or origin == files.domain for origin in origins)


def _takes_the_domain(files: Files) -> bool:
    destinations = _postfix(files, "vm3", "mydestination")
    return is_elsewhere(destinations) or files.domain in re.split(r"[,\s]+", destinations)


def _trusts_network(files: Files) -> bool:
    nets = _postfix(files, "vm3", "mynetworks")
    if not nets:
        return main_cf(files.text("vm3", _MAIN)).get("mynetworks_style") in ("subnet", "class")
    return is_elsewhere(nets) or any(_covers(net, files.network) for net in re.split(r"[,\s]+", nets))


def _covers(net: str, network: ipaddress.IPv4Network) -> bool:
    try:
        return network.subnet_of(ipaddress.IPv4Network(net, strict=False))
    except ValueError:  # a name or a negation
        return False


def _names_an_exchanger(files: Files) -> bool:
    zones = "\n".join(files.below("host", "var/named"))
    return bool(re.search(r"^[^;\n]*\sMX\s", zones, re.MULTILINE | re.IGNORECASE))


def _lets_in(files: Files, port: int) -> bool:
    return may_let_in(files.text("vm3", _SAVED), port)


# For each step: what the files need if it passes, and the note if that is missing.
_CLAIMS: dict[str, tuple[Callable[[Files], object], str]] = {
    "9": (_sends_as_the_domain, "myorigin is not the domain in main.cf of vm2 and vm3"),
    "11": (_takes_the_domain, "mydestination in main.cf of vm3 does not contain the domain"),
    "12": (_names_an_exchanger, "no zone file has an MX record"),
    "17": (lambda f: _postfix(f, "vm2", "relayhost"), "main.cf of vm2 sets no relayhost"),
    "19": (_trusts_network, "mynetworks in main.cf of vm3 does not contain the network"),
    "22": (
        lambda f: "dovecot" in _postfix(f, "vm3", "mailbox_command"),
        "main.cf of vm3 does not deliver through Dovecot",
    ),
    "23": (
        lambda f: any("maildir:" in value for value in _dovecot(f, "mail_location")),
        "no Dovecot file sets mail_location to a Maildir",
    ),
    "28": (
        lambda f: any("imap" in value for value in _dovecot(f, "protocols")),
        "no Dovecot file sets protocols to imap",
    ),
    "31": (lambda f: _lets_in(f, 143), "the saved firewall of vm3 does not let host connect to port 143"),
    "33": (
        lambda f: "no" in _dovecot(f, "disable_plaintext_auth"),
        "no Dovecot file sets disable_plaintext_auth to no",
    ),
    "41": (lambda f: _lets_in(f, 25), "the saved firewall of vm3 does not let host connect to port 25"),
}


def _evidence(files: Files) -> Iterator[str]:
    """Whether the evidence quotes main.cf as it is in the archive, and comes from the student's machine."""
    for machine in ("vm2", "vm3"):
        text = files.evidence(machine)
        lines = re.findall(rf"^(?:{_MARKED}).*$", files.text(machine, _MAIN), re.MULTILINE)
        quoted = {line.strip() for line in text.splitlines()}
        if missing := [line for line in lines if line.strip() not in quoted]:
            yield f"evidence of {machine} does not contain the line '{missing[0][:80]}' of its main.cf"
        if text and f"\n{machine}.{files.domain}\n" not in text:
            yield f"evidence of {machine} does not show the host name {machine}.{files.domain}"
