"""The client command: settings for a mail client on the student's own computer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption

if TYPE_CHECKING:
    from labenv.client import Account, Service


def client(
    write: Annotated[
        Path | None,
        typer.Option("--write", "-w", metavar="DIR", help="Write files for Thunderbird, mutt, mbsync and msmtp there."),
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
) -> None:
    """Show how a mail client on this computer is set up for the lab, or write the files for it.

    The ports on 127.0.0.1 stay the same when an environment is removed and made again on the same network.

    Examples:

      labenv client

      labenv client --write ~/labmail

      mutt -F ~/labmail/muttrc
    """
    from labenv import client as clients

    with screen.progress(quiet=True) as listen:
        environment = common.chosen(common.open_engine(listen), student)
    accounts = clients.accounts(environment)
    files = clients.write(accounts[0], environment.student.domain, write) if write else []
    if json:
        common.print_json(
            {
                "student": environment.student.id,
                "accounts": [account.to_dict() for account in accounts],
                "files": [str(file) for file in files],
            }
        )
        return
    for account in accounts:
        print(_text(account))
    if write:
        print(_use(files))
    else:
        print("Files for Thunderbird, mutt, mbsync and msmtp: labenv client --write DIR")


def _text(account: "Account") -> str:
    lines = [
        f"{account.address} ({account.name})",
        f"  incoming  IMAP  {_service(account.imap)}",
        f"  outgoing  SMTP  {_service(account.smtp)}",
        f"  user      {account.user}",
        f"  password  {account.password}",
    ]
    if account.imap.certificate:
        lines.append(
            f"  The certificate is for {account.imap.certificate}, signed by the lab: your client will ask whether to trust it."
        )
    return "\n".join([*lines, ""])


def _service(service: "Service") -> str:
    security = "no encryption" if service.security == "none" else service.security
    return (
        f"{service.host} port {service.port}, {security}, {'normal password' if service.login else 'no authentication'}"
    )


def _use(files: list[Path]) -> str:
    thunderbird, mutt, mbsync, msmtp = files
    return (
        f"Written to {mutt.parent}; the files hold the password, so keep them to yourself.\n"
        f"  Thunderbird  copy {thunderbird.name} into the folder isp of its program folder, then set up the address above\n"
        f"  mutt         mutt -F {mutt}\n"
        f"  mbsync       mbsync -c {mbsync} -a\n"
        f"  msmtp        msmtp -C {msmtp} ADDRESS < MESSAGE"
    )
