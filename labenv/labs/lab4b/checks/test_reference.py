"""Investigation 1, the reference account: whether it answers as in the sheet's table, and was used to read and send."""

from labenv.checks.evidence import Evidence
from labenv.checks.plugin import step
from labenv.labs.lab4b.checks.reference import SERVER, Reference
from labenv.student import Student


@step("3", machine="host")
def test_account_is_set_up(reference: Reference, student: Student, evidence: Evidence) -> None:
    account = f"{student.id}@myseneca.ca"
    evidence(
        reference.imap.startswith("b OK"), f"{SERVER} answers {account} on port 993 over TLS: {reference.imap}", "OK"
    )
    evidence(
        reference.smtp.startswith("235"),
        f"{SERVER} answers {account} on port 587 after STARTTLS: {reference.smtp}",
        "235",
    )
    evidence(
        not reference.unopened,
        f"no mail client has fetched {reference.unopened} of the messages that wait for {account}",
        "none: the account is set up, and its inbox open",
    )


@step("4", machine="host")
def test_mail_is_read_and_sent(reference: Reference, student: Student, evidence: Evidence) -> None:
    account = f"{student.id}@myseneca.ca"
    evidence(reference.seen, f"{reference.seen} messages of {account} have been read", "at least one")
    evidence(reference.sent, f"{reference.sent} messages of {account} were sent through port 587", "at least one")
