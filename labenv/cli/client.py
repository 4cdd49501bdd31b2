"""The client command: settings for a mail client on the student's own computer."""

import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    from labenv.environment import Environment
    from labenv.mail.client import Account

_SECURITY = {"none": "no encryption", "starttls": "STARTTLS", "tls": "SSL/TLS"}


def client(
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", "-w", metavar="DIR", help="Write settings for Thunderbird, mutt, mbsync and msmtp there."
        ),
    ] = None,
    tunnel: Annotated[
        bool,
        typer.Option(
            "--tunnel", help="Lead there through the engine, until Ctrl-C: where no ports are published, or not here."
        ),
    ] = False,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Show the settings for a mail client on this computer, or write them as files.

    The account is the one that the lab builds. The ports on 127.0.0.1 stay the same when the environment is created again.

    Examples:

      labenv client

      labenv client --write ~/labmail

      mutt -F ~/labmail/muttrc

      labenv client --tunnel
    """
    from labenv.cli.tunnel import stay
    from labenv.environments.reach import Reach
    from labenv.environments.tunnel import Tunnels
    from labenv.mail import client as clients

    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        if not tunnel:
            reach = Reach(environment)
            _tell(environment, clients.account(environment, reach), write, json=json)
            if reach.note:
                print(reach.note, file=sys.stderr)
            return
        with closing(Tunnels(engine, environment, listen)) as tunnels:
            account = clients.account(environment, tunnels)
            stay(lambda: _tell(environment, account, write, json=json))


def _tell(environment: "Environment", account: "Account", write: Path | None, *, json: bool) -> None:
    from labenv.mail import client as clients

    files = clients.write(account, environment.student.domain, write) if write else []
    if json:
        common.print_json(
            {"student": environment.student.id, "account": account.to_dict(), "files": [str(file) for file in files]}
        )
        return
    print(_text(account))
    print(_use(files) if write else "Files for Thunderbird, mutt, mbsync and msmtp: labenv client --write DIR")


def _text(account: "Account") -> str:
    imap, smtp = account.imap, account.smtp
    return (
        f"{account.address}\n"
        f"  incoming  IMAP, {imap.host} port {imap.port}, {_SECURITY[imap.security]}, normal password\n"
        f"  outgoing  SMTP, {smtp.host} port {smtp.port}, {_SECURITY[smtp.security]}, no authentication\n"
        f"  user      {account.user}\n"
        f"  password  {account.password}\n"
    )


def _use(files: list[Path]) -> str:
    thunderbird, *others = files
    mutt, mbsync, msmtp, *_ = (shlex.quote(str(file)) for file in others)
    return (
        f"Wrote files to {thunderbird.parent}. muttrc and mbsyncrc contain the password, so keep them private.\n"
        f"  Thunderbird  copy {thunderbird.name} to the folder isp in its program folder, then add the address above\n"
        f"  mutt         mutt -F {mutt}\n"
        f"  mbsync       mbsync -c {mbsync} -a\n"
        f"  msmtp        msmtp -C {msmtp} ADDRESS < MESSAGE"
    )
