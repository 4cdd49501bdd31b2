"""The kit for labs about mail: probe messages that leave no trace, and what Postfix and Dovecot say about a failure."""

from labenv.checks.interface import Kit, Part, Watched
from labenv.checks.machine import Machine, Site
from labenv.lab.model import Lab
from labenv.mail import complaints, tries
from labenv.mail.carried import LAWS
from labenv.mail.complaints import Complaint
from labenv.mail.follow import PATH
from labenv.mail.post import Post
from labenv.mail.restarts import DOVECOT, POSTFIX

_QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")  # Postfix moves messages from one to another


class Mail(Part):
    """Mail in one run: its probe messages, as `post`."""

    def __init__(self, site: Site) -> None:
        """Send nothing yet."""
        super().__init__(site)
        self._post = Post(site)
        self.brings = {"post": self._post}

    def give_up(self) -> None:
        """Let no probe wait for the messages any more."""
        self._post.give_up()

    def clean(self) -> None:
        """Remove the messages, and then their lines in the logs."""
        self._post.sweep()
        self._post.tidy()

    def explained(self, machine: Machine, seconds: int) -> Complaint | None:
        """What the servers logged against themselves; what is fatal may have been logged while master(8) was not yet to try again."""
        asked = complaints.command(f"-{seconds}s", f"-{seconds + complaints.THROTTLED}s")
        return complaints.explained(machine.run(asked).stdout)

    def remarks(self, lab: Lab, began: float) -> list[tuple[str, str]]:
        """The clients that were refused, and have not got in since."""
        return tries.refused(self.site, lab, began)


KIT = Kit(
    part=Mail,
    services=(POSTFIX, DOVECOT),
    watched=Watched(
        paths=("/var/spool/postfix/pid/master.pid", "/run/dovecot/master.pid"),
        names=tuple(
            place for queue in _QUEUES for place in (f"/var/spool/postfix/{queue}", f"/var/spool/postfix/{queue}/?")
        ),
        sizes=("/var/mail/*",),
        logs={PATH: r"postfix-script|postfix/master|dovecot: master"},
    ),
    laws=LAWS,
)
