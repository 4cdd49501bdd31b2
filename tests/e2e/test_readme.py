"""What README.md and docs/ show of a lab is what a lab says: each output is made again and compared.

Times, numbers of processes, passwords and the like are left out of it (tools/docs, VARIES).
"""

import secrets
import subprocess
import sys
from pathlib import Path

from labenv.engine import Engine
from tests.e2e.conftest import Cli, take_down

TOOL = Path(__file__).parents[2] / "tools" / "docs"


def test_the_documentation_shows_what_labenv_says(cli: Cli, engine: Engine) -> None:
    student = f"t-{secrets.token_hex(3)}"  # as long as the name that the pages show: another would move columns
    command = [sys.executable, str(TOOL), "--lab", "--check", "--student", student]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    finally:
        take_down(cli, engine, student)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
