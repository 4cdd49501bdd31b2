"""labenv from a wheel, and other packages beside it, in a Python of their own."""

import os
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

TREE = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def installed(folder: Path, *packages: Path) -> Run:
    """Runs the command line of the tree's wheel in a new Python in `folder`, which has wheels of these `packages` too."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}"]
    subprocess.run([*build, *map(str, (TREE, *packages))], check=True)
    venv.create(folder / "venv")
    python = str(folder / "venv/bin/python")
    # The dependencies are this Python's; its own labenv comes after the wheel's, if at all.
    ours = sysconfig.get_path("purelib", "venv", vars={"base": str(folder / "venv")})
    Path(ours, "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    wheels = map(str, folder.glob("*.whl"))
    subprocess.run([*pip, f"--python={python}", "install", "--no-deps", *wheels], check=True)

    def run(*arguments: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
        given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(folder / "venv/bin/labenv"), *arguments]
        done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)
        screen = f"labenv {' '.join(arguments)} → {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == rc, screen
        assert "Traceback" not in screen, screen
        return done

    where = subprocess.run(
        [python, "-c", "import labenv; print(labenv.__file__)"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert where.stdout.startswith(ours), "the wheel's labenv is the one that runs"
    return run
