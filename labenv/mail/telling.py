"""One line of the mail log in plain words."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from labenv.mail.maillog import Delivery, Hop, Line, Refusal
from labenv.mail.reasons import agent_says, reason, refused


@dataclass(frozen=True)
class Scene:
    """Where the lines were written: the names of the machines by address, and the student's domain.

    `explain` says what a machine's servers logged against themselves at a time, as a clause, "" if nothing.
    """

    machines: Mapping[str, str]
    domain: str
    explain: Callable[[str, datetime], str] = lambda machine, time: ""

    def name(self, client: str) -> str:
        """A readable name of a client: the machine's name, or the address. `client` is "name[address]"."""
        match = re.search(r"\[([^\[\]]+)\]", client)
        address = match[1] if match else client
        if address in ("127.0.0.1", "::1"):
            return "a program on the machine itself"
        return self.machines.get(address, address)

    def why(self, hop: Hop, delivery: Delivery, machine: str) -> str:
        """Why a delivery of this hop failed: a clause."""
        agent = agent_lines(hop, delivery)
        why = reason(delivery, machine, agent=agent, machines=self.machines, domain=self.domain)
        if not why.endswith(delivery.words):
            return why
        answered = re.search(r"\[(?P<address>[^\[\]]+)\] said: \d{3}", delivery.words)
        erred = self.machines.get(answered["address"], machine) if answered else machine
        return self.explained(why, erred, delivery.time)

    def refused(self, refusal: Refusal, machine: str) -> str:
        """Why a machine refused a client: a clause."""
        why = refused(refusal.reply, machine, client=self.name(refusal.client), to=refusal.to)
        return self.explained(why, machine, refusal.line.time) if why.endswith(refusal.reply) else why

    def explained(self, why: str, machine: str, time: datetime) -> str:
        """A quoted answer with what the server that gave it logged about that."""
        told = self.explain(machine, time)
        return f"{why}; on {machine}, {told}" if told else why


def agent_lines(hop: Hop, delivery: Delivery) -> list[str]:
    """What Dovecot's delivery agent logged about a delivery."""
    said = [line.text for line in hop.lines if line.daemon == "dovecot" and line.time <= delivery.time]
    said = [text for text in said if not (user := re.match(r"lda\((\D[^)]*)\)", text)) or _for(delivery, user[1])]
    return [text.partition(": ")[2] for text in said]


def line(scene: Scene, machine: str, hop: Hop, line: Line) -> str:  # noqa: PLR0911  # a table of lines
    """What a line of a hop means."""
    text, queue_id = line.text, hop.queue_id
    if hop.requeued_from and text.startswith("uid="):
        return f"{machine} puts it into the queue again, now with the queue id {queue_id}"
    if text.startswith("uid="):
        return f"{hop.user} submits it to Postfix on {machine}; its queue id there is {queue_id}"
    if text.startswith("client="):
        return f"{machine} accepts it over SMTP from {scene.name(hop.client)}; its queue id there is {queue_id}"
    if text.startswith("message-id="):
        return f"its message id is {hop.message_id}" if hop.message_id else "it has no message id"
    if match := re.match(r"from=<([^>]*)>, size=(\d+), nrcpt=(\d+)", text):
        if line is not next(other for other in hop.lines if other.text == text):
            return f"{machine} tries again"
        count = "1 recipient" if match[3] == "1" else f"{match[3]} recipients"
        return f"it is in the queue of {machine}: from {match[1] or '<> (as every notice)'}, {match[2]} bytes, {count}"
    if text.startswith("from=<"):
        return f"{machine} has tried for too long and gives up"
    if text.startswith("to=<"):
        return _delivery(scene, machine, hop, line)
    if "notification: " in text:
        return f"{machine} writes a notice to {hop.sender or 'the postmaster'}, with the queue id {text.split()[-1]}"
    if text == "removed":
        by_hand = line.daemon == "postsuper"
        return f"somebody deletes it from the queue of {machine}" if by_hand else f"{machine} is done with it"
    if line.daemon == "dovecot":
        return _agent(scene, machine, text)
    if "reject: " in text and hop.refusals:
        return refusal(scene, machine, next(r for r in hop.refusals if r.line.raw == line.raw))
    return f"somebody changes the queue of {machine}: {text}" if line.daemon == "postsuper" else f"{machine}: {text}"


def refusal(scene: Scene, machine: str, refusal: Refusal) -> str:
    """What a refusal means."""
    why = scene.refused(refusal, machine)
    whom = f" for {refusal.to}" if refusal.to else ""
    return f"{machine} refuses the message from {scene.name(refusal.client)}{whom}: {why}"


def connection(scene: Scene, machine: str, text: str) -> str:
    """What a line of an SMTP connection means that no message was accepted in."""
    match = re.match(r"(?P<what>connect|disconnect) from (?P<client>\S+)", text)
    if not match:
        return f"{machine} refuses: {text.partition('reject: ')[2] or text}"
    client = scene.name(match["client"])
    return f"{client} connects to {machine}" if match["what"] == "connect" else f"{client} disconnects"


def _delivery(scene: Scene, machine: str, hop: Hop, line: Line) -> str:
    delivery = next(d for d in hop.deliveries if d.time == line.time and line.text.startswith(f"to=<{d.to}>"))
    user = delivery.to.partition("@")[0]
    whom = delivery.to + (f" (it was for {delivery.orig_to})" if delivery.orig_to else "")
    if delivery.status != "sent":
        then = f"{machine} keeps it and will try again" if delivery.status == "deferred" else f"{machine} gives up"
        return f"{machine} cannot deliver it to {whom}, because {scene.why(hop, delivery, machine)}; {then}"
    if delivery.address:
        return f"{machine} sends it to {scene.name(delivery.relay)}, for {whom}" + (
            f", where its queue id is {delivery.queued_as}" if delivery.queued_as else ""
        )
    if delivery.queued_as:
        return f"{user} on {machine} forwards mail: it continues as {delivery.queued_as}"
    if match := re.match(r"delivered to command: (\S+)", delivery.words):
        return f"{machine} passes it to {match[1]} for {whom}"
    if delivery.relay == "none":
        return f"{machine} discards it for {whom}, because a Postfix table there says so (discard)"
    where = {"delivered to mailbox": "into the mailbox", "delivered to maildir": "into the Maildir"}
    return f"{machine} delivers it {where.get(delivery.words, f'({delivery.words})')} of {whom}"


def _agent(scene: Scene, machine: str, text: str) -> str:
    session, _, said = text.partition(": ")
    match = re.match(r"lda\((\D[^)]*)\)", session)
    user = match[1] if match else "a user"
    if match := re.search(r"saved mail to (\S+)", said):
        return f"Dovecot's delivery agent on {machine} saves it for {user} in {match[1]}"
    return f"Dovecot's delivery agent on {machine} fails for {user}: {agent_says(said, machine, user)}"


def _for(delivery: Delivery, user: str) -> bool:
    return user == delivery.to.partition("@")[0]
