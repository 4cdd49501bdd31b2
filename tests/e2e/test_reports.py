"""Reports of a running lab: files for a CI server, a browser and a forge, written beside the terminal's output."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from labenv.engine import Engine
from tests.e2e.conftest import Cli


def test_several_reports_are_written_at_once_and_agree(cli: Cli, finished: dict[str, Any], tmp_path: Path) -> None:
    junit, html, markdown = tmp_path / "r.xml", tmp_path / "r.html", tmp_path / "r.md"
    files = ("--junit", str(junit), "--html", str(html), "--markdown", str(markdown))
    document = cli.json("check", "-s", finished["student"], *files)
    root = ElementTree.fromstring(junit.read_text())
    assert root.get("tests") == str(len(document["results"]))
    assert root.get("skipped") == str(document["summary"]["skipped"])
    for text in (html.read_text(), markdown.read_text()):
        for result in document["results"]:
            assert result["title"].split("'")[0] in text
        assert finished["domain"] in text


def test_a_dash_is_stdout_and_nothing_else_is_there(cli: Cli, finished: dict[str, Any]) -> None:
    done = cli("check", "19", "-s", finished["student"], "--junit", "-")
    assert ElementTree.fromstring(done.stdout).get("failures") == "0"


@pytest.mark.parametrize("file", ["{}/no/folder/r.html", "{}", "/proc/nothing.html"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_checked(
    cli: Cli, finished: dict[str, Any], tmp_path: Path, file: str
) -> None:
    done = cli("check", "-s", finished["student"], "--html", file.format(tmp_path), rc=2)
    assert "cannot be written" in done.stderr
    assert "checking" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_only_one_report_goes_to_stdout_and_none_from_a_watch(cli: Cli, finished: dict[str, Any]) -> None:
    name = finished["student"]
    assert "Only one" in cli("check", "-s", name, "--html", "-", "--json", rc=2).stderr
    assert "--watch" in cli("check", "-s", name, "--watch", "--markdown", "r.md", rc=2).stderr


def test_a_machine_that_is_down_is_reported_as_one(cli: Cli, engine: Engine, student: str, tmp_path: Path) -> None:
    cli("up", student, "--no-check", "--at", "relay")
    engine.api.kill(f"labenv-{student}-host")
    html = tmp_path / "r.html"
    cli("check", "12", "-s", student, "--html", str(html), rc=1)
    assert "Step 12 on host" in html.read_text()


def test_plain_pytest_runs_the_checks_for_a_ci_job(finished: dict[str, Any], tmp_path: Path) -> None:
    command = ["--pyargs", "labenv.labs.lab4b.checks", "-p", "labenv.checks.plugin", "-p", "no:cacheprovider", "-q"]
    chosen = ["--labenv-student", finished["student"], "-k", "relay or greets"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command, *chosen], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
