"""What of the configuration of Postfix, Dovecot and rsyslog is carried to clean machines: see labenv/checks/carried.py."""

import re
from collections.abc import Iterator

from labenv.checks.carried import Law, by_lines, is_plain, left_out, logical

# Settings of main.cf that name a program, where programs are, or what they are started with (postconf(5)); and those of them that
# the package writes itself.
_OF_PROGRAMS = re.compile(
    r".*_command(_maps)?|.*_director(y|ies)|.*_path|.*_wrapper|.*_compressor|.*_environment|multi_instance.*|default_privs|"
    r".*_owner|setgid_group|tls_config_(file|name)|maillog_file_prefixes|command_expansion_filter|dynamic.*|virtual_minimum_uid"
)
_SOCKETS = ("smtp_sasl_path", "smtpd_sasl_path", "lmtp_sasl_path", "forward_path")
_PACKAGED = {
    "queue_directory": "/var/spool/postfix",
    "command_directory": "/usr/sbin",
    "daemon_directory": "/usr/lib/postfix/sbin",
    "data_directory": "/var/lib/postfix",
    "html_directory": "no",
    "readme_directory": "no",
    "manpage_directory": "/usr/share/man",
    "sendmail_path": "/usr/sbin/sendmail",
    "newaliases_path": "/usr/bin/newaliases",
    "mailq_path": "/usr/bin/mailq",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "default_privs": "nobody",
}
# The services of Postfix's own; pipe(8) and spawn(8) run other programs, and are not among them.
_SERVICES = frozenset(
    [
        "anvil",
        "bounce",
        "cleanup",
        "discard",
        "dnsblog",
        "error",
        "flush",
        "lmtp",
        "local",
        "oqmgr",
        "nqmgr",
        "pickup",
        "postlogd",
        "postscreen",
        "proxymap",
        "qmgr",
        "qmqpd",
        "scache",
        "showq",
        "smtp",
        "smtpd",
        "tlsmgr",
        "tlsproxy",
        "trivial-rewrite",
        "verify",
        "virtual",
    ]
)
# What may deliver a message: the programs do nothing else, and are in the images or in none.
_AGENTS = ("dovecot-lda", "deliver", "maildrop", "procmail", "true", "false")
_BEFORE = re.compile(r"^(exec\s+)?(((/usr)?/bin/)?env\s+)?((LC_ALL|LANG)=[\w.-]+\s+)*")
_SHELL = re.compile(r"[;|&<>()`\\*?\[\]~#^\n]|\$\(")
_PARAMETER = re.compile(r"\$\{?(\w+)")
_OPTIONS = frozenset(("-f", "-a", "-r", "-e", "-d", "-m"))
# A command, or a list of addresses in another file, in place of an address (aliases(5)); `|` inside a pattern is none.
_PIPE = re.compile(r"(^|[\s:,;=<)}\\\"'])\|")
_INCLUDE = re.compile(r":include:", re.IGNORECASE)
# Where local(8) finds commands: only in files that are looked through for them, or that nobody carries.
_DELIVERS = ("alias_maps", "alias_database", "forward_path")
_ALIASES = re.compile(
    r"(\w+:)?/etc/(aliases|postfix/[\w.-]+)|nis:[\w.]+|\$\{?alias_(maps|database)\}?|\$\{?home\}?/\.forward(\$\{.*\})?"
)
# What may follow a daemon's name in master.cf (master(5)): flags, and settings.
_ARGUMENT = re.compile(r"\s+(?:-[vDu]+|-[tnl]\s+[\w./-]+|-o\s+(?:\{\s*([\w-]+)\s*=([^{}]*)\}|([\w-]+)=(\S*)))(?=\s|$)")


def _main(text: str) -> tuple[str, list[str]]:
    lines = text.split("\n")
    wrong = {number: said for number, line in enumerate(lines) if (said := is_plain(line))}
    entries = list(logical(lines))
    own = {name.strip() for _, entry in entries for name, equals, _ in [entry.partition("=")] if equals}
    for at, entry in entries:
        name, equals, value = (part.strip() for part in entry.partition("="))
        if equals and (said := _setting(name, value, own)):
            wrong |= dict.fromkeys(at, "") | {at[0]: said}
    return left_out(lines, dict(sorted(wrong.items())))


def _setting(name: str, value: str, own: set[str]) -> str:
    """Why a setting is not carried, or nothing. `own` are the names that the file sets, which a value may refer to."""
    return next(filter(None, _wrong_settings(name, value, own)), "")


def _wrong_settings(name: str, value: str, own: set[str]) -> Iterator[str]:
    if _PIPE.search(value) or _INCLUDE.search(value):
        yield f"{name} names a command or a list of addresses elsewhere"
    if name == "mailbox_command":
        yield _command(name, value, own)
    elif name == "mailbox_command_maps":
        kind, _, command = value.partition(":")
        yield _command(name, command, own) if kind == "static" else f"{name} is a table of commands"
    elif name in _DELIVERS and not all(
        map(_ALIASES.fullmatch, re.split(r"[\s,]+", value.strip(" \t,")) if value else ())
    ):
        yield f"{name} is not among the files that are looked through for commands"
    elif name == "maillog_file" and value and not re.fullmatch(r"/var/log/[\w.-]+", value):
        yield f"{name} writes to {value[:60]}"
    elif name == "mail_spool_directory" and re.fullmatch(r"/var/(spool/)?mail/?", value):
        return
    elif _OF_PROGRAMS.fullmatch(name) and name not in _SOCKETS and _PACKAGED.get(name) != value and value:
        yield f"{name} says which programs run, or where they are"


def _command(name: str, value: str, own: set[str]) -> str:
    """Why a command that delivers mail is not carried, or nothing."""
    if _SHELL.search(value):
        return f"{name} needs a shell"
    if set(_PARAMETER.findall(value)) & own:
        return f"{name} is put together from other settings"
    words = value[_BEFORE.match(value).end() :].split()  # type: ignore[union-attr]  # it matches nothing, too
    program = words[0].strip("\"'") if words else ""
    if program and program.rpartition("/")[2] not in _AGENTS:
        return f"{name} runs {program[:60]}"
    options = {word for word in words[1:] if word.startswith("-") and word not in _OPTIONS}
    return f"{name} has the option {min(options)[:20]}" if options else ""


def _master(text: str) -> tuple[str, list[str]]:
    lines = text.split("\n")
    wrong = {number: said for number, line in enumerate(lines) if (said := is_plain(line))}
    for at, entry in logical(lines):
        fields = entry.split()
        said = ""
        if len(fields) > 7 and fields[7] not in _SERVICES:
            said = f"the service {fields[0][:30]} runs {fields[7][:30]}"
        given = re.sub(r"^(\S+\s+){7}\S+", "", entry) if len(fields) > 8 else ""
        if not said and (rest := _ARGUMENT.sub("", given).strip()):
            said = f"the service {fields[0][:30]} has the argument {rest[:30]}"
        for long, of_long, short, of_short in _ARGUMENT.findall(given):
            said = said or _setting(long or short, of_long.strip() or of_short, set())
        if said:
            wrong |= dict.fromkeys(at, "") | {at[0]: said}
    return left_out(lines, dict(sorted(wrong.items())))


def _table(text: str) -> tuple[str, list[str]]:
    lines = text.split("\n")
    wrong = {number: said for number, line in enumerate(lines) if (said := is_plain(line))}
    for at, entry in logical(lines):
        if _PIPE.search(entry) or _INCLUDE.search(entry):
            wrong |= dict.fromkeys(at, "") | {
                at[0]: "a command or a list of addresses elsewhere, in place of an address"
            }
    return left_out(lines, dict(sorted(wrong.items())))


# Settings of Dovecot that name a program or where programs are, and what its processes are started with (doveconf(1)).
_RUNS = re.compile(
    r"executable|exec|.*_plugin_dir|libexec_dir|base_dir|state_dir|import_environment|chroot|.*_chroot|ssl_crypto_device|"
    r".*script.*|.*_exec(_.*)?|.*_executable|module_dir|fts_decoder|.*rawlog.*|sieve_.*|sendmail_path|.*_helper_path"
)
_DRIVERS = frozenset(["pam", "passwd", "passwd-file", "shadow", "static", "prefetch", "nss"])
_OURS = re.compile(
    r"(?!.*\.\.)(/etc/(dovecot|ssl|pki)/|/usr/share/dovecot/|(?!/|\$)|/var/(log|mail|spool|run)/|/run/)\S*"
)
_MAIL_OF = ("first_valid_uid", "first_valid_gid", "mail_uid", "mail_gid")
_ROOT = re.compile(r"0+|root|.*\$.*")  # a variable may stand for anything
_CONTINUED = re.compile(r"\\\s*(#.*)?$")  # what a comment hides goes on, too
_LOGS = re.compile(r"(?!.*\.\.)/(var/log|dev)/[^$]*|[^/$]*")
_DOVECOT_LINE = re.compile(r"^\s*(!include(?:_try)?\s+|[\w/.:-]+\s*=)\s*(.*?)\s*$")


def _dovecot(line: str) -> str:
    found = _DOVECOT_LINE.match(line)
    if (said := is_plain(line)) or line.lstrip().startswith("#"):
        return said
    if _CONTINUED.search(line):
        return "it goes on in the next line"
    if not found:
        return ""
    name, value = found[1].rstrip("= \t").rpartition("/")[2], found[2].strip("\"'")
    return next(_wrong_in_dovecot(name, value), "")


def _wrong_in_dovecot(name: str, value: str) -> Iterator[str]:
    read = value[1:].strip() if value.startswith("<") else value if name.startswith("!include") else ""
    if read and not _OURS.fullmatch(read):
        yield f"{name} reads {read[:60]}"
    if _RUNS.fullmatch(name):
        yield f"{name} says which programs run, or where they are"
    if name == "driver" and value not in _DRIVERS:
        yield f"the driver {value[:20]} asks another program"
    if name.endswith("log_path") and not _LOGS.fullmatch(value):
        yield f"{name} writes to {value[:60]}"
    if name in _MAIL_OF and _ROOT.fullmatch(value):
        yield f"{name} gives mail the rights of root"
    if name == "args" and re.search(r"\b[ug]id=(0+|root)\b|\$", value):
        yield "args give mail the rights of root"


_SYSLOG_FILE = r"-?/var/log(/(?!\.\.)[\w.-]+)+(;\w+)?"
_SYSLOG = re.compile(
    r"\s*(#.*)?"
    r"|\s*\$(ActionFileDefaultTemplate|FileCreateMode|DirCreateMode|Umask|FileOwner|FileGroup|WorkDirectory|RepeatedMsgReduction) [\w./-]+"
    r"|\s*\$IncludeConfig /etc/rsyslog\.d/[\w.*-]+"
    r'|\s*(\$ModLoad im\w+|module\(load="im\w+"[^|^()]*\)|include\(file="/run/rsyslog\.conf"[^|^()]*\))\s*(#.*)?'
    rf"|\s*(:\w+, ?!?\w+, ?\"[^\"]*\"|[\w*,;=!.]+\.[\w*,;=!.]+)\s+({_SYSLOG_FILE}|:omusrmsg:[\w*,]+|stop|~|@@?[\w.:-]+)\s*(#.*)?"
)


def _rsyslog(line: str) -> str:
    return is_plain(line) or (
        "" if _SYSLOG.fullmatch(line) else f"not a selector with a file below /var/log: {line.strip()[:60]}"
    )


LAWS = (
    Law(("/etc/postfix/main.cf",), _main),
    Law(("/etc/postfix/master.cf",), _master),
    # The package's own programs and lists.
    Law(
        (
            "/etc/postfix/*.proto",
            "/etc/postfix/dynamicmaps.cf",
            "/etc/postfix/makedefs.out",
            "/etc/postfix/post-install",
            "/etc/postfix/postfix-files",
            "/etc/postfix/postfix-script",
        )
    ),
    Law(("/etc/aliases.db",), makes=("/usr/sbin/postalias", "hash:{source}")),
    Law(("/etc/postfix/*.db",), makes=("/usr/sbin/postmap", "hash:{source}")),
    Law(("/etc/postfix/*passw*",), _table, secrets=re.compile(r"^\S+[ \t]+[^\s:]+:(\S+)", re.MULTILINE)),
    Law(("/etc/aliases", "/etc/postfix/*", "/etc/mailname"), _table),
    Law(
        (
            "/etc/dovecot/dovecot-*.ext",
            *(
                f"/etc/dovecot/conf.d/auth-{driver}.conf.ext"
                for driver in ("checkpassword", "dict", "sql", "ldap", "lua")
            ),
        )
    ),
    Law(
        ("/etc/dovecot/*users*",), by_lines(is_plain), secrets=re.compile(r"^[^:\n]+:(\{PLAIN\}[^:\n]*)", re.MULTILINE)
    ),
    Law(("/etc/dovecot/*", "/etc/dovecot/conf.d/*"), by_lines(_dovecot)),
    Law(("/etc/rsyslog.conf", "/etc/rsyslog.d/*.conf"), by_lines(_rsyslog)),
)
