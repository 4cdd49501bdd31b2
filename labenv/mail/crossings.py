"""Probe messages from one machine to another: what became of them on each, and what kept them from getting there."""

import re
from dataclasses import dataclass

from labenv.checks import firewall
from labenv.checks.machine import Machine
from labenv.mail.maillog import Hop
from labenv.mail.post import Post


@dataclass(frozen=True)
class Crossing:
    """A message from one machine to a user of the other: its hop on each, on the second only if it arrived there."""

    sent: Hop
    received: Hop | None


def crossing(start: Machine, end: Machine, user: str, post: Post) -> Crossing:
    """A message of root on a machine to a user of another one, under the machine's own name. Raises CheckFailed as `Post.follow` does."""
    message_id = post.submit(start, f"{start.name}-{end.name}", f"{user}@{end.fqdn}")
    sent = post.follow(start, message_id)
    crossed = any((delivery.status, delivery.address) == ("sent", end.address) for delivery in sent.deliveries)
    return Crossing(sent, post.follow(end, message_id) if crossed else None)


def dropped(start: Machine, end: Machine, hop: Hop) -> str:
    """Which firewall keeps a message from its next machine, if Postfix got no connection: the end of a sentence."""
    lost = re.search(r"connect to \S+: (Connection timed out|No route to host|Connection refused)", hop.fate)
    return firewall.who_drops_connection(start, end, 25) if lost else ""
