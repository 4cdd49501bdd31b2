"""The capture command."""

import os
import signal
import stat
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labenv.cli import common, screen
from labenv.cli.common import JsonOption, StudentOption, YesOption
from labenv.cli.output import is_guest
from labenv.errors import UsageError
from labenv.text import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from labenv.engine.pcap import Record
    from labenv.environment import Environment
    from labenv.environments.capture import Capture
    from labenv.environments.wire.dialogue import Turn

_GUESTS = 600.0  # seconds, unless a student at the gate says how long: a line that dropped ends nothing there
_MARGIN = " " * 14


def capture(
    machine: Annotated[
        str | None,
        typer.Argument(
            metavar="MACHINE",
            autocompletion=common.complete_machine,
            help="The machine whose packets they are. Default: the one where the lab's mail account is read.",
        ),
    ] = None,
    port: Annotated[
        list[int] | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=1,
            max=65535,
            help="Only what comes from or goes to this port; may be repeated. Default: the ports of the lab's protocols.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Everything on all ports, without what labenv's own checks send.")
    ] = False,
    write: Annotated[
        str | None,
        typer.Option("--write", metavar="FILE", help="Write the packets to a file (pcap); to stdout if FILE is -"),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Readable lines, also where stdout is not a terminal.")] = False,
    seconds: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="End after this time, such as 30s or 5m. Default: at Ctrl-C."),
    ] = None,
    student: StudentOption = None,
    json: JsonOption = False,
    yes: YesOption = False,
) -> None:
    """Show what passes a machine on the network, line by line, or write the packets for Wireshark.

    In a terminal the dialogue is shown: who says what to whom, passwords included; of TLS, what can be seen of it. In a pipe it is
    packets. Nothing is installed or runs in the machine for it. It ends after 50 MB, or twelve hours, at the latest.

    Examples:

      labenv capture vm3 --port 143

      labenv capture vm3 --port 143 | wireshark -k -i -

      labenv capture vm3 --write login.pcap --for 30s
    """
    from labenv.environments import capture as core

    if sum([text, json, write is not None]) > 1:
        raise UsageError("--write, --text and --json cannot be combined: each is another form of the packets.")
    if port and every:
        raise UsageError("--all cannot be combined with --port: it takes all ports.")
    has_terminal = os.isatty(sys.stdout.fileno())  # sys.stdout says that it is none with plain output
    if write == "-" and has_terminal:
        raise UsageError(
            "Packets are no text for a terminal. Write them to a file (--write FILE), or leave --write out."
        )
    wanted = common.duration("--for", seconds) if seconds else _GUESTS if is_guest() else None
    packed = write is not None or not (text or json or has_terminal)
    file = None if write in (None, "-") else Path(str(write))
    if file and not _may_replace(file, yes=yes):
        print("Nothing was captured.", file=sys.stderr)
        return
    with screen.progress(quiet=True) as listen:
        engine = common.open_engine(listen)
        environment = common.chosen(engine, student)
        target = core.machine_of(environment, machine)
        ports = () if every else tuple(port or ()) or core.ports_of(environment)
        choice = core.Choice(ports)
        with core.capturing(engine, environment, target, choice, listen, whole=packed) as going:
            named = f"ports {', '.join(map(str, ports))}" if ports else "all ports"
            print(f"Capturing on {target.name}, {named}. Press Ctrl-C to end.", file=sys.stderr)
            _ends_at_interrupt(going)
            packets = going.packets(wanted)
            try:
                if json:
                    turns = list(map(_told, _turns(packets, environment)))
                    about = {"student": environment.student.id, "machine": target.name, "ports": list(ports)}
                    common.print_json({**about, "packets": going.count, "bytes": going.size, "turns": turns})
                elif file:
                    with _opened(file) as out:
                        _save(going.header, packets, out)
                elif packed:
                    _save(going.header, packets, FileIO(sys.stdout.fileno(), "w", closefd=False))
                else:
                    for turn in _turns(packets, environment):
                        _show(turn)
            finally:
                said = f"{many(going.count, 'packet')}, {going.size} bytes. {going.cut}".rstrip()
                print(f"{f'{file}: ' if file else ''}{said}", file=sys.stderr)


def _ends_at_interrupt(going: "Capture") -> None:
    """Have Ctrl-C end the capture in order; a second one interrupts the command."""

    def end(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        going.end()

    signal.signal(signal.SIGINT, end)


def _turns(packets: "Iterable[Record]", environment: "Environment") -> "Iterator[Turn]":
    from labenv.environments.wire.dialogue import Dialogue
    from labenv.environments.wire.packets import packet

    dialogue = Dialogue(environment.names)
    for record in packets:
        if (one := packet(record)) and (turn := dialogue.turn(one)):
            yield turn


def _show(turn: "Turn") -> None:
    first, *more = turn.lines
    print(f"{datetime.fromtimestamp(turn.time):%H:%M:%S.%f}"[:12], f" {turn.source} → {turn.target}  {first}")
    for line in more:
        print(f"{_MARGIN}{line}")
    sys.stdout.flush()


def _told(turn: "Turn") -> dict[str, Any]:
    when = datetime.fromtimestamp(turn.time, UTC).isoformat()
    return {"time": when, "from": turn.source, "to": turn.target, "says": list(turn.lines)}


def _save(header: bytes, packets: "Iterable[Record]", out: "FileIO") -> None:
    """Write packets as they come, each whole, so that what is written can be read at any time."""
    size = out.write(header)
    try:
        for record in packets:
            view = memoryview(record.raw)
            while view:
                view = view[out.write(view) :]
            size += len(record.raw)
    except OSError:
        with suppress(OSError):  # a pipe has no length
            out.truncate(size)
        raise


def _may_replace(file: Path, *, yes: bool) -> bool:
    """Whether a file can be written, or a person lets it be replaced; a script has nobody to ask."""
    if yes or not file.is_file() or not sys.stdin.isatty():
        return True
    return typer.confirm(f"Replace {file}?", default=False, err=True)


def _opened(file: Path) -> "FileIO":
    """A new file of the user's alone: what passes may be passwords. Raises UsageError if it cannot be written."""
    try:
        out = FileIO(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
        if stat.S_ISREG(os.fstat(out.fileno()).st_mode):
            os.fchmod(out.fileno(), 0o600)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}. Choose another file.") from error
    return out
