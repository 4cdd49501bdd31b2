"""Why a message stopped, in plain words: what the log lines of Postfix and Dovecot mean.

The lines are those of Postfix 3.7 and Dovecot 2.3, collected from machines with each of the faults.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from labenv.mail.maillog import Delivery

_Fields = Mapping[str, str]
_ALIKE = 0.8  # of a misspelt domain, such as asmth15.ops for asmith15.ops; two ids of a class are less so


def reason(
    delivery: Delivery, machine: str, *, agent: Iterable[str] = (), machines: Mapping[str, str], domain: str
) -> str:
    """A clause that says why a delivery failed, to follow "because".

    `agent` is what Dovecot's delivery agent logged about it, `machines` are the names by address, `domain` is the
    student's. A text that is not known here is quoted unchanged.
    """
    match = re.search(r"\[(?P<address>[^\[\]]+)\]", delivery.words)
    given = {
        "here": machine,
        "there": (machines.get(match["address"]) or match["address"]) if match else machine,
        "to": delivery.to,
        "user": delivery.to.partition("@")[0],
        "of": delivery.to.partition("@")[2],
        "dsn": delivery.dsn,
        "domain": domain,
    }
    agent = list(agent)
    for text in agent:
        if words := _made_out(text, given):
            return f"Dovecot's delivery agent fails: {words}"
    if words := _made_out(delivery.words, given):
        return words
    errors = [text.partition(": ")[2] for text in agent if re.match(r"(Error|Fatal): ", text)]
    return f"{'Dovecot' if errors else 'Postfix'} says: {errors[0] if errors else delivery.words}"


def refused(reply: str, machine: str, *, client: str, to: str) -> str:
    """A clause that says why `machine` refused a client (its address or name) with this reply."""
    user, _, of = to.partition("@")
    given = {"here": machine, "there": machine, "to": to, "user": user, "of": of, "client": client}
    return _made_out(reply, given) or f"it answers: {reply}"


def agent_says(text: str, machine: str, user: str) -> str:
    """A clause for what Dovecot's delivery agent logged when it failed for a user."""
    return _made_out(text, {"here": machine, "there": machine, "user": user}) or re.sub(r"^(Error|Fatal): ", "", text)


def stuck(complaint: str) -> str:
    """A clause for a complaint of Postfix that names no message, from a program that cannot even start."""
    return _made_out(complaint, {}) or f"Postfix says: {complaint.partition(': ')[2]}"


def _made_out(text: str, given: _Fields) -> str:
    for pattern, words in _TABLE:
        if match := pattern.search(text):
            fields = {**given, **match.groupdict("")}
            return (words(fields) if callable(words) else words.format(**fields)).strip()
    return ""


def _relay_denied(f: _Fields) -> str:
    client = f.get("client") or f["here"]
    return (
        f"{f['there']} neither accepts mail for {f['of']} as its own domain (mydestination) "
        f"nor relays mail from {client} (mynetworks)"
    )


def _no_name(f: _Fields) -> str:
    name = f["name"]
    if f.get("dsn") == "4.3.5":
        return f"the DNS does not know its relay host {name}"
    domain = f.get("domain", "")
    if domain and name.endswith(f".{domain}.{domain}"):
        return f"the DNS sends it to {name}, which does not exist: the name contains the domain twice"
    return f"the DNS does not know {name}"


def _no_answer(f: _Fields) -> str:
    name, domain = f["name"], f.get("domain", "")
    if name == domain or name.endswith(f".{domain}"):
        return f"the DNS gives no answer about {name}: the name server is not running, or has not loaded the zone"
    tail = ".".join(name.split(".")[-2:])
    if get_close_matches(tail, [domain], cutoff=_ALIKE):  # a slip of the fingers
        return f"the DNS gives no answer about {name}, which is not in your domain {domain}"
    return f"the DNS gives no answer about {name}, which is outside the lab"


_Words = str | Callable[[_Fields], str]
_TABLE: list[tuple[re.Pattern[str], _Words]] = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r"Relay access denied", _relay_denied),
        (r"(User unknown in local recipient table|unknown user: )", "{there} has no account {user}"),
        (
            r"mail for (?P<of>\S+) loops back to myself",
            "the DNS sends mail for {of} to {here} itself, "
            "but {here} does not accept {of} as its own domain (mydestination)",
        ),
        (r"name=(?P<name>\S+) type=\w+: Host not found, try again", _no_answer),
        (
            r"name=(?P<name>\S+) type=\w+: Host found but no data record",
            "the DNS has neither a mail exchanger (MX) nor an address for {name}",
        ),
        (r"name=(?P<name>\S+) type=\w+: Host not found", _no_name),
        (
            r"in server description: (?P<name>.*[<>].*)",
            "its relay host is {name}, which still has the angle brackets of the sheet in it",
        ),
        (r"in server description: (?P<name>.*)", "its relay host is {name}, which is not a host name"),
        (
            r"connect to .*: Connection refused",
            "nothing accepts connections on port 25 of {there}: "
            "Postfix is not running there or listens on loopback only, or the firewall rejects them",
        ),
        (
            r"connect to .*: Connection timed out",
            "{there} does not answer on port 25: its firewall drops the packets, or the machine is not running",
        ),
        (
            r"connect to .*: No route to host",
            "{there} cannot be reached on port 25: its firewall rejects the connection, or the machine is not running",
        ),
        (
            r"(chdir|stat)\(/root\b.*failed: Permission denied.*euid=\d+\((?P<as>\w+)\)",
            "it runs as {as}, not as root, and {as} may not enter /root",
        ),
        (
            r"(chdir|stat|mkdir|open|opendir|link)\((?P<path>[^)]*)\).* failed: Permission denied.*euid=\d+\((?P<as>[^)]+)\)",
            "it runs as {as}, who may not use {path}",
        ),
        (
            r"Mail storage autodetection failed",
            "it does not know where to store mail: mail_location is not set, and {user} has no mailbox yet",
        ),
        (
            r"(Invalid settings: |Error in configuration file |Error reading configuration: )(?P<what>.*)",
            "Dovecot cannot read its configuration: {what}",
        ),
        (
            r"Command died with status 127: \"(?P<command>\S+?)[\" ]",
            "mailbox_command names {command}, which does not exist on {here}",
        ),
        (
            r"Command died with (?P<how>.*?): \"(?P<command>\S+?)[\" ].*?(Command output: (?P<output>.*))?$",
            lambda f: (
                f"{f['command']} failed with {f['how']}" + (f": {f['output'].strip()}" if f["output"].strip() else "")
            ),
        ),
        (r"deferred transport", "Postfix on {here} is configured to defer such mail (defer_transports)"),
        (r"alias database unavailable", "{here} cannot read its alias database, which is made from /etc/aliases"),
        (r"mail transport unavailable", "Postfix on {here} cannot start the program that delivers it"),
        (r"message size \d+ exceeds size limit", "the message is larger than {there} accepts (message_size_limit)"),
        (r"(Over quota|Quota exceeded|mailbox full|No space left)", "there is no space left for it on {there}"),
        (r"Sender address rejected: Domain not found", "{there} cannot find the sender's domain in the DNS"),
        (r"lost connection with", "the connection to {there} was lost"),
    )
]
