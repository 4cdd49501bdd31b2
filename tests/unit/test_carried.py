"""What is carried of a machine's configuration to clean machines: data stays, whatever names a program does not."""

import re

import pytest

from labenv.checks.carried import law_of, logical, matches
from labenv.classroom.handins import laws
from labenv.lab import labs

LAWS = laws.of(labs.load("lab4b"))
MAIN, MASTER, ALIASES = "/etc/postfix/main.cf", "/etc/postfix/master.cf", "/etc/aliases"
NAMED, ZONE, DOVECOT = "/etc/named.conf", "/var/named/mydb-for-asmith15-ops", "/etc/dovecot/conf.d/10-mail.conf"
RULES, DROP_IN = "/etc/sysconfig/iptables", "/etc/systemd/system/dovecot.service.d/local.conf"
IFCFG, RSYSLOG = "/etc/sysconfig/network-scripts/ifcfg-eth0", "/etc/rsyslog.conf"


def judged(path: str, text: str) -> tuple[str, list[str]]:
    law = law_of(path, LAWS)
    assert law, path
    assert law.judge, path
    return law.judge(text)


# What students write, right and wrong: a mistake has to arrive on the clean machine as it is.
CARRIED = [
    (MAIN, 'mailbox_command = /usr/libexec/dovecot/dovecot-lda -f "$SENDER" -a "$RECIPIENT"'),
    (MAIN, 'mailbox_command = /usr/lib/dovecot/libexec/dovecot-lda -f "" -a ""'),
    (MAIN, "mailbox_command = /usr/libexec/dovecot/dovecot-lda -f “$SENDER” -a “$RECIPIENT”"),
    (MAIN, 'mailbox_command = exec /usr/bin/env LC_ALL=C /usr/libexec/dovecot/dovecot-lda -e -f "${SENDER}"'),
    (MAIN, "mailbox_command_maps = static:/bin/true"),
    (MAIN, "mydestination = $mydomain,\n  $myhostname,\n# the machine itself\n\tlocalhost"),
    (MAIN, "relayhost vm3.asmith15.ops"),
    (MAIN, "queue_directory = /var/spool/postfix\ndaemon_directory = /usr/lib/postfix/sbin\nsetgid_group = postdrop"),
    (MAIN, "header_checks = pcre:{ { /^X: (a|b)/ REJECT } }\nsmtpd_sasl_path = private/auth"),
    (MASTER, "smtp      inet  n       -       n       -       -       smtpd\n  -o smtpd_tls_security_level=may"),
    (
        MASTER,
        "relay     unix  -       -       n       -       -       smtp\n        -o syslog_name=postfix/$service_name",
    ),
    (
        MASTER,
        "smtps inet n - n - - smtpd -v\n  -o { smtpd_banner = a b }\n  -o smtpd_tls_wrappermode=yes\ncleanup unix n - n - 0 cleanup -u",
    ),
    (
        MAIN,
        "alias_maps = hash:/etc/aliases, nis:mail.aliases\nalias_database = hash:/etc/aliases\nforward_path = $home/.forward",
    ),
    (ALIASES, "root: asmith15, \\smith\n  , postmaster\n"),
    ("/etc/postfix/checks", "/^(a|b)\\.example/  REJECT"),
    (NAMED, 'options { directory "/var/named/"; };\nzone "a" { type master; file "a"; };\ninclude "/etc/named.zones";'),
    (NAMED, 'options { # include "/etc/shadow";\n listen-on { any; };\n}'),
    (NAMED, 'options { directory "/var/nmaed/"; };\nzone "a" { type master; file "/etc/a"; };'),
    (NAMED, "zone a { type master\n file b; }"),
    (ZONE, "$ORIGIN ops.\n$INCLUDE mx.include\n@ IN MX 10 vm3\n# no comment"),
    (
        DOVECOT,
        "mail_location = maildir:~/Maildir\n!include_try local.conf\nssl_key = </etc/pki/dovecot/private/dovecot.pem",
    ),
    (DOVECOT, "passdb {\n  driver = passwd-file\n  args = /etc/dovecot/users\n}\nprotocls = imap"),
    (RULES, "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dprot 143 -j ACCEPT\nCOMMIT"),
    (RULES, "*filter\r\n:INPUT DROP [0:0]\r\n-A INPUT -m set --match-set lan src -j ACCEPT\r\n"),
    (RULES, '-A MYSSH -m statistic --mode random --probability 0.5 -j LOG --log-prefix "DENIED BY MYSSH "'),
    (DROP_IN, "[Service]\nExecStop=\n"),
    (NAMED, 'options { directory "/var/named"; dump-file "data/cache_dump.db"; };'),
    (DROP_IN, "[Unit]\nConditionPathExists=/etc/dovecot/enabled\nConflicts=rsyslog.service\n[Service]\nRestart=always"),
    (IFCFG, 'DEVICE=eth0\nIPADDR="192.168.90.4"\n# DNS1\nDNS1=192.168.90.1\nDOMAIN=asmith15.ops\n'),
    (
        RSYSLOG,
        'mail.*    -/var/log/maillog\n*.info;mail.none  /var/log/messages\n*.emerg :omusrmsg:*\n:msg, contains, "x" stop',
    ),
]

HOSTILE = [
    (MAIN, "mailbox_command = /bin/sh -c 'cp /bin/true /tmp/x'", "runs /bin/sh"),
    (MAIN, "mailbox_command = /usr/libexec/dovecot/dovecot-lda; reboot", "needs a shell"),
    (MAIN, "mailbox_command = $evil\nevil = /bin/sh", "put together from other settings"),
    (MAIN, "mailbox_command = /usr/libexec/dovecot/dovecot-lda -o mail_plugin_dir=/tmp", "the option -o"),
    (MAIN, "mailbox_command = env LD_PRELOAD=/tmp/x.so dovecot-lda", "runs LD_PRELOAD"),
    (MAIN, "mailbox_command_maps = hash:/etc/postfix/commands", "table of commands"),
    (MAIN, "debugger_command =\n  PATH=/bin; sh", "debugger_command says which programs run"),
    (MAIN, "luser_relay = |/bin/sh", "names a command"),
    (MAIN, "virtual_minimum_uid = 0", "says which programs run"),
    (MAIN, "maillog_file = /var/spool/cron/crontabs/root", "writes to /var/spool"),
    (DOVECOT, "first_valid_uid = 0", "the rights of root"),
    (DOVECOT, "userdb {\n  driver = static\n  args = uid=0 gid=0 home=/etc\n}", "the rights of root"),
    (MAIN, "daemon_directory = /var/named", "says which programs run"),
    (MAIN, "import_environment = LD_PRELOAD=/tmp/x.so", "says which programs run"),
    (MASTER, "evil unix - n n - - pipe flags=DRhu user=root argv=/bin/sh", "the service evil runs pipe"),
    (MASTER, "smtp inet n - n - - ../../../bin/sh", "runs ../../../bin/sh"),
    (MASTER, "smtp inet n - n - - smtpd\n  -o debugger_command=sh", "says which programs run"),
    (MASTER, "evil unix - n n - - spawn\n  user=root argv=/bin/sh", "runs spawn"),
    (ALIASES, 'root: "|/bin/sh"', "a command"),
    (ALIASES, "root:|/bin/sh", "a command"),
    (ALIASES, "root: smith,\n  |/bin/sh", "a command"),
    (ALIASES, "root: :include:/etc/shadow", "a list of addresses elsewhere"),
    (ALIASES, "root: (hi)|/bin/sh", "a command"),
    (MAIN, "alias_maps = inline:{ root=|/bin/sh }", "names a command"),
    (MAIN, "alias_maps = hash:/etc/aliases, texthash:/etc/dovecot/users", "not among the files"),
    (MAIN, "forward_path = /etc/dovecot/users", "not among the files"),
    (MASTER, "local unix - n n - - local -o { mailbox_command = true ; /bin/sh }", "needs a shell"),
    (MASTER, "local unix - n n - - local -omailbox_command=/bin/sh", "has the argument -omailbox"),
    (MASTER, "local unix - n n - - local -vo mailbox_command=/bin/sh", "has the argument -vo"),
    (NAMED, 'include "/etc/shadow";', "include of /etc/shadow"),
    (NAMED, 'include "/var/named/../../etc/shadow";', "include of"),
    (NAMED, 'zone "x" { type master; dlz "d" ; };\ndlz "x" { database "dlopen /tmp/x.so"; };', "dlz loads a library"),
    (NAMED, 'plugin query "/tmp/x.so";', "plugin loads a library"),
    (NAMED, 'options { pid-file "/etc/passwd"; };', "pid-file /etc/passwd"),
    (NAMED, 'logging { channel c { file "/etc/cron.d/x"; }; };', "file /etc/cron.d/x"),
    (ZONE, "$INCLUDE /etc/shadow", "$INCLUDE of /etc/shadow"),
    (ZONE, "$GENERATE 1-4000000 a$ A 1.2.3.4", "$GENERATE"),
    (DOVECOT, "service imap {\n  executable = script /tmp/x\n}", "executable says which programs run"),
    (DOVECOT, "!include /etc/shadow", "reads /etc/shadow"),
    (DOVECOT, "ssl_cert = </etc/shadow", "reads /etc/shadow"),
    (DOVECOT, "passdb {\n  driver = checkpassword\n  args = /tmp/x\n}", "driver checkpassword"),
    (DOVECOT, "driver = \\\n  lua", "goes on in the next line"),
    (DOVECOT, "executable \\\n= doveadm", "goes on in the next line"),
    (DOVECOT, "executable = \\ # so\ndoveadm", "goes on in the next line"),
    (DOVECOT, "sendmail_path = /bin/sh -c reboot", "says which programs run"),
    (DOVECOT, "auth_winbind_helper_path = /bin/sh", "says which programs run"),
    (DOVECOT, "log_path = /var/log/../../tmp/x", "writes to /var/log/.."),
    (DOVECOT, "log_path = $mail_home", "writes to $mail_home"),
    (DOVECOT, "mail_uid = 00", "the rights of root"),
    (DOVECOT, "mail_uid = $mail_home", "the rights of root"),
    (DOVECOT, "mail_plugin_dir = /tmp", "says which programs run"),
    (DOVECOT, "log_path = /etc/ld.so.preload", "writes to /etc/ld.so.preload"),
    (RULES, "-A INPUT -M /tmp/x -m nothing -j ACCEPT", "a program that loads modules"),
    (RULES, "-A INPUT --modprobe=/tmp/x -j ACCEPT", "a program that loads modules"),
    (RULES, "-A INPUT -j ../../../tmp/x", "a module by its file"),
    (RULES, "$(reboot)", "no rule"),
    (DROP_IN, "[Service]\nExecStartPre=/bin/sh -c reboot", "ExecStartPre="),
    (DROP_IN, "[Service]\nEnvironment=LD_PRELOAD=/tmp/x.so", "Environment="),
    (DROP_IN, "[Unit]\nDescription=a \\\nb", "goes on in the next line"),
    (IFCFG, "GATEWAY=$(reboot)", "not NAME=VALUE"),
    (IFCFG, "reboot", "not NAME=VALUE"),
    (RSYSLOG, "mail.* ^/bin/sh", "not a selector"),
    (RSYSLOG, 'module(load="omprog")', "not a selector"),
    (RSYSLOG, 'module(load="imuxsock") module(load="omprog") action(type="omprog" binary="/bin/sh")', "not a selector"),
    (RSYSLOG, "mail.* /var/log/../../tmp/x", "not a selector"),
    (RSYSLOG, 'mail.* action(type="omprog" binary="/bin/sh")', "not a selector"),
    ("/etc/hosts", "192.168.90.4 vm3\x1b[2J", "control characters"),
]


@pytest.mark.parametrize(("path", "text"), CARRIED, ids=lambda value: re.sub(r"\W+", "-", value)[:40])
def test_data_is_carried_as_it_is_with_its_mistakes(path: str, text: str) -> None:
    assert judged(path, text) == (text, [])


@pytest.mark.parametrize(("path", "text", "said"), HOSTILE, ids=lambda value: re.sub(r"\W+", "-", value)[:40])
def test_what_names_a_program_or_a_place_elsewhere_is_left_out_and_named(path: str, text: str, said: str) -> None:
    carried, wrong = judged(path, text)
    assert said in "; ".join(wrong)
    assert wrong[0].startswith("line ")
    for word in ("/bin/sh", "/tmp/", "reboot", "/etc/shadow", "omprog", "LD_PRELOAD", "\x1b"):
        # A setting of no meaning may stay; what would run or be read does not.
        if word in text and "evil = " not in text and "a b" not in text:
            assert word not in carried.replace("args = /tmp/x", "")


def test_lines_stay_where_they_are_when_one_is_left_out() -> None:
    carried, wrong = judged(MAIN, "a = 1\ndebugger_command = sh\n  -c x\nb = 2")
    assert carried == "a = 1\n\n\nb = 2"
    assert wrong == ["line 2: debugger_command says which programs run, or where they are"]
    carried, _ = judged(NAMED, 'options { };\ninclude "/etc/shadow"; zone "a" { file "a"; };')
    assert carried.split("\n")[0] == "options { };"
    assert 'zone "a" { file "a"; };' in carried


@pytest.mark.parametrize(
    ("path", "pattern", "is_so"),
    [
        ("/etc/postfix/main.cf", "/etc/postfix/*", True),
        ("/etc/postfix/sasl/passwd", "/etc/postfix/*", False),
        ("/etc/postfix/.hidden", "/etc/postfix/*", False),
        ("/home/a/Maildir/.Trash", "/home/*/Maildir/.*", True),
        ("/etc/../etc/shadow", "/etc/*", False),
    ],
)
def test_a_pattern_means_what_a_shell_finds_by_it(path: str, pattern: str, is_so: bool) -> None:
    assert matches(path, pattern) is is_so


def test_the_images_own_programs_are_never_carried() -> None:
    for path in ("/etc/postfix/postfix-script", "/etc/postfix/post-install", "/etc/postfix/dynamicmaps.cf"):
        law = law_of(path, LAWS)
        assert law
        assert law.judge is None
        assert not law.makes


@pytest.mark.parametrize(
    "path", ["/etc/pam.d/dovecot", "/etc/ssh/sshd_config", "/etc/cron.d/x", "/etc/ld.so.preload", "/etc/sudoers"]
)
def test_what_no_law_is_about_is_not_carried(path: str) -> None:
    assert law_of(path, LAWS) is None


def test_a_password_for_another_server_is_packed_as_asterisks() -> None:
    law = law_of("/etc/postfix/sasl_passwd", LAWS)
    assert law
    assert law.without_secrets("[vm3.a.ops]:25 user:user\n") == "[vm3.a.ops]:25 user:****\n"


def test_a_logical_line_goes_on_after_a_comment() -> None:
    assert list(logical(["a = 1", "# c", "  2", "", "b"])) == [([0, 2], "a = 1 2"), ([4], "b")]
