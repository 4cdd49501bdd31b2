"""The sheet of Lab 4a."""

from tests.e2e.sheets.sitting import Sitting
from tests.e2e.terminal import CTRL_C, CTRL_D, Terminal

FROM = "lab3"


def typed(at: Sitting) -> None:
    """Type it."""
    _mail(at.vm2, at.student, at.domain)
    _postfix(at.vm2, at.vm3, at.domain, f"{at.network}.3")
    # Investigation 3: the same again, with the machines exchanged.
    _postfix(at.vm3, at.vm2, at.domain, f"{at.network}.4")
    _both_ways(at.vm2, at.vm3, at.domain)


def _mail(vm2: Terminal, student: str, domain: str) -> None:
    assert "already installed" in vm2.type("yum install mailx")
    _send(vm2, "-s 'Lab4a - test1'", f"{student}@myseneca.ca", CTRL_D)
    _send(vm2, '-r "someone@hacker.com (Canadian Revenue Agency)" -s "Lab4a - test2"', f"{student}@myseneca.ca", CTRL_D)
    vm2.log(rf"to=<{student}@myseneca.ca>.*status=deferred")
    vm2.log("pickup.*from=<someone@hacker.com>")
    _send(vm2, "-s 'Lab4a - Local - Test1'", student, ".\r")
    vm2.log(rf"to=<{student}@vm2.{domain}>, orig_to=<{student}>, relay=local.*status=sent")
    # Logged in as the own user, whose prompt ends with a dollar sign.
    assert "$" in vm2.type(f"su - {student}")
    _read(vm2)
    said = vm2.type(f"cat /var/spool/mail/{student}")
    assert "Subject: Lab4a - Local - Test1" in said
    assert "Status: RO" in said
    vm2.screen.send("mail\r")
    vm2.until("1 message")
    vm2.screen.send("q\r")
    vm2.until(vm2.prompt)
    vm2.type("exit")


def _send(vm2: Terminal, options: str, recipient: str, end: str) -> None:
    """A message that is typed at the mail command, which shows its header first, up to a dot or Ctrl-D on a line of its own."""
    vm2.screen.send(f"mail {options} {recipient}\r")
    vm2.until("\nSubject: Lab4a")
    vm2.screen.send("It is for me.\r")
    vm2.until("for me")
    vm2.screen.send(end)
    vm2.until(vm2.prompt)


def _read(vm2: Terminal) -> None:
    vm2.screen.send("mail\r")
    vm2.until("Lab4a - Local - Test1")
    vm2.until("& ")
    vm2.screen.send("1\r")
    vm2.until("It is for me.")
    vm2.until("& ")
    vm2.screen.send("q\r")
    vm2.until("Held 1 message")
    vm2.until(vm2.prompt)


def _postfix(here: Terminal, there: Terminal, domain: str, address: str) -> None:
    """Investigation 2 on one machine, with the other one to try the connection."""
    name = here.machine
    here.type("systemctl start postfix")
    here.type("systemctl enable postfix")
    assert "active (running)" in here.type("systemctl status postfix")
    said = here.type("ss -atnp")
    assert "127.0.0.1:25" in said
    assert "master" in said
    for machine in (here, there):
        assert "already installed" in machine.type("yum install nc")
    assert f"220 {name}.{domain} ESMTP Postfix" in _nc(here, "localhost")
    assert "timed out" in there.type(f"nc -w 2 {name} 25")
    here.type("iptables -A INPUT -p tcp --dport 25 -j ACCEPT")
    assert "Connection refused" in there.type(f"nc -v {name} 25")
    assert "OK" in here.type("service iptables save")
    here.vi("/etc/postfix/main.cf", "^#inet_interfaces = all", "x")
    here.vi("/etc/postfix/main.cf", "^inet_interfaces = localhost", "i#")
    here.vi("/etc/postfix/main.cf", "^#mydomain", f"omydomain = {domain}")
    here.vi("/etc/postfix/main.cf", "^#myorigin = .myhostname", "x")
    here.type("systemctl restart postfix")
    assert "0.0.0.0:25" in here.type("ss -ltn")
    assert f"220 {name}.{domain} ESMTP Postfix" in _nc(there, name)
    assert address in there.type(f"host {name}")


def _nc(machine: Terminal, host: str) -> str:
    """What port 25 of a host says to nc, which is left with QUIT and Ctrl-C."""
    machine.screen.send(f"nc {host} 25\r")
    said = machine.until("220 .* ESMTP Postfix")
    machine.screen.send("QUIT\r")
    machine.until("221 ")
    machine.screen.send(CTRL_C)
    machine.until(machine.prompt)
    return said


def _both_ways(vm2: Terminal, vm3: Terminal, domain: str) -> None:
    vm2.mail(f"root@vm3.{domain}", "From vm2 to vm3", "Does this reach you?")
    vm3.log(rf"to=<root@vm3.{domain}>, relay=local.*status=sent")
    vm3.screen.send("mail\r")
    vm3.until("From vm2 to vm3")
    vm3.until("& ")
    vm3.screen.send("1\r")
    vm3.until("Does this reach you")
    vm3.until("& ")
    vm3.screen.send("r\r")
    vm3.until("Subject: ")
    vm3.screen.send("\rIt does.\r.\r")
    vm3.until("& ")
    vm3.screen.send("q\r")
    vm3.until(vm3.prompt)
    vm2.log(rf"to=<root@vm2.{domain}>, relay=local.*status=sent")
