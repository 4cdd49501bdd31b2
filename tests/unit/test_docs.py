"""The tool that makes the outputs in the documentation finds and updates outdated ones; every file that a page names exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A path from the root of the repository; <name> and * stand for any.
NAMED = re.compile(r"(?<![\w./~=-])(?:labenv|tests|images|compose|tools)/[\w./<>*-]*[\w/>]")
GENERATED = {"labenv/_version.py"}
PAGE = """# A page

<!-- output: {script} -->
```console
$ what a reader types
{said}```

Prose.
"""


def docs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The tool, as a person runs it."""
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, timeout=60, check=False)


def page(folder: Path, script: str, said: str) -> Path:
    """A page with one block."""
    file = folder / "page.md"
    file.write_text(PAGE.format(script=script, said=said))
    return file


def test_an_output_that_is_another_is_told_and_made_again(tmp_path: Path) -> None:
    file = page(tmp_path, "labenv --version | cut -d' ' -f1", "labnev\n")
    told = docs("--check", file)
    assert told.returncode == 1
    assert "-labnev\n+labenv\n" in told.stdout
    assert docs(file).returncode == 0
    assert file.read_text() == PAGE.format(script="labenv --version | cut -d' ' -f1", said="labenv\n")
    assert docs("--check", file).returncode == 0


def test_what_needs_a_lab_is_left_where_none_is_asked_for(tmp_path: Path) -> None:
    file = page(tmp_path, "", "")
    text = PAGE.replace("output:", "output of a lab:").format(script="exit 9", said="as it was\n")
    file.write_text(text)
    assert docs(file).returncode == 0
    assert file.read_text() == text


@pytest.mark.parametrize("script", ["true", "labenv no-such-command", "echo Traceback"])
def test_a_script_that_breaks_or_says_nothing_is_told_and_nothing_written(tmp_path: Path, script: str) -> None:
    file = page(tmp_path, script, "as it was\n")
    told = docs(file)
    assert told.returncode == 1
    assert script in told.stderr
    assert "as it was" in file.read_text()


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("[here](page.md#part), [there](gone.md), [out](https://example.com), [up](#part)\n")
    told = docs("--check", file)
    assert told.returncode == 1
    assert told.stdout.count("is broken") == 1
    assert "gone.md" in told.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = {*NAMED.findall(page.read_text())} - GENERATED
    gone = [path for path in sorted(named) if not any(ROOT.glob(re.sub("<[^>]+>", "*", path)))]
    assert not gone, f"{page.name} names files that do not exist: {', '.join(gone)}"


def test_pictures_are_few_and_small_and_each_is_shown() -> None:
    pictures = sorted((ROOT / "docs").rglob("*.webp"))
    shown = {link for page in PAGES for link in re.findall(r"!\[[^\]]+\]\((?:docs/)?([^)]+)\)", page.read_text())}
    assert {str(picture.relative_to(ROOT / "docs")) for picture in pictures} == shown
    assert sum(picture.stat().st_size for picture in pictures) < 440_000
