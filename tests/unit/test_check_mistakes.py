"""A mistake in a check of a lab from outside is told with its place, and one in conftest.py with what to write there."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labenv.checks import collect
from labenv.checks.mistakes import sentence
from labenv.checks.running import RUN
from labenv.lab import lint, model, new

HEAD = """\
from labenv.checks.plugin import step


@step("1", machine="server")
"""


class Judge:
    """What a run is to a lab's checks, without machines; keeps what is said of each failure."""

    def __init__(self, lab: model.Lab) -> None:
        self.lab = lab
        self.said: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        machines = {name: SimpleNamespace(name=name) for name in ("server", "client")}
        config.stash[RUN] = SimpleNamespace(site=machines, lab=self.lab)  # type: ignore[misc]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Iterator[Any]:
        if call.excinfo:
            self.said.append(sentence(call.excinfo.value, "server", self.lab.folder, ("server", "client")))
        return (yield)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    made = new.write("mylab", tmp_path / "mylab")
    (made / "checks" / "test_lab.py").unlink()
    return made


def said(folder: Path, check: str) -> list[str]:
    (folder / "checks" / "test_one.py").write_text(f"{HEAD}{check}")
    lab = model.read(folder)
    judge = Judge(lab)
    collect.run(lab, judge)
    return judge.said


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (
            "def test_x(server):\n    'a b'.split()[5]\n",
            "server gave an answer that labenv cannot read (IndexError: list index out of range). A program there is perhaps not "
            "the lab's own any more. Or the check is wrong, at checks/test_one.py:6.",
        ),
        (
            "def test_x(server):\n    server.nothing()\n",
            "The check itself crashed at checks/test_one.py:6: AttributeError: 'types.SimpleNamespace' object has no attribute 'nothing'",
        ),
        (
            "def test_x(weather):\n    pass\n",
            "The check itself cannot run: it asks for 'weather', which is no machine of checks/conftest.py, and no fixture or probe of "
            "the lab or its kits.",
        ),
    ],
)
def test_a_mistake_in_a_check_is_told_with_its_place(folder: Path, check: str, words: str) -> None:
    assert said(folder, check) == [words]


def test_a_machine_that_conftest_lacks_is_named(folder: Path) -> None:
    conftest = folder / "checks" / "conftest.py"
    conftest.write_text(conftest.read_text().partition("server, client")[0] + 'server = machine_fixture("server")\n')
    assert said(folder, "def test_x(server, client):\n    pass\n") == [
        "The check itself cannot run: it asks for 'client', and checks/conftest.py does not have client = machine_fixture(\"client\")."
    ]
    assert 'checks/test_one.py:5:20: checks/conftest.py has no client = machine_fixture("client"). Add it.' in {
        str(finding) for finding in lint.lint(folder)
    }


@pytest.mark.parametrize(
    "conftest",
    [
        'from labenv.checks.plugin import machine_fixture\n\nclient, server = map(machine_fixture, ("client", "server"))\n',
        "from labenv.checks.plugin import machine_fixture\n\nfor each in ('client', 'server'):\n"
        "    globals()[each] = machine_fixture(each)\n",
        "from .machines import *\n",
        "import pytest\n\n\n@pytest.fixture\ndef client(site):\n    return site['client']\n",
    ],
)
def test_other_ways_to_have_a_machine_are_no_error(folder: Path, conftest: str) -> None:
    (folder / "checks" / "conftest.py").write_text(conftest)
    (folder / "checks" / "test_one.py").write_text(f"{HEAD}def test_x(client):\n    pass\n")
    assert not [finding for finding in lint.lint(folder) if "machine_fixture" in finding.sentence]
