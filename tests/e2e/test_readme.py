"""The outputs of a lab in README.md and docs/ are what a lab prints: each is made again and compared.

Times, process ids, passwords and the like are ignored (tools/docs, VARIES).
"""

import secrets
import subprocess
import sys
from pathlib import Path

from labenv.engine import Engine
from tests.e2e.conftest import Cli, take_down

TOOL = Path(__file__).parents[2] / "tools" / "docs"


def test_the_documentation_shows_what_labenv_says(cli: Cli, engine: Engine) -> None:
    student = f"t-{secrets.token_hex(3)}"  # as long as the name that the pages show; another length would move columns
    command = [sys.executable, str(TOOL), "--lab", "--check", "--student", student]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    finally:
        take_down(cli, engine, student)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
