"""The command line: only this package uses Typer and Rich.

It turns options into calls to the core, shows its events, prints its records, and maps its errors to exit codes.
"""

import codecs
import errno
import gc
import os
import sys
from contextlib import suppress
from io import TextIOWrapper

from labenv.errors import EngineError, Interrupted, LabenvError

# What a terminal or a file that is not UTF-8 gets for labenv's own signs; "?" for another character.
_PLAIN = {
    "✓": "ok",
    "✗": "no",
    "→": "->",
    "…": "...",
    "·": "-",
    "≤": "<=",
    "“": '"',
    "”": '"',
    "•": "*",
    "─": "-",
    "│": "|",
}


def main() -> None:
    """Run the command line and exit with a code of the contract: 0, 1 (a check failed), 2 (usage), 3 (engine or machine)."""
    # There is nothing to clean up. A normal exit would unload all modules, which takes as long as printing the summary,
    # and wait for threads that still talk to an engine.
    os._exit(run())


def run() -> int:
    """Run the command line with the arguments of this process, and return its exit code."""
    gc.disable()  # a short-lived process: garbage collection during imports costs a tenth of its start
    # The caller may have closed them (>&-).
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # it stays open until the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    codecs.register_error("labenv", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="labenv")
    try:
        code = _called()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has exited (| head)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        what = f"{error.filename} cannot be written" if error.filename else "the output of this command is incomplete"
        code = _failed(EngineError(f"The disk is full, so {what}. Free some space."))
    if code:
        _explain()
    return code


def _explain() -> None:
    """If a disk is full, say so: that may be why a command failed, whatever it says itself."""
    common = sys.modules.get("labenv.cli.common")  # without it no command has begun
    with suppress(OSError):
        for sentence in common.full_disks() if common else ():
            print(f"labenv: {sentence}", file=sys.stderr)


def _plain(error: UnicodeError) -> tuple[str, int]:
    """An error handler for output: signs become words that every encoding has (codecs.register_error)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def _called() -> int:
    try:
        from labenv.cli.app import app

        app(prog_name="labenv")
    except LabenvError as error:
        return _failed(error)
    except KeyboardInterrupt:  # before a command began
        return _failed(Interrupted())
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _failed(error: LabenvError) -> int:
    print(f"labenv: {error}", file=sys.stderr)
    return error.exit_code
