"""A class of students, made up: submissions as honest ones are, and copies of them.

Everybody follows the same sheet: the same settings, many of the same commands, the same questions. The answers are made of
sentences of which each student happens to choose some, so that any two have several in common, more than real ones would.
"""

import json
import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from labenv.lab import labs, overlay, topology
from labenv.lab.solution import commands
from labenv.sheet import logbook
from labenv.student import Student, derive_x
from tests.unit.made_submissions import members, saved

LAB = labs.load("lab4b")
NAMES = [
    "ann",
    "ben",
    "cleo",
    "dan",
    "eva",
    "finn",
    "gus",
    "hana",
    "ivo",
    "jana",
    "kim",
    "lars",
    "mia",
    "nils",
    "ola",
    "pia",
    "quinn",
    "rosa",
    "sven",
    "tara",
    "uwe",
    "vera",
    "will",
    "xena",
    "yara",
    "zoe",
]
KINDS = ("careful", "careful", "careful", "brief", "by the solutions", "quoting", "nearly empty", "empty")

# For each question of the log book: how an answer may begin, and how it may go on.
ANSWERS = {
    "How often does the mail client": (
        """It looks every ten minutes, as the server settings say.
        Every 10 minutes by default, but one can change the number.
        My Thunderbird was set to check for new messages each ten minutes and also at startup.
        I found the interval under Account Settings, Server Settings: ten minutes.
        By default the inbox is polled six times an hour.
        New mail is fetched when the program starts and then at a fixed interval.
        Ten minutes.""",
        """With IMAP IDLE the server tells the client at once, so the interval hardly matters.
        I set it to one minute because waiting is boring.
        For a laptop on battery I would choose a longer time.
        You can press Get Messages if you do not want to wait.
        There is a checkbox for it right below the port number.
        I think that is enough for a lab.
        A message that I sent to myself appeared after about three minutes.""",
    ),
    "Does it write messages as HTML": (
        """HTML unless you untick the box in Composition and Addressing.
        It composes in HTML format by default.
        As HTML, and it offers to convert to plain text when sending.
        Plain text after I changed the option; before that it was rich text.
        The default is HTML with bold, colours and pictures.
        Messages are written in HTML, which my professor does not like.
        HTML.""",
        """Holding shift while clicking Write gives the other one.
        For mailing lists plain text is the polite choice.
        The source of the message shows both parts as multipart alternative.
        It matters because some readers cannot show markup at all.
        I looked at the raw message with Ctrl-U to be sure.
        The setting is kept separately for each account.
        I left that alone.""",
    ),
    "Where are the settings for sending": (
        """They are at the bottom of the account list under Outgoing Server.
        SMTP has its own entry at the very end of Account Settings.
        Outgoing servers are listed separately from all of the accounts.
        You find them in the left column, last line, Outgoing Server (SMTP).
        In a section of their own, because one outgoing server may serve many accounts.
        The list of SMTP servers is not part of an account.
        At the end of the account settings.""",
        """Sending uses a different protocol and often a different machine than reading.
        Two accounts can share a single relay, so it would be silly to repeat it.
        Receiving is IMAP or POP while sending is SMTP, these are unrelated connections.
        That way the password for the relay is stored once.
        A message goes out through one host and comes in through another.
        I guess the programmers wanted to reuse it.
        In our lab that is vm2 for sending and vm3 for reading.""",
    ),
    "Why does root get no mail": (
        """The delivery agent runs as nobody for root and may not write below the home of root.
        Postfix does not run the command with root privileges, so /root/Maildir cannot be created.
        Because local(8) drops to the default user and that one has no permission there.
        Root has no access through dovecot-lda since it is executed with default_privs.
        The log complains about permission denied when it tries to make the folder.
        Mail for the administrator is deferred: the mailbox command fails with an error.
        Permission denied.""",
        """In /var/log/maillog the line with status=deferred and temporary failure tells it.
        It was the line with dsn=4.3.0 that gave it away.
        I found it with grep root on the log after waiting a while.
        The message stays in the queue, mailq still lists it.
        An alias to my own user would solve this.
        I copied the line into my notes before it was rotated.
        The other users are not affected at all.""",
    ),
    "Which services of the sheet": (
        """MTA on both vm2 and vm3, MDA and IMAP on vm3, DNS on host, and Thunderbird as MUA on host.
        So far: Postfix on two machines, Dovecot with LDA and IMAP on the third, BIND on the host.
        Everything in the picture except webmail is running now.
        vm2 is the sending MTA, vm3 receives, stores and serves the mail, host answers the names.
        DNS is on host, SMTP on vm2 and vm3, the message store and IMAP on vm3.
        All boxes of the diagram are covered but the web interface.
        Postfix, Dovecot, BIND, Thunderbird.""",
        """The arrows between them are TCP connections on port 25 and 143.
        POP3 is switched off on purpose.
        Roundcube will come in a later lab as I understand it.
        I drew the picture again with my own addresses to learn it.
        The firewall sits in front of each of them.
        It surprised me how many programs one letter passes.
        That was the part of the lab I liked best.""",
    ),
    "1. What is Thunderbird": (
        """Thunderbird is a mail client, an MUA, to read and write email.
        It is a graphical program with which a user reads, writes and sorts mail.
        A desktop application that fetches mail by IMAP or POP3 and hands new mail to an SMTP server.
        The mail user agent of this lab.
        It lets people use their mail without knowing anything about servers.
        It is the program of the user at the end of the chain.
        To read mail.""",
        """It keeps a copy of the headers in a local cache.
        Several accounts can be shown side by side.
        It replaces the mailx command of the last lab.
        The messages themselves stay on the server.
        There are others such as Evolution, Outlook or mutt.
        It is made by the Mozilla people and free.
        I use it at home as well.""",
    ),
    "2. What has to be done in the DNS": (
        """Add an MX record for the domain that names vm3, and an A record for vm3 itself.
        The zone on host needs an MX line with a preference and the name of the mail server.
        First edit the forward zone file, then raise the serial, then restart named.
        Names for vm2 and vm3 must resolve, and the domain must have a mail exchanger.
        The client only needs address records for the two servers that it was told about.
        One puts an A record for each server and an MX record into the forward lookup zone.
        MX and A records.""",
        """After that dig should show it in the answer section.
        Do not forget the dot at the end of the name, I did.
        The PTR in the reverse zone is nice but not required.
        rndc reload would be enough instead of a restart.
        named-checkzone told me about my missing semicolon.
        The machine that runs the client must also ask our own name server.
        I increased the serial by one.""",
    ),
    "3. What is the package Dovecot": (
        """Dovecot is an IMAP and POP3 server, and it brings a local delivery agent.
        It stores arriving messages in the mailbox of the user and lets clients read them.
        A server for reading mail over the network, and the LDA that Postfix calls.
        It gives access to the message store by IMAP.
        Two things: dovecot-lda puts mail away, the daemon hands it out.
        It does for reading what Postfix does for sending.
        An IMAP server.""",
        """It also does authentication for other programs.
        Its index files make large folders fast.
        In this lab we only switched on one protocol.
        The configuration is spread over many small files, which was confusing.
        It can filter with Sieve too.
        Using it for both jobs keeps the indexes up to date.
        Version 2.3 is what I got.""",
    ),
    "4. What does mydestination": (
        """It lists the domains for which this Postfix delivers locally instead of passing the mail on.
        Which addresses the machine considers to be its own.
        If the part after the @ is in that list the message is final here.
        The names for which the server is the last stop.
        Mail to anything in it goes to local users, everything else is relayed or refused.
        It decides whether a recipient is looked up in the local users.
        The domains we accept mail for.""",
        """On vm3 the domain itself had to be added.
        Without it I got mail loops back to myself in the log.
        On vm2 it must not contain the domain or mail would stay there.
        The default covers just the host name and localhost.
        Virtual domains are handled by other parameters.
        postconf without -n shows the default value as well.
        It took me long to see that.""",
    ),
    "5. Why would one put IMAP and POP": (
        """To share the load, and so that a failure of one does not take the other with it.
        If the SMTP server is attacked from the Internet the stored mail is still safe elsewhere.
        Security: fewer programs on a host means fewer holes.
        Each of them can then be updated, rebooted and sized on its own.
        An MTA faces the whole world while the message store should only be seen by our users.
        Reading mail costs disk and memory, sending costs network.
        For performance and safety.""",
        """Firewall rules become simpler when every host has a single purpose.
        In a small company I would not bother.
        Big providers have dozens of each behind a balancer.
        One can take down one part in the night without anybody noticing.
        Backups are easier too since only one disk has to be saved.
        Spam scanning for instance needs a lot of processor time.
        That is what the diagram shows.""",
    ),
    "6. What does mail_location": (
        """Where and in which format the mail of a user is kept, here a Maildir in the home folder.
        It tells Dovecot the path and the type of the mailboxes.
        The place of the messages on the disk: maildir means one file for each message.
        mbox or Maildir, and the directory.
        It sets the format of the message store and where to find it.
        Dovecot reads it to know into which directory it should look.
        The location of the mailboxes.""",
        """The tilde stands for the home of each user.
        If it is left empty Dovecot guesses, which went wrong for me.
        Both the LDA and the IMAP process use the same setting.
        New messages land in the subfolder new and move to cur when they were seen.
        One file per message means no locking of a huge file.
        Variables such as %u could be used as well.
        Then restart.""",
    ),
    "7. Why can root get no mail": (
        """See Investigation 2: the agent has no right to write into /root.
        Since dovecot-lda is not run as root it cannot make a Maildir in that home.
        The home of root is closed to the user that Postfix uses for it.
        Root's home directory has mode 700 and the LDA is nobody there.
        Delivery to root as a user is refused for good reasons.
        Postfix never runs an external program as root.
        No permission.""",
        """I would forward it to a normal account in /etc/aliases and run newaliases.
        One line root: myself in the aliases file is the usual way.
        Another idea is a mail_location outside of the home directories.
        Changing the mode of /root would work but is a bad idea.
        Giving root a .forward file did not help, I tried.
        An alias is best because somebody should read those messages anyway.
        Use an alias.""",
    ),
}
# What students note while they work: who or what, what happened, and what came of it.
DID = (
    """At first|On vm2|On vm3|On host|After a coffee|In the second round|With the new setting|Before the restart|After the restart
    While testing|Late at night|With the editor still open|To my surprise|On the other machine|When I looked again|This time
    In the beginning|Without any change|As a test|Later on|On Tuesday|During the tutorial|Once more|For no clear reason""",
    """the message arrived|nothing arrived|my letter was stuck in the queue|the sender was root at the domain|the service did not start
    the port was closed|the banner named the wrong machine|dig gave no answer|the record was there|a warning about a double line came up
    the log stayed silent|the rule was in the wrong place|the login was refused|the inbox was empty|the folder new had one file
    the connection timed out|a typo in main.cf spoiled it|the parameter had no effect|both names resolved|the name server was not asked
    Thunderbird complained about the password|the message came back to me|the old value was still in use|I got two copies""",
    """because I had forgotten to restart|which the log explained|so I read the manual page|until I opened the firewall|and I do not know why
    since the last line wins|after about a minute|as I had expected|so I went back one stage|and a classmate had the same
    which cost me half an hour|and postconf showed it|because of a missing dot|and then it was obvious|so I compared it with my backup
    and the hint was right|because the policy is DROP|and I wrote it down at once|so I started from scratch|and that was all
    because the serial was old|and I felt stupid|which I find elegant|so I saved the rules""",
)
# Of the sheet and of the lab, word for word, as students like to quote it.
QUOTES = """
    Edit the /etc/postfix/main.cf file for vm3 ONLY, scroll down to the line containing: mydestination and change line to the text shown below
    All mail is now being delivered to a centralized location (and also appears to be coming from that same location), but a user would still have to access that server to retrieve it.
    Due to permissions on the directories where mail will now be stored, root will no longer receive mail. Check the logs for an indication as to why.
    Note: This combination of parameters will allow your username and password to be sent over the internet in plain text, for anyone interested to look at.
    Mail from this machine still has the machine's own name in its sender address, or main.cf sets the parameter twice: the last line wins.
    Postfix is capable of performing the function of an LDA, but its LDA capabilities are limited, thus postfix is generally not used for that purpose.
    In order for this to work, we need to add a DNS record that will point mail sent to the domain towards one of the SMTP servers configured to accept it.
    Use the ss command to confirm the service is listening, and use nc on the host to confirm you can connect to it.
    List the steps to configure your DNS to allow your Thunderbird application to connect to your mail server.
""".strip().splitlines()
# What one types by the sheet, in its order; what one types besides.
TYPED = {
    "vm2": """mail|vi /etc/postfix/main.cf|systemctl restart postfix|mail -s test root@{domain}|tail /var/log/maillog
        vi /etc/postfix/main.cf|service postfix restart|mail -s "relay test" root@{domain}|mailq|ss -ltn|tail -f /var/log/maillog
        iptables -L -v -n|postconf -n|systemctl status postfix""",
    "vm3": """mail|vi /etc/postfix/main.cf|systemctl restart postfix|mail -s hello root@vm2.{domain}|yum install dovecot
        vi /etc/dovecot/conf.d/10-mail.conf|systemctl restart postfix|tail /var/log/maillog|vi /etc/dovecot/dovecot.conf
        systemctl start dovecot|systemctl enable dovecot|ss -atnp|iptables -I INPUT -p tcp -s {net}.0/24 --dport 143 -j ACCEPT
        service iptables save|vi /etc/dovecot/conf.d/10-auth.conf|vi /etc/dovecot/conf.d/10-ssl.conf|systemctl restart dovecot
        useradd -m {first}|passwd {first}|ls /home/{first}/Maildir/new|cat /home/{first}/Maildir/new/*""",
    "host": """vi /var/named/mydb-for-{id}-ops|systemctl restart named|dig mx {domain}|host -t mx {domain}|nc vm3 143|nc vm2 25""",
}
BESIDES = """ls|ls -la|clear|history|cd /etc/postfix|cd|pwd|cat /etc/postfix/main.cf|less /var/log/maillog|ip a|ping vm3|nano main.cf
    sytemctl restart postfix|systemctl restart postifx|cp main.cf main.cf.bak|diff main.cf main.cf.bak|grep relay main.cf|man postconf
    journalctl -xe|journalctl -u postfix|tail -n 50 /var/log/maillog|echo hello there | mail -s greetings {first}|date|exit|whoami
    mail -s "one more try" root|mail -s lunch? root@{domain}|grep -r mail_location /etc/dovecot|doveconf -n|vim /etc/hosts|top
    tail /var/log/mailog|cat /var/log/syslog|which dovecot|dig {domain} any|nmap vm3|telnet vm3 25|postfix check|named-checkconf
    dig axfr {domain}|iptables -nvL --line-numbers|sl|cta main.cf|rm main.cf.swp|echo $?|sudo -i|yum update|postqueue -p|hostnamectl
    alias ll='ls -l'|mkdir ~/backup|tar czf ~/backup/etc.tgz /etc|echo this is {first} speaking | mail {id}|vimtutor|cowsay moo""".replace(
    "\n    ", "|"
).split("|")
COMMENTS = """# changed for lab 4b|# my network|# was $myhostname before|# added by me|# do not touch, it works|# relay everything through vm3
    # see page 3 of the notes|# FIXME later|# only for testing|# root wants mail too|# from the sheet|# TODO ask the professor""".replace(
    "\n    ", "|"
).split("|")
OTHER_WORDS = [
    "actually",
    "basically",
    "certainly",
    "definitely",
    "evidently",
    "finally",
    "generally",
    "hopefully",
    "indeed",
    "just",
    "likely",
    "maybe",
    "namely",
    "often",
    "perhaps",
    "quite",
    "rather",
    "simply",
    "therefore",
    "usually",
    "very",
    "while",
    "yet",
    "mostly",
    "clearly",
]


@dataclass(frozen=True)
class Made:
    """A made submission: whose it is, its members, and when it was handed in; `of` names the one that it was copied from."""

    student: Student
    members: dict[str, bytes]
    made: datetime
    of: str = ""

    def saved(self, folder: Path) -> Path:
        """It as an archive in a folder."""
        about = {"network": str(self.student.network), "time": self.made.isoformat(), "first": self.student.first}
        return saved(folder / f"{self.student.id}.tar.gz", self.student.id, self.members, **about)


def a_class(seed: int, honest: int = 20, copies: int = 10) -> list[Made]:
    """Honest submissions, and copies of some of them: new id, a tenth of the words changed."""
    chance = random.Random(seed)
    ids = [f"{name}{chance.randint(1, 99)}" for name in NAMES]
    ids += [
        f"{chance.choice('abcdefgh')}{name}{place}" for place, name in enumerate(NAMES * (1 + (honest + copies) // 26))
    ]
    names = iter(dict.fromkeys(ids))
    made = [an_honest_one(chance, next(names), KINDS[place % len(KINDS)]) for place in range(honest)]
    return made + [a_copy(chance, original, next(names)) for original in chance.sample(made, copies)]


def an_honest_one(chance: random.Random, name: str, kind: str) -> Made:
    """A submission of a student who did the lab alone."""
    student = Student(name, derive_x(name), chance.choice([n for n in NAMES if n not in name]), "secret99")
    made = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=chance.randint(60, 20_000))
    contents = members(name)
    contents |= _configuration(chance, student)
    for machine in ("vm2", "vm3"):
        main = contents[f"config/{machine}/etc/postfix/main.cf"].decode()
        settings = "\n".join(line for line in main.splitlines() if re.match(r"my|relay|mailbox|inet", line))
        contents[f"evidence/{machine}.txt"] = (
            f"## Date\n# date\n{made:%a %b %e %H:%M:%S} UTC {made:%Y}\n\n## Host name\n# hostname\n{machine}.{student.domain}\n\n"
            f"## Postfix settings\n{settings}\n\n## Mail log\n{_log(chance, student, machine, made)}"
        ).encode()
        contents[f"history/{machine}/root/.bash_history"] = _typed(chance, student, machine, kind).encode()
    contents["history/host/root/.bash_history"] = _typed(chance, student, "host", kind).encode()
    log = contents["evidence/vm3.txt"].decode().splitlines()
    contents["logbook.md"] = _book(chance, student, kind, log).encode()
    hints = [made - timedelta(minutes=minutes) for minutes in sorted(chance.sample(range(20, 400), 3), reverse=True)]
    lines = [
        json.dumps({"time": each.isoformat(), "step": "17", "level": level + 1}) for level, each in enumerate(hints)
    ]
    contents["hints.jsonl"] = ("\n".join(lines) + "\n").encode()
    return Made(student, contents, made)


def a_copy(chance: random.Random, original: Made, name: str, only: str = "") -> Made:
    """Another's submission with a new id, and a tenth of its words changed. `only` a member is copied, the rest is honest."""
    new = an_honest_one(chance, name, "empty")
    student = Student(
        name, original.student.x if chance.random() < 0.5 else derive_x(name), new.student.first, "secret99"
    )

    def renamed(text: str) -> str:
        for old, own in (
            (original.student.id, student.id),
            (original.student.first, student.first),
            (original.student.prefix, student.prefix),
        ):
            text = re.sub(rf"(?<![a-z0-9]){re.escape(old)}(?![a-z0-9])", own, text)
        return text

    contents = {} if not only else dict(new.members)
    for member, content in original.members.items():
        if only in member:
            text = renamed(content.decode())
            changed = member.startswith(("logbook", "history"))
            contents[renamed(member)] = (_changed(chance, text) if changed else text).encode()
    if only:
        student, made = new.student, new.made
    else:
        made = original.made
    return Made(student, contents, made, original.student.id)


def _changed(chance: random.Random, text: str) -> str:
    """The text with every tenth of its words changed, at random."""
    words = re.split(r"(\s+)", text)
    places = [place for place, word in enumerate(words) if word.strip() and not word.startswith("#")]
    for place in chance.sample(places, len(places) // 10):
        words[place] = chance.choice(OTHER_WORDS)
    return "".join(words)


def _configuration(chance: random.Random, student: Student) -> dict[str, bytes]:
    plan = topology.of(LAB, student)
    found = {
        f"config/{node.name}{item.path}": item.content
        for node in plan.nodes
        if node.name in ("host", "vm2", "vm3")
        for item in overlay.overlay(LAB, plan, node, student, LAB.last_stage)
        if item.path.startswith(("/etc/postfix", "/etc/dovecot", "/etc/sysconfig", "/etc/named", "/var/named"))
        and "ifcfg-lo:" not in item.path
    }
    for name in ("config/vm2/etc/postfix/main.cf", "config/vm3/etc/postfix/main.cf"):
        lines = found[name].decode().splitlines()
        for comment in chance.sample(COMMENTS, chance.randint(0, 3)):
            lines.insert(chance.randrange(len(lines)), comment)
        found[name] = ("\n".join(lines) + "\n").encode()
    return found


def _log(chance: random.Random, student: Student, machine: str, made: datetime) -> str:
    lines = []
    for minutes in sorted(chance.sample(range(1, 600), 25), reverse=True):
        at = f"{made - timedelta(minutes=minutes):%b %e %H:%M:%S} {machine} postfix"
        queued = f"{chance.randrange(16**5):05X}{0x778500 + chance.randrange(0x600):X}"
        lines += [
            f"{at}/smtpd[29]: {queued}: client=vm2.{student.domain}[{student.prefix}.3]",
            f"{at}/qmgr[27]: {queued}: from=<root@{student.domain}>, size=647, nrcpt=1 (queue active)",
            f"{at}/local[101]: {queued}: to=<root@{student.domain}>, relay=local, delay=0.1, dsn=4.3.0, status=deferred "
            "(temporary failure. Command output: lda(root): Error: net_connect_unix(/run/dovecot/stats-writer) failed: "
            "Permission denied )",
        ]
    return "\n".join(lines) + "\n"


def _typed(chance: random.Random, student: Student, machine: str, kind: str) -> str:
    if kind == "empty":
        return ""
    if kind == "by the solutions":
        lines = solved(student, machine)
    else:
        lines = [line.strip() for line in TYPED[machine].replace("\n", "|").split("|")]
        for besides in chance.sample(BESIDES, chance.randint(4, 18)):
            lines.insert(chance.randrange(len(lines) + 1), besides)
    values = {"domain": student.domain, "net": student.prefix, "id": student.id, "first": student.first}
    for name, value in values.items():
        lines = [line.replace(f"{{{name}}}", value) for line in lines]
    return ("\n".join(lines) + "\n").replace(student.password, "*" * len(student.password))


def _noted(chance: random.Random) -> str:
    when, what, then = (chance.choice(part.replace("\n    ", "|").split("|")) for part in DID)
    return f"{when} {what}, {then}."


def solved(student: Student, machine: str) -> list[str]:
    """What the lab's own solutions type on a machine."""
    nodes = topology.of(LAB, student).nodes
    node = next(node for node in nodes if node.name == machine)
    actions = [action for step in LAB.steps.values() for action in step.solution if machine in action.machines]
    return [line for action in actions for line in commands(action, LAB, student, node, nodes)]


def _book(chance: random.Random, student: Student, kind: str, log: list[str]) -> str:
    book = logbook.blank(LAB, student)
    if kind == "empty":
        return book
    if kind == "nearly empty":
        return book.replace("- Observations:", "- Observations: it works", 1).replace("- Date:", "- Date: today")
    lines = []
    for line in book.splitlines():
        lines.append(line)
        if line.startswith("- Commands that worked:"):
            lines[-1] += " " + "; ".join(chance.sample(solved(student, "vm3"), 4))
        elif line.startswith("- Observations:"):
            count = 2 if kind in ("brief", "by the solutions") else 6
            lines[-1] += " " + " ".join(_noted(chance) for _ in range(count))
            if kind == "quoting":
                lines += [f"> {said.strip()}" for said in chance.sample(QUOTES, 7)]
        for heading, (beginnings, ends) in ANSWERS.items():
            if line.startswith(f"### {heading}"):
                first, more = ([s.strip() for s in part.splitlines()] for part in (beginnings, ends))
                count = chance.randint(0, 1) if kind == "brief" else 2 if kind == "careful" else 1
                said = [chance.choice(first), *chance.sample(more, count)]
                lines += ["", " ".join(said)]
                if "root get no mail any more" in line:
                    lines += ["", *chance.sample(log[-20:], 2)]
    return "\n".join(lines) + "\n"
