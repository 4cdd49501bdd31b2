"""Investigation 2, "Install and configure the local delivery agent"."""

import shlex

import pytest

from labenv.checks import logs
from labenv.checks.evidence import Evidence
from labenv.checks.machine import Machine
from labenv.checks.plugin import step
from labenv.checks.post import Post
from labenv.checks.settings import Dovecot, expect, postconf, set_in_file
from labenv.labs.lab4b.checks.probes import Journey
from labenv.student import Student

LDA = "/usr/libexec/dovecot/dovecot-lda"
COMMAND = f'{LDA} -f "$SENDER" -a "$RECIPIENT"'


@step("21", machine="vm3")
def test_dovecot_is_installed(vm3: Machine, evidence: Evidence) -> None:
    there = vm3.run("test -x %s", LDA).rc == 0
    evidence(there, f"{LDA} on vm3 {'is there' if there else 'is missing'}", "an executable file")
    version = vm3.output("dovecot --version").split()[0]
    if not version.startswith(("2.2.", "2.3.")):
        evidence.doubt(f"Dovecot is {version}", "a version before 2.4, which renamed the sheet's settings")


@step("21", machine="vm3")
def test_its_configuration_is_read(dovecot: Dovecot, evidence: Evidence) -> None:
    if not dovecot.is_installed:
        pytest.skip("Dovecot is not installed on vm3")
    evidence(
        not dovecot.complaint, f"Dovecot on vm3 reads its configuration: {dovecot.complaint or 'OK'}", "OK", by="vm3"
    )


@step("22", machine="vm3")
def test_postfix_uses_the_agent(vm3: Machine, evidence: Evidence) -> None:
    command = postconf(vm3, "mailbox_command", expand=False)
    expect(command, _is_the_agent(vm3, command.value), COMMAND, evidence)
    evidence(command.is_set_once, f"main.cf on vm3 sets mailbox_command {len(command.lines)} times", "once")
    for name, why in (("home_mailbox", ""), ("mailbox_transport", ", as it takes precedence over mailbox_command")):
        other = postconf(vm3, name)
        expect(other, not other.value, f"not set{why}", evidence)
    if command.value != COMMAND:
        evidence.doubt(f"mailbox_command is written {command.value}", f"{COMMAND}, as in the sheet, with its quotes")


@step("23", machine="vm3")
def test_mail_goes_to_maildirs(dovecot: Dovecot, evidence: Evidence) -> None:
    location = dovecot.setting("mail_location", "conf.d/10-mail.conf")
    expect(location, location.value == "maildir:~/Maildir", "maildir:~/Maildir", evidence)
    set_in_file(location, evidence)


@step("24", machine="vm3")
def test_message_is_in_the_maildir(
    mail_for_user: Journey, vm3: Machine, post: Post, student: Student, evidence: Evidence
) -> None:
    hop = mail_for_user.on_vm3()
    handed = [d for d in hop.deliveries if d.status == "sent" and "delivered to command" in d.words]
    reason = "" if handed else agent_says(post.log(vm3).read(), student.id)
    evidence(handed, f"the log of vm3 has {hop.fate}{reason}", f"delivered to command: {LDA}", by="vm3")
    saved = [line for line in post.log(vm3).read().splitlines() if mail_for_user.id in line and "saved mail to" in line]
    by_agent = [line for line in saved if f"lda({student.id})" in line]
    elsewhere = "" if saved else logs.dovecot_elsewhere(vm3)
    saw = elsewhere or f"Dovecot's log has {len(saved)} 'saved mail' lines of it"
    evidence(by_agent, saw, f"a 'saved mail' line of lda({student.id})")
    in_maildir(vm3, student.id, mail_for_user.id, evidence)


@step("25", machine="vm2")
def test_store_is_on_vm3_alone(
    mail_for_user: Journey, vm2: Machine, vm3: Machine, student: Student, evidence: Evidence
) -> None:
    store = f"/home/{student.id}/Maildir"
    there = vm3.run("test -d %s", store).rc == 0
    evidence(there, f"{store} on vm3 {'is there' if there else 'is missing'}", "there, once mail has arrived")
    absent = vm2.run("test -e %s", store).rc != 0
    evidence(absent, f"{store} on vm2 is {'not there' if absent else 'there'}", "not there")
    kept = vm2.run("grep -rlF --exclude='dovecot*' %s /var/mail /home 2>/dev/null", mail_for_user.id).stdout.split()
    evidence(not kept, f"vm2 keeps the message in {', '.join(kept) or 'no mailbox'}", "only vm3 has it")


@step("26", machine="vm3")
def test_mail_for_root(mail_for_root: Journey, vm3: Machine, post: Post, domain: str, evidence: Evidence) -> None:
    hop = mail_for_root.on_vm3()
    aliased = [
        d for d in hop.deliveries if d.orig_to == f"root@{domain}" and d.status == "sent" and "command" in d.words
    ]
    if aliased:
        evidence(aliased, f"the log of vm3 has {hop.fate}", "an alias sends root's mail to a user")
        return
    waits = [d for d in hop.deliveries if d.status == "deferred"]
    evidence(
        waits,
        f"the log of vm3 has {hop.fate}",
        "deferred, as the agent may not enter /root, or delivered through an alias",
        by="vm3",
    )
    reasons = [
        line for line in post.log(vm3).read().splitlines() if "lda(root)" in line and "Permission denied" in line
    ]
    reason = reasons[0].partition("Error: ")[2] if reasons else "no reason"
    evidence(reasons, f"Dovecot says: {reason}", "Permission denied")


def agent_says(log: str, user: str) -> str:
    """Why the delivery agent cannot deliver to a user, in its own words, as a remark; or nothing."""
    # As a user, it may not report statistics to a running Dovecot; that does no harm.
    errors = [line for line in log.splitlines() if f"lda({user})" in line and "stats-writer" not in line]
    reasons = [line.partition(": lda(")[2] for line in errors if "Error: " in line or "Fatal: " in line]
    return f"; Dovecot says: lda({reasons[0]}" if reasons else ""


def in_maildir(machine: Machine, user: str, message_id: str, evidence: Evidence) -> str:
    """The message is a file of the user's own in new/ or cur/, where a mail client may have moved it: its path."""
    home = machine.output("getent passwd %s", user).split(":")[5]
    maildir = f"{home}/Maildir"
    found = machine.run("grep -rlF %s %s/new %s/cur", message_id, maildir, maildir).stdout.split()
    evidence(
        found,
        f"{maildir} on {machine.name} has {len(found)} file{'' if len(found) == 1 else 's'} with the message",
        "a file in new or cur",
    )
    mode, owner = machine.output("stat -c '%%a %%U' %s", found[0]).split()
    evidence(owner == user, f"{found[0]} belongs to {owner}", user)
    if mode != "600":  # Dovecot takes the permissions of the Maildir, which a student may have made by hand
        evidence.doubt(f"{found[0]} has the mode {mode}", "600: nobody else can read it")
    return str(found[0])


def _is_the_agent(machine: Machine, command: str) -> bool:
    """Whether that runs Dovecot's agent, under any path, with sender and recipient as in the sheet."""
    try:
        program, *rest = shlex.split(command)
    except ValueError:  # empty, or a quote that is not closed
        return False
    same = machine.run("test %s -ef %s", program, LDA).rc == 0
    options = dict(zip(rest[::2], rest[1::2], strict=False))
    return same and options.get("-f") == "$SENDER" and options.get("-a") == "$RECIPIENT"
