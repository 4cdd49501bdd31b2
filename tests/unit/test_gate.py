"""The gate without a network: lines that are typed, what may be run, the menu, who guesses, which files there are."""

import asyncio
import inspect
import os
import re
import string
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import cast
from unittest.mock import AsyncMock

import pytest
from asyncssh import SFTPServer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from labenv.classroom.folder import load
from labenv.cli.app import CHAPTERS, app
from labenv.cli.class_.gate import check_there
from labenv.engine import Engine
from labenv.environment import Environment
from labenv.errors import UsageError
from labenv.events import silent
from labenv.gate import marks, menu, programs
from labenv.gate.actions import Action, prepare
from labenv.gate.commands import COMMANDS, NOT_HERE, OWN, SAME, allowed, words
from labenv.gate.files import Files
from labenv.gate.line import Line
from labenv.gate.state import Gate
from labenv.gate.throttle import FREE, FROM_ADDRESS, LONGEST, WINDOW, Throttle, network
from labenv.student import Student
from labenv.text import clean


def prepared(folder: Path, class_: str, line: str) -> Action:
    """What amy's line at the gate of a class leads to, in her environment of lab4b."""
    (folder / "class.yaml").write_text(f"name: OPS\n{class_}\n")
    (folder / "roster.csv").write_text("id\namy\n")
    gate = Gate(cast(Engine, None), load.load(folder), silent)
    gate.environment = AsyncMock(return_value=Environment(Student("amy", 90, "amy", ""), "lab4b", "done", (), ""))  # type: ignore[method-assign]
    return asyncio.run(prepare(gate, "amy", words(line)))


def typed(data: bytes, *, echo: bool = True) -> tuple[list[str], bytes]:
    """The lines that come of it, and what the terminal was sent."""
    line, lines, shown = Line(echo=echo), [], b""
    for byte in data:
        more, done = line.feed(byte)
        shown += more
        lines += [done] if done is not None else []
    return lines, shown


class TestALine:
    @pytest.mark.parametrize(
        ("data", "line"),
        [
            (b"check\r", "check"),
            (b"check\r\n", "check"),
            (b"chex\x7fck\r", "check"),
            (b"wrong\x15check\r", "check"),
            (b"save the day\x17night\r", "save the night"),
            (b"\x1b[A\x1b[1;5Dcheck\x1bOP\r", "check"),
            ("tick 29 größer ☃\r".encode(), "tick 29 größer ☃"),
            ("日本\x7fx\r".encode(), "日x"),
            (b"a\xff\xfeb\r", "a��b"),
            (b"rm -rf\x03", ""),
            ("a\u202eb\u200bc\r".encode(), "abc"),
        ],
    )
    def test_is_what_the_terminal_shows(self, data: bytes, line: str) -> None:
        assert typed(data)[0] == [line]

    def test_that_is_deleted_is_wiped_as_wide_as_it_was(self) -> None:
        assert typed("日\x7f".encode())[1].endswith(b"\b\b  \b\b")

    def test_is_not_shown_where_there_is_no_terminal(self) -> None:
        assert typed(b"check\r", echo=False) == (["check"], b"")

    def test_ends_the_session_with_ctrl_d_only_while_it_is_empty(self) -> None:
        assert typed(b"a\x04b\r")[0] == ["ab"]
        with pytest.raises(EOFError):
            typed(b"\x04")

    def test_has_an_end(self) -> None:
        assert len(typed(b"x" * 100_000 + b"\r")[0][0]) < 2000

    @given(st.binary())
    def test_never_holds_a_control_character(self, data: bytes) -> None:
        for line in typed(data.replace(b"\x04", b"") + b"\r\r")[0]:
            assert clean(line) == line


class TestACommand:
    @pytest.mark.parametrize(
        ("line", "arguments"),
        [
            ("check", ["check", "-s", "amy"]),
            ("labenv hint 9 -s amy", ["hint", "-s", "amy", "--", "9"]),
            ("labenv check 19 11b --all", ["check", "-s", "amy", "--all", "--", "19", "11b"]),
            ("hint 17 --level=2", ["hint", "-s", "amy", "--level", "2", "--", "17"]),
            ("tick 29 'I saw it'", ["tick", "-s", "amy", "--", "29", "I saw it"]),
            ("drill", ["drill", "status", "-s", "amy"]),
            ("drill start slow-dns", ["drill", "start", "-s", "amy", "--", "slow-dns"]),
            ("drill give-up --yes", ["drill", "give-up", "-s", "amy", "--yes"]),
            ("trace <a.b@vm2>", ["trace", "-s", "amy", "--", "<a.b@vm2>"]),
            ("graph --format svg", ["graph", "-s", "amy", "--format", "svg"]),
            ("capture vm3 --port 143", ["capture", "-s", "amy", "--port", "143", "--", "vm3"]),
        ],
    )
    def test_is_run_for_the_student_alone(self, line: str, arguments: list[str]) -> None:
        assert allowed(words(line), "amy") == arguments

    @pytest.mark.parametrize(
        "line",
        [
            "check -s bob",
            "check --student=bob",
            "check --html /etc/cron.d/x",
            "check --junit -",
            "logbook --export /tmp/x",
            "logbook --import /etc/shadow",
            "logbook /etc/shadow",
            "submit /tmp/x.tar.gz",
            "submit --force",
            "capture vm3 --write x.pcap",
            "graph --write x.svg",
            "graph --format pdf",
            "drill start --from /tmp",
            "drill lint /tmp",
            "drill list --answers",
            "drill start ../x",
            "diff --teacher",
            "solve --all",
            "down --yes",
            "up bob",
            "class passwords",
            "exec vm3 -- sh",
            "restore",
            "restore -- -x",
            "save '$(id)'",
            "hint 17 --level x",
            "saves --remove --yes",
            "check 'unclosed",
        ],
    )
    def test_that_is_not_for_students_is_refused_with_a_sentence(self, line: str) -> None:
        with pytest.raises(UsageError, match=r"[a-z].*\."):
            allowed(words(line), "amy")

    @given(st.lists(st.text(alphabet=string.printable, max_size=12), min_size=1, max_size=5))
    def test_never_names_another_student_or_a_path(self, more: list[str]) -> None:
        for name in COMMANDS:
            try:
                arguments = allowed([name, *more], "amy")
            except UsageError:
                continue
            options = arguments[: arguments.index("--")] if "--" in arguments else arguments
            assert options.count("-s") == 1
            assert not any(word.startswith("-") and word not in {"-s", *COMMANDS[name].options} for word in options)
            assert name in ("tick", "submit") or not any("/" in word for word in arguments)

    def test_has_only_options_that_labenv_has_and_none_that_takes_a_file(self) -> None:
        top = get_command(app)
        known = {name for chapter in CHAPTERS.values() for name in chapter}
        for name, command in COMMANDS.items():
            assert name in known
            real = top.commands[name]  # type: ignore[attr-defined]
            below = list(getattr(real, "commands", {}).values()) or [real]
            params = {option: param for each in below for param in each.params for option in param.opts}
            for option in command.options:
                assert "Path" not in type(params[option].type).__name__, option

    def test_gets_nothing_of_the_servers_owner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("LABENV_TEACHER", "LABENV_CLASS", "EDITOR", "PAGER", "LESSOPEN", "GIT_PAGER"):
            monkeypatch.setenv(name, "evil")
        made = programs.environ("amy", "xterm;rm", {"LANG": "fr_CA.UTF-8", "LC_ALL": "$(id)"})
        assert "evil" not in made.values()
        assert (made["LANG"], made["TERM"], made["LESSSECURE"]) == ("fr_CA.UTF-8", "dumb", "1")
        assert "LC_ALL" not in made


class TestASentence:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("You have no machines. Make them: labenv up amy", "You have no machines. Make them: labenv up amy"),
            (
                "Without the world outside: labenv up amy --outside",
                "Without the world outside: labenv up amy --outside*",
            ),
            (
                "Its log: labenv logs vm3. Then labenv check -s amy.",
                "Its log: labenv logs vm3*. Then labenv check -s amy.",
            ),
            ("in Thunderbird (`labenv desktop`), type", "in Thunderbird (`labenv desktop`*), type"),
            ("`labenv doctor` may say why.", "`labenv doctor`* may say why."),
            ("go on with labenv next, or labenv drill list", "go on with labenv next, or labenv drill list*"),
            ("Try 'labenv hint -h' for help.", "Try 'labenv hint -h'* for help."),
            ("labenv exec vm2 -s amy -- rm --force x", "labenv exec vm2 -s amy -- rm --force x"),
            ("another labenv has it; labenv itself failed", "another labenv has it; labenv itself failed"),
        ],
    )
    def test_has_a_star_where_it_names_what_is_not_in_the_menu(self, text: str, shown: str) -> None:
        assert marks.marked(text) == shown
        assert marks.noted(text) == (shown if shown == text else f"{shown}\n{marks.NOTE}")

    def test_of_labenv_or_a_lab_names_no_command_that_is_neither_in_the_menu_nor_marked(self) -> None:
        assert {name for chapter in CHAPTERS.values() for name in chapter} <= {*COMMANDS, *OWN, *SAME, *NOT_HERE}
        assert not NOT_HERE & {*COMMANDS, *OWN, *SAME}
        others = re.compile(rf"\blabenv (?:{'|'.join(NOT_HERE)})\b")
        found = 0
        for file in [*Path("labenv").rglob("*.py"), *Path("labenv/labs").rglob("*.yaml")]:
            text = file.read_text(encoding="utf-8")
            stars = len(marks.marked(text)) - len(text)
            found += stars
            assert stars >= len(others.findall(text)), file
        assert found > 100

    @pytest.mark.parametrize("guest", [False, True])
    def test_of_a_command_is_marked_for_students_alone(self, guest: bool) -> None:
        environ = {name: value for name, value in os.environ.items() if name != programs.GUEST}
        done = subprocess.run(
            [sys.executable, "-m", "labenv", "check", "-x"],
            env=environ | ({programs.GUEST: "1"} if guest else {}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "labenv check -h'*" in done.stderr, marks.NOTE in done.stderr) == (2, guest, guest)


class TestTheMenu:
    def test_fits_80_columns_and_24_lines_of_plain_signs(self) -> None:
        lines = ["class", "machines", "", *menu.rows(), "still", "back", "prompt"]
        assert len(lines) <= 24
        assert all(len(line) < 80 and line.isascii() for line in menu.rows())

    def test_is_the_one_that_teachers_read_about(self) -> None:
        assert "\n".join(menu.rows()) in Path("docs/teacher.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("typed_", "name"), [("2", "status"), ("CHECK", "check"), ("quit", "exit"), ("up", "start"), ("999", "999")]
    )
    def test_knows_numbers_and_other_words(self, typed_: str, name: str) -> None:
        assert menu.meant([typed_, "x"]) == [name, "x"]


class TestGuessing:
    def test_costs_a_students_name_more_and_more_whether_there_is_such_a_student_or_not(self) -> None:
        throttle = Throttle(lambda: 0.0)
        waits = [throttle.tried("amy", f"10.0.0.{n}") or 0.0 for n in range(12)]
        assert waits[:FREE] == [0.0] * FREE
        assert waits[FREE:] == sorted(waits[FREE:])
        assert waits[-1] == LONGEST
        assert throttle.tried("bob", "10.0.0.1") == 0.0

    def test_ends_for_an_address_and_begins_again_after_a_while(self) -> None:
        now = 0.0
        throttle = Throttle(lambda: now)
        waits = [throttle.tried(f"s{n}", "2001:db8::1") for n in range(FROM_ADDRESS)]
        assert None not in waits
        assert throttle.tried("amy", "2001:db8::ffff") is None
        now = WINDOW + 1
        assert throttle.tried("amy", "2001:db8::ffff") == 0.0

    def test_is_forgotten_after_the_right_password(self) -> None:
        throttle = Throttle(lambda: 0.0)
        for _ in range(8):
            throttle.tried("amy", "10.0.0.1")
        throttle.passed("amy", "10.0.0.1")
        assert throttle.tried("amy", "10.0.0.1") == 0.0

    def test_takes_no_more_memory_for_more_names(self) -> None:
        throttle = Throttle(lambda: 0.0)
        for number in range(20_000):
            throttle.tried(f"name{number}", f"10.{number % 200}.{number // 200}.1")
        assert len(throttle._counts) <= 5000

    def test_counts_a_site_as_one_address(self) -> None:
        assert network("::ffff:192.0.2.1") == "192.0.2.1"
        assert network("2001:db8:1:2:3::4%eth0") == network("2001:db8:1:2::9")


def test_the_class_is_read_again_when_its_files_change_and_stays_while_they_are_broken(tmp_path: Path) -> None:
    (tmp_path / "class.yaml").write_text("name: OPS\nlabs: [{lab: lab4b}]\n")
    (tmp_path / "roster.csv").write_text("id\namy\n")
    said: list[str] = []
    gate = Gate(cast(Engine, None), load.load(tmp_path), lambda event: said.append(event.message))
    for now, (file, text, who) in enumerate(
        [
            ("roster.csv", "id\namy\nbob\n", {"amy", "bob"}),
            ("class.yaml", "labs: [", {"amy", "bob"}),
            ("class.yaml", "name: OPS\nlabs: [{lab: lab4b}]\n", {"amy", "bob"}),
            ("roster.csv", "id\nbob\n", {"bob"}),
        ]
    ):
        (tmp_path / file).write_text(text)
        os.utime(tmp_path / file, (now, now))
        assert {one.id for one in gate.current().members} == who
    assert len(said) == 1
    gate.check_member("bob")
    with pytest.raises(UsageError, match="not in the roster of OPS any more"):
        gate.check_member("amy")


@pytest.mark.parametrize("typed_", ["drill start", "drill start --level 2", "drill start reading-times-out"])
def test_a_drill_is_one_of_those_that_the_class_uses(typed_: str, tmp_path: Path) -> None:
    for drills, among in (
        ("", []),
        ("drills: [home-is-closed, reading-times-out]", ["--among", "home-is-closed,reading-times-out"]),
    ):
        arguments = prepared(tmp_path, f"labs: [{{lab: lab4b, {drills}}}]", typed_).arguments
        assert arguments[arguments.index("start") + 1 : arguments.index("-s")] == among


def test_a_drill_that_the_class_does_not_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not use the drill reading-times-out.*lab4b are: home-is-closed"):
        prepared(tmp_path, "labs: [{lab: lab4b, drills: [home-is-closed]}]", "drill start reading-times-out")


@pytest.mark.parametrize("typed_", ["advance", "advance lab6", "advance --anyway lab6"])
def test_a_student_goes_on_to_the_next_lab_of_the_class_once_it_is_open(typed_: str, tmp_path: Path) -> None:
    arguments = prepared(tmp_path, "labs: [{lab: lab4b}, {lab: lab6}]", typed_).arguments
    assert arguments[-2:] == ["--", "lab6"]
    assert ("--anyway" in arguments) == ("--anyway" in typed_)
    with pytest.raises(UsageError, match="lab6 is not open yet"):
        prepared(tmp_path, "labs: [{lab: lab4b}, {lab: lab6, open: 2037-01-01}]", typed_)
    with pytest.raises(UsageError, match=r"has no lab( lab6)? that begins where lab4b ends"):
        prepared(tmp_path, "labs: [{lab: lab4b}, {lab: lab7}]", typed_)


def test_sftp_has_no_way_to_a_file_that_is_not_decided_here() -> None:
    for name, method in inspect.getmembers(SFTPServer, inspect.isfunction):
        if {"path", "oldpath"} & set(inspect.signature(method).parameters) and name not in (
            "map_path",
            "reverse_map_path",
        ):
            assert name in vars(Files), name


def test_a_time_is_said_in_the_zone_of_the_class(tmp_path: Path) -> None:
    from tests.unit.test_serving import made

    assert (
        menu.said(datetime(2027, 1, 27, 4, 59, tzinfo=UTC), made(tmp_path)) == "Tue 26 Jan 2027 23:59 (America/Toronto)"
    )


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(UsageError, match=r"class gate needs AsyncSSH.*pip install 'labenv\[class\]'"):
        check_there("class gate")
