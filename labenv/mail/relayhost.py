"""Where a machine's Postfix hands on what is not for itself: its relayhost, as postconf(1) says it."""

import re

from labenv.text import one_line

ASK = "postconf -h relayhost 2>/dev/null"
_LONGEST = 200  # characters
_PLACE = re.compile(r"\[?([^\]\[:]+)\]?(?::\S+)?")


def parsed(told: str) -> str:
    """The relayhost in what a machine said; empty if it has none, or no Postfix."""
    return one_line(told.strip())[:_LONGEST]


def place(relayhost: str) -> tuple[str, bool]:
    """The name or address of a relayhost, and whether it is that host itself: without brackets its MX counts (postconf(5))."""
    found = _PLACE.fullmatch(relayhost)
    return (found[1].lower().rstrip(".") if found else relayhost, relayhost.startswith("["))
