"""The command line: Typer and Rich live in this package and nowhere else.

It turns options into calls of the core, draws its events, prints its records, and maps its errors to exit codes.
"""

import os
import sys

from labenv.errors import LabenvError


def main() -> None:
    """Run the command line and exit by the contract: 0, 1 (a check failed), 2 (usage), 3 (engine or machine)."""
    import gc

    gc.disable()  # a short-lived process: collecting while it imports costs a tenth of its start
    from labenv.cli.app import app

    try:
        app(prog_name="labenv")
    except LabenvError as error:
        print(f"labenv: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("\nlabenv: interrupted. What was made is kept; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has left (| head); Python would complain again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
