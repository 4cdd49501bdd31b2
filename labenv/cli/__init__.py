"""The command line: only this package uses Typer and Rich.

It turns options into calls to the core, shows its events, prints its records, and maps its errors to exit codes.
"""

import errno
import gc
import os
import sys
from contextlib import suppress

from labenv.cli import output
from labenv.errors import EngineError, Interrupted, LabenvError, NeedsConsent, UsageError

# A stream that is open only for reading, a terminal that was closed, a limit on the size of files, a quota.
_UNPRINTABLE = {errno.EBADF, errno.EIO, errno.EFBIG, errno.EDQUOT}


def main() -> None:
    """Run the command line and exit with a code of the contract: 0, 1 (a check failed), 2 (usage), 3 (engine or machine)."""
    # There is nothing to clean up. A normal exit would unload all modules, which takes as long as printing the summary,
    # and wait for threads that still talk to an engine.
    os._exit(run())


def run() -> int:
    """Run the command line with the arguments of this process, and return its exit code."""
    gc.disable()  # a short-lived process: garbage collection during imports costs a tenth of its start
    output.settle(sys.argv[1:])
    try:
        os.getcwd()
        code = _called()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has exited (| head)
        return 1
    except FileNotFoundError as error:
        if error.filename is not None:
            raise
        return _failed(UsageError("The folder that you are in was removed. Go to another one, such as: cd"))
    except OSError as error:
        if error.errno == errno.ENOSPC or (error.errno == errno.EDQUOT and error.filename):
            what = (
                f"{error.filename} cannot be written" if error.filename else "the output of this command is incomplete"
            )
            code = _failed(EngineError(f"The disk is full, so {what}. Free some space."))
        elif error.errno in _UNPRINTABLE:
            return _failed(EngineError(f"The output of this command cannot be written: {error.strerror}."))
        else:
            raise
    if code:
        _explain()
    output.finish()
    return code


def _explain() -> None:
    """If a disk is full, say so: that may be why a command failed, whatever it says itself."""
    common = sys.modules.get("labenv.cli.common")  # without it no command has begun
    with suppress(OSError):
        for sentence in common.full_disks() if common else ():
            print(f"labenv: {sentence}", file=sys.stderr)


def _called() -> int:
    try:
        from labenv.cli.app import app

        app(prog_name="labenv")
    except NeedsConsent as error:
        return _called() if _agreed(error) else _failed(error)
    except LabenvError as error:
        return _failed(error)
    except KeyboardInterrupt:  # before a command began
        return _failed(Interrupted())
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def _agreed(error: NeedsConsent) -> bool:
    """Whether a person at a terminal agrees; it is remembered then."""
    if output.is_guest() or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    import typer

    try:
        if not typer.confirm(f"{error.about}\n{error.question}", err=True):
            return False
        error.agree()
    except (typer.Abort, LabenvError) as ended:
        print(f"labenv: {ended}" if isinstance(ended, LabenvError) else "", file=sys.stderr)
        return False
    return True


def _failed(error: LabenvError) -> int:
    with suppress(OSError):  # the exit code still tells that something is wrong
        print(f"labenv: {error}", file=sys.stderr)
    return error.exit_code
