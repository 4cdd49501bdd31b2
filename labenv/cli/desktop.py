"""The desktop command."""

import sys
from typing import Annotated

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption
from labenv.errors import UsageError


def desktop(
    student: StudentOption = None,
    configured: Annotated[
        bool, typer.Option("--configured", help="Open Thunderbird with both accounts of the sheet set up.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=1024, max=65535, help="Port of the page on 127.0.0.1. Default: from X.")
    ] = None,
    look: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in your browser.")] = True,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the desktop; keep its accounts and files.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the desktop, its accounts and files.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --remove: do not ask for confirmation.")] = False,
    json: JsonOption = False,
) -> None:
    """Show host's desktop in the browser: Thunderbird, a root terminal on host, a file manager.

    The first time, Thunderbird asks for your account, as on the sheet. In a lab about the web there is Firefox, too. Run the command again to show the running desktop
    with a new password. The image is built on first use.

    Examples:

      labenv desktop

      labenv desktop --configured --no-open

      labenv desktop --stop
    """
    from labenv.cli import browser
    from labenv.environments import desktop as core
    from labenv.environments.networks import port_in_use

    if (stop or remove) and (configured or port or (stop and remove)):
        raise UsageError("--stop and --remove cannot be combined with each other, --configured or --port.")
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
    who = environment.student.id
    asked = remove and not yes and sys.stdin.isatty()  # a script has nobody to ask
    if asked and not typer.confirm(f"Remove {who}'s desktop, with the accounts and files in it?", err=True):
        _say("Nothing was removed.")
        return
    with screen.progress() as listen:
        if stop or remove:
            was_there = core.stop(engine, environment, listen, remove=remove)
        else:
            shown = core.show(engine, environment, listen, port=port, configured=configured)
    if stop or remove:
        done = "removed" if remove else "stopped"
        if json:
            common.print_json({"student": who, "changes": [f"{done} desktop"] if was_there else []})
        else:
            print(f"{who}'s desktop is {done}." if was_there else f"{who} has no desktop.", file=sys.stderr)
        return
    if json:
        common.print_json(shown.to_dict())
        return
    print(shown.url)
    if not (engine.is_local or engine.endpoint.road) or not port_in_use(shown.port):
        _say(
            f"The engine is on another computer, or labenv in a container. To reach the page: ssh -L {shown.port}:127.0.0.1:{shown.port} THERE"
        )
    elif look and not browser.opened(shown.url):
        _say("No browser could be opened. Open the address yourself.")
    _say(
        f"The password of {who}'s mail accounts is {environment.student.password}. "
        f"To stop the desktop: labenv desktop --stop -s {who}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)
