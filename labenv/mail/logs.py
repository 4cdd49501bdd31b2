"""Where Postfix and Dovecot log, if not in the mail log: a course's steps say to look there, and so do checks."""

from labenv.checks.machine import QUICK, Machine
from labenv.mail.follow import PATH
from labenv.mail.settings import postconf


def postfix_elsewhere(machine: Machine) -> str:
    """Where Postfix logs if not in the mail log (postconf(5)), as a sentence; "" if there."""
    where = f"in /etc/postfix/main.cf on {machine.name})"
    if (file := postconf(machine, "maillog_file").value) not in ("", PATH):
        return f"Postfix on {machine.name} logs to {file}, not to {PATH} (maillog_file {where}"
    if (facility := postconf(machine, "syslog_facility").value) != "mail":
        return f"Postfix on {machine.name} logs as {facility}, which does not go to {PATH} (syslog_facility {where}"
    if (name := postconf(machine, "syslog_name").value) != "postfix":
        return f"Postfix on {machine.name} calls itself {name} in {PATH}, not postfix (syslog_name {where}"
    return ""


def dovecot_elsewhere(machine: Machine) -> str:
    """Where Dovecot logs what it did (log_path, info_log_path, syslog_facility), as a sentence; "" if in the mail log."""
    asked = machine.once(f"{QUICK} doveconf -h info_log_path log_path syslog_facility")
    info, general, facility, *_ = (*str(asked.stdout).splitlines(), "", "", "")
    name, file = ("info_log_path", info) if info else ("log_path", general)
    if asked.rc or (file, facility) in (("syslog", "mail"), (PATH, facility)):
        return ""
    what, name = (f"as {facility}", "syslog_facility") if file == "syslog" else (f"to {file}", name)
    return f"Dovecot on {machine.name} logs {what}, not to {PATH} ({name})"
