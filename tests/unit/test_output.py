"""What labenv prints, for screen readers and for terminals that are not UTF-8."""

import ast
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from labenv.cli import output
from labenv.lab import labs

HOUSE = Path(__file__).parents[2] / "labenv"


def strings(path: Path) -> set[str]:
    """The text of a module that can reach a screen: all but the docstrings of the core; a command's docstring is its help."""
    tree = ast.parse(path.read_text("utf-8"))
    core = "cli" not in path.relative_to(HOUSE).parts
    told = {id(n.value) for n in ast.walk(tree) if core and isinstance(n, ast.Expr)}
    return {
        n.value
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in told
    }


def test_each_of_labenvs_own_signs_has_a_word() -> None:
    said = "".join(text for path in HOUSE.rglob("*.py") if path != HOUSE / "cli/output.py" for text in strings(path))
    sheets = "".join(
        (HOUSE / "labs" / name / file).read_text("utf-8")
        for name in labs.names()
        for file in ("lab.yaml", "steps.yaml")
    )
    signs = {each for each in said + sheets if not each.isascii() and each.isprintable() and not each.isalpha()}
    assert signs <= output.WORDS.keys()
    assert all(word.isascii() for word in output.WORDS.values())


@pytest.mark.parametrize(
    ("arguments", "environ", "asked"),
    [
        (["check", "--plain"], {}, True),
        (["--plain", "check"], {}, True),
        (["check"], {"LABENV_PLAIN": "1"}, True),
        (["check"], {"LABENV_PLAIN": "0"}, False),
        (["check"], {}, False),
        (["exec", "vm2", "--", "ls", "--plain"], {}, False),
    ],
)
def test_plain_is_an_option_or_a_setting(arguments: list[str], environ: dict[str, str], asked: bool) -> None:
    assert output.is_asked(arguments, environ) is asked


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "✓ Anna Müller “hi” → ☃"),
        ({"LABENV_PLAIN": "1"}, 'ok Anna Müller "hi" to ☃'),
        ({"PYTHONIOENCODING": "latin-1"}, 'ok Anna Müller "hi" to ?'),
        ({"PYTHONIOENCODING": "ascii"}, 'ok Anna Muller "hi" to ?'),
        ({"PYTHONIOENCODING": "ascii", "LABENV_PLAIN": "1"}, 'ok Anna Muller "hi" to ?'),
    ],
)
def test_only_labenvs_own_signs_become_words_unless_the_output_cannot_carry_more(
    settings: dict[str, str], expected: str
) -> None:
    code = (
        "import typer; from labenv.cli import output; output.settle([]); text = '✓ Anna Müller “hi” → ☃'; "
        "print(text); typer.echo(text); output.document(text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "utf-8"} | settings,
        stdout=subprocess.PIPE,
        check=True,
    )
    encoding = settings.get("PYTHONIOENCODING", "utf-8")
    printed, echoed, document = done.stdout.split(b"\n")
    assert printed.decode(encoding) == echoed.decode(encoding) == expected
    assert document.decode("utf-8") == "✓ Anna Müller “hi” → ☃"


def test_json_stays_json_whatever_the_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    from labenv.cli import common

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "latin-1"))
    common.print_json({"subject": "“hi” → you"})
    sys.stdout.flush()
    assert json.loads(raw.getvalue()) == {"subject": "“hi” → you"}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_closed_stream_ends_no_command(closed: str) -> None:
    for arguments, code in (("lab list", 0), ("lab list --json", 0), ("check --junit - --html -", 2)):
        done = subprocess.run(
            ["sh", "-c", f"{shlex.quote(sys.executable)} -m labenv {arguments} {closed}"],
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (code, False), done.stderr
