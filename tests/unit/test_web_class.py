"""What the teacher's page is made of, without a browser: sentences that wait, looks over a shoulder, signs of steps."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from labenv.classroom.folder import load
from labenv.classroom.folder.model import Class
from labenv.classroom.running.board import Row
from labenv.classroom.serving import audit, nudges
from labenv.errors import UsageError
from labenv.events import silent
from labenv.gate.held import BEHIND, KEPT, Held, Observer, Viewer
from labenv.gate.state import Gate
from labenv.lab import labs
from labenv.web.class_ import outcomes
from labenv.web.class_.calls import Calls
from labenv.web.class_.desk import ClassDesk
from labenv.web.class_.read_only import ReadOnly
from labenv.web.class_.rows import strip
from labenv.web.class_.works import Work

MARKUP = "<img src=x onerror=pwned()>"


@pytest.fixture
def of(tmp_path: Path) -> Class:
    (tmp_path / "class.yaml").write_text("id: unit\nlabs:\n- lab: lab4b\n")
    (tmp_path / "roster.csv").write_text("id\namy1\nbob2\n")
    return load.load(tmp_path)


class Script:
    """A program that says what it is told to."""

    size = (24, 80)

    def __init__(self) -> None:
        self.says: asyncio.Queue[bytes] = asyncio.Queue()
        self.typed: list[bytes] = []

    async def read(self) -> bytes:
        return await self.says.get()

    async def write(self, data: bytes) -> None:
        self.typed.append(data)

    async def resize(self, lines: int, columns: int) -> None:
        self.size = lines, columns

    async def ended(self) -> int:
        return 0

    async def hang_up(self) -> None:
        self.says.put_nowait(b"")


def test_nudges_wait_until_they_are_read(of: Class) -> None:
    nudges.send(of, ["amy1", "bob2"], "Look at the relay\nonce more")
    nudges.send(of, ["amy1"], "Well done")
    first, second = nudges.unread(of, "amy1")
    assert first.text == "Look at the relay once more"
    assert nudges.said(second, of).endswith(" Your teacher says: Well done")
    nudges.read(of, "amy1", [first.key])
    assert nudges.unread(of, "amy1") == [second]
    nudges.read(of, "amy1", [second.key])
    assert not nudges.unread(of, "amy1")
    assert not (of.records / "nudges" / "amy1.json").exists()
    assert len(nudges.unread(of, "bob2")) == 1


def test_nudges_are_bounded_and_clean(of: Class) -> None:
    for number in range(nudges.MOST + 5):
        nudges.send(of, ["amy1"], f"{number}")
    assert [each.text for each in nudges.unread(of, "amy1")] == [f"{number}" for number in range(5, nudges.MOST + 5)]
    for text, words in (("  \n ", "no sentence"), ("x" * (nudges.LONGEST + 1), "Write a shorter one")):
        with pytest.raises(UsageError, match=words):
            nudges.send(of, ["bob2"], text)
    nudges.send(of, ["bob2"], "\x1b]0;title\x07 \u202eevil")
    assert nudges.unread(of, "bob2")[0].text.isprintable()
    (of.records / "nudges" / "bob2.json").write_text('{"no": "list"}')
    assert nudges.unread(of, "bob2") == []


async def _until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


def test_who_looks_on_sees_all_and_never_holds_up_whoever_works() -> None:
    async def run() -> None:
        program, shown = Script(), bytearray()
        held = Held(1, "amy1", "shell vm2", program)
        task = asyncio.create_task(held.run())

        async def take(data: bytes) -> None:
            shown.extend(data)

        await held.show(Viewer(take))
        program.says.put_nowait(b"before ")
        await _until(lambda: shown)
        quick, slow = Observer(), Observer()
        held.observe(quick)
        held.observe(slow)
        seen = bytearray(await quick.read())
        assert seen == b"before "
        block = b"x" * KEPT
        for _ in range(BEHIND // KEPT + 1):  # nobody reads for the slow one
            program.says.put_nowait(block)
            seen += await quick.read()
        assert slow.is_over
        assert not quick.is_over
        await _until(lambda: len(shown) == len(seen))
        assert bytes(shown) == bytes(seen)
        while await slow.read():
            pass  # what it had kept, then nothing more
        held.forget(quick)
        program.says.put_nowait(b"after")
        await _until(lambda: shown.endswith(b"after"))
        assert await quick.read() == b""
        last = Observer()
        held.observe(last)
        program.says.put_nowait(b"")
        await task
        assert last.is_over

    asyncio.run(run())


def test_a_look_begins_with_the_students_word_and_ends_with_it(of: Class) -> None:
    async def run() -> None:
        gate = Gate(None, of, silent)  # type: ignore[arg-type]  # nothing here asks an engine
        calls = Calls(gate)
        program = Script()
        held = gate.holder.hold("amy1", "shell vm2", program)
        with pytest.raises(UsageError, match="no page open"):
            calls.ask(held)
        told: list[int] = []
        leave = calls.show("amy1", lambda: told.append(len(calls.looks("amy1"))))
        look = calls.ask(held)
        assert told == [0, 1]
        program.says.put_nowait(b"secret")
        await asyncio.sleep(0.05)
        assert not look.agreed
        assert not look.observer._said, "nothing is seen before the student agrees"
        with pytest.raises(UsageError, match="asked already"):
            calls.ask(held)
        calls.agree(look)
        assert await look.observer.read() == b"secret"
        calls.end(look, "the student ended it")
        assert look.is_over
        assert await look.observer.read() == b""

        refused = calls.ask(held)
        calls.end(refused, "the student said no")
        calls.agree(refused)
        assert not refused.agreed, "an answer that comes too late begins nothing"

        seen = calls.ask(held)
        calls.agree(seen)
        leave()
        assert seen.is_over, "nobody is looked at who cannot see that"
        assert not program.typed
        await held.program.hang_up()
        await held.over.wait()

    asyncio.run(run())
    ended, refused = ["look asked", "look agreed", "look ended"], ["look asked", "look refused"]
    assert [entry["what"] for entry in audit.read(of)] == [*ended, *refused, *ended]
    assert {entry["line"] for entry in audit.read(of)} == {"shell vm2"}


def test_a_nudge_reaches_the_page_at_once_and_is_written_down(of: Class) -> None:
    async def run() -> None:
        calls = Calls(Gate(None, of, silent))  # type: ignore[arg-type]
        told: list[str] = []
        calls.show("bob2", lambda: told.append("told"))
        await calls.nudge(["amy1", "bob2"], "Five minutes left")
        assert told == ["told", "told"]
        [waiting] = await calls.unread("bob2")
        await calls.read("bob2", waiting.key)
        assert not await calls.unread("bob2")

    asyncio.run(run())
    assert [(each["student"], each["what"], each["line"]) for each in audit.read(of)] == [
        ("amy1", "nudge", "Five minutes left"),
        ("bob2", "nudge", "Five minutes left"),
    ]


def test_the_teachers_desk_of_a_student_refuses_what_would_change_something(of: Class) -> None:
    async def run() -> None:
        checkers: Any = None
        engine: Any = None
        gate = Gate(engine, of, silent)
        mine = ClassDesk(engine, "amy1", checkers, holder=gate.holder, gate=gate)
        desk = ReadOnly(engine, "amy1", checkers, of=mine)
        for refused in (
            desk.change(["restore"], lambda *_: pytest.fail("it was done")),
            desk.labenv("hint", "17"),
            desk.submit(),
            desk.shell("vm2", (24, 80)),
            desk.log("vm2", (24, 80)),
        ):
            with pytest.raises(UsageError, match="only look at the page of amy1"):
                await refused

    asyncio.run(run())


def test_signs_of_steps_never_are_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = labs.load("lab4b")
    first, second, *_ = lab.steps
    monkeypatch.setitem(lab.steps, first, replace(lab.steps[first], title=MARKUP))
    row = Row("amy1", MARKUP, "runs", "lab4b", "", {first: "fail", second: "pass"}, note=MARKUP)
    drawn = strip(row, lab)
    assert "<img" not in drawn
    assert drawn.count("<b ") == len(lab.steps)
    assert 'class="fail"' in drawn
    assert 'aria-label="1 passes, 1 fails"' in drawn
    assert f"Step {second} passes" in drawn
    assert "<b " not in strip(Row("amy1", "", "missing"), lab)


def test_what_came_of_a_work_is_told_and_who_failed() -> None:
    now = datetime.now(UTC)
    work = Work("Starting drills", ("drill", "start"), now, ended=now)
    document = {
        "students": [{"student": "amy1", "drill": "relay", "level": 1}],
        "failed": [{"student": "bob2", "error": "There is no environment.", "code": 3}],
    }
    told = outcomes.sentences(replace(work, document=document))
    assert told[0].startswith("Started a drill for 1 student.")
    assert told[1:] == ["amy1: relay (level 1)", "bob2: There is no environment."]
    nobody = replace(work, document=document | {"students": []})
    assert outcomes.sentences(nobody)[0].startswith("Started a drill for 0 students.")
    given_up = replace(work, arguments=("drill", "give-up", "--yes"), document={"students": []})
    assert outcomes.sentences(given_up) == ["Ended the drills of 0 students."]
    assert outcomes.sentences(replace(work, problem="It was ended.")) == ["It was ended."]
    unchecked = {"students": [{"student": "amy1", "error": "It did not end."}]}
    checked = replace(work, arguments=("check", "--lab", "lab4b"), document=unchecked)
    assert outcomes.sentences(checked) == ["0 students checked.", "amy1: It did not end."]
