"""Investigation 2, "Install and configure the local delivery agent"."""

import pytest

from labenv.checks.evidence import CheckFailed, Evidence, Waits
from labenv.checks.machine import QUICK, Machine
from labenv.checks.plugin import step
from labenv.checks.restarts import not_restarted
from labenv.labs.lab4b.checks.agent import LDA, command_for, tried
from labenv.labs.lab4b.checks.common import later
from labenv.labs.lab4b.checks.probes import Journey
from labenv.labs.lab4b.checks.store import is_their_maildir
from labenv.mail import logs
from labenv.mail.post import Filed, Post
from labenv.mail.restarts import DOVECOT, POSTFIX
from labenv.mail.settings import Dovecot, expect, postconf, set_in_file
from labenv.student import Student

COMMAND = f'{LDA} -f "$SENDER" -a "$RECIPIENT"'


@step("21", machine="vm3")
def test_dovecot_is_installed(vm3: Machine, evidence: Evidence) -> None:
    there = vm3.run("test -x %s", LDA).rc == 0
    evidence(there, f"{LDA} on vm3 {'is there' if there else 'is missing'}", "an executable file")
    version = vm3.output(f"{QUICK} dovecot --version").split()[0]
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
def test_postfix_uses_the_agent(
    vm3: Machine, student: Student, post: Post, request: pytest.FixtureRequest, evidence: Evidence
) -> None:
    setting = postconf(vm3, "mailbox_command", expand=False)
    command, table = command_for(vm3, student, setting.value)
    trial = tried(vm3, command, student)
    called = trial.calls
    if called:
        what = f"{table} has {command}; {called[0]}" if table else str(called[0])
        expect(setting, called[0].is_right, COMMAND, evidence, what)
    else:
        # It does not name the agent, or a program of the student's own calls it: the agent's log shows whether it is.
        by_it = bool(command) and not not_restarted(vm3, POSTFIX) and _is_saved_by_agent(request, post, vm3, student)
        expect(setting, by_it, COMMAND, evidence, trial.remark if command else "")
    if called and not called[1].is_right:
        evidence.doubt(str(called[1]), 'quotes around "$SENDER", which is empty in a bounce')
    if table:
        evidence.doubt(f"{table} has {command}", "mailbox_command, as in the sheet")
    elif command != COMMAND:
        evidence.doubt(f"mailbox_command is written {command}", f"{COMMAND}, as in the sheet, with its quotes")
    if not table:
        evidence(setting.is_set_once, f"main.cf on vm3 sets mailbox_command {len(setting.lines)} times", "once")
    transport = postconf(vm3, "mailbox_transport")
    expect(transport, not transport.value, "not set, as it takes precedence over mailbox_command", evidence)
    if home := postconf(vm3, "home_mailbox").value:
        evidence.doubt(f"home_mailbox on vm3 is {home}, without effect beside mailbox_command", "not set")


@step("23", machine="vm3")
def test_mail_goes_to_maildirs(dovecot: Dovecot, vm3: Machine, student: Student, evidence: Evidence) -> None:
    location = dovecot.setting("mail_location", "conf.d/10-mail.conf")
    if is_their_maildir(vm3, location.value, student):
        expect(location, True, "maildir:~/Maildir", evidence)
        set_in_file(location, evidence)
        if ":" in location.value.partition(":")[2]:
            evidence.doubt(f"mail_location is {location.value}, with more than the place", "maildir:~/Maildir")
        return
    elsewhere = dovecot.values.get("namespace/inbox/location") or _by_userdb(vm3, student)
    other = is_their_maildir(vm3, elsewhere.strip(), student)
    expect(location, other, "maildir:~/Maildir", evidence)
    evidence.doubt(f"{location}, and mail is at {elsewhere.strip()} nevertheless", "maildir:~/Maildir")


def _by_userdb(vm3: Machine, student: Student) -> str:
    """Where the running Dovecot keeps the student's mail; nothing if it does not know the settings as they are now."""
    return "" if not_restarted(vm3, DOVECOT) else str(vm3.run(f"{QUICK} doveadm user -f mail %s", student.id).stdout)


@step("24", machine="vm3")
def test_message_is_in_the_maildir(
    mail_for_user: Journey, vm3: Machine, post: Post, student: Student, evidence: Evidence
) -> None:
    hop = mail_for_user.on_vm3()
    handed = [d for d in hop.deliveries if d.status == "sent" and "delivered to command" in d.words]
    reason = "" if handed else agent_says(post.log(vm3).read(), student.id)
    evidence(
        handed, f"the log of vm3 has {hop.fate}{reason}", f"delivered to command: {LDA}", by="" if reason else "vm3"
    )
    saved = saved_by_dovecot(post, vm3, mail_for_user)
    by_agent = [line for line in saved if f"lda({student.id})" in line]
    elsewhere = "" if saved else logs.dovecot_elsewhere(vm3)
    saw = elsewhere or f"Dovecot's log has {len(saved)} 'saved mail' lines of it"
    evidence(by_agent, saw, f"a 'saved mail' line of lda({student.id})")
    in_maildir(post, vm3, student.id, mail_for_user.id, evidence)


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
    if vm3.run("find /etc/aliases -newer /etc/aliases.db").stdout:
        saw = (
            "/etc/aliases on vm3 was changed after its table was made, so Postfix does not know the change: newaliases"
        )
        evidence.doubt(saw, "a table that has the change")


def saved_by_dovecot(post: Post, vm3: Machine, message: Journey) -> list[str]:
    """The lines of vm3's log in which Dovecot says that it saved a message."""
    return [line for line in post.log(vm3).read().splitlines() if message.id in line and "saved mail to" in line]


def agent_says(log: str, user: str) -> str:
    """Why the delivery agent cannot deliver to a user, in its own words, as a remark; or nothing."""
    # As a user, it may not report statistics to a running Dovecot; that does no harm.
    errors = [line for line in log.splitlines() if f"lda({user})" in line and "stats-writer" not in line]
    reasons = [line.partition(": lda(")[2] for line in errors if "Error: " in line or "Fatal: " in line]
    return f"; Dovecot says: lda({reasons[0]}" if reasons else ""


def in_maildir(post: Post, machine: Machine, user: str, message_id: str, evidence: Evidence) -> Filed:
    """The message was put into a file of the user's own in new/ or cur/, where a mail client may have moved it."""
    home = machine.output("getent passwd %s", user).split(":")[5]
    filed = post.filed(machine, user, message_id)
    found = filed.paths
    evidence(
        found,
        f"{home}/Maildir on {machine.name} has {len(found)} file{'' if len(found) == 1 else 's'} with the message",
        "a file in new or cur",
    )
    evidence(filed.owner == user, f"{found[0]} belongs to {filed.owner}", user)
    if filed.mode != "600":  # Dovecot takes the permissions of the Maildir, which a student may have made by hand
        evidence.doubt(f"{found[0]} has the mode {filed.mode}", "600: nobody else can read it")
    return filed


def _is_saved_by_agent(request: pytest.FixtureRequest, post: Post, vm3: Machine, student: Student) -> bool:
    """Whether Dovecot's agent saved the message to the user that the check of step 24 is about."""
    try:
        message: Journey = later(request, "mail_for_user")
    except (CheckFailed, Waits):
        return False
    return any(f"lda({student.id})" in line for line in saved_by_dovecot(post, vm3, message))
