"""Of a made class, every copy is named and no honest pair is; what is alike is said in words that judge nobody."""

import json
import random
import re
import time
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labenv.classroom.handins.known import neutral
from labenv.classroom.handins.look import Submission
from labenv.classroom.handins.review import as_csv, as_html, review
from labenv.student import Student
from tests.unit.made_class import KINDS, NAMES, QUOTES, Made, a_class, a_copy, solved
from tests.unit.made_submissions import LAB


def reviewed(made: list[Made], folder: Path) -> dict[str, Submission]:
    """The rows of a class, by student."""
    return {row.student: row for row in review([each.saved(folder) for each in made])}


def named(rows: dict[str, Submission]) -> set[frozenset[str]]:
    """The pairs of students that a note says look alike."""
    pairs = set()
    for row in rows.values():
        for note in row.notes:
            if found := re.match(r"(?:looks alike with|same log book as) (\S+?)(?::|$)", note):
                pairs.add(frozenset((row.student, found[1])))
    return pairs


def related(made: list[Made]) -> set[frozenset[str]]:
    """The pairs of which one is a copy of the other, or both of a third."""
    family = {each.student.id: each.of or each.student.id for each in made}
    return {frozenset(pair) for pair in combinations(family, 2) if len({family[name] for name in pair}) == 1}


@pytest.mark.parametrize("seed", range(5))
def test_every_copy_in_a_class_of_thirty_is_named_and_no_honest_pair(seed: int, tmp_path: Path) -> None:
    made = a_class(seed)
    rows = reviewed(made, tmp_path)
    assert len(rows) == 30
    copies = {frozenset((each.student.id, each.of)) for each in made if each.of}
    assert copies <= named(rows)
    assert named(rows) <= related(made)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1000, 10**6))
def test_no_honest_pair_is_named_whatever_the_class(tmp_path: Path, seed: int) -> None:
    assert not named(reviewed(a_class(seed, 24, 0), tmp_path))


@pytest.mark.parametrize("seed", range(2))
def test_in_a_handful_of_submissions_too_no_honest_pair_is_named_and_every_copy_is(seed: int, tmp_path: Path) -> None:
    made = a_class(seed, 12, 4)
    honest, copies = made[:12], made[12:]
    for few in (honest[:4], honest[4:8], honest[8:]):
        assert not named(reviewed(few, tmp_path))
    for copy in copies:
        original = next(each for each in honest if each.student.id == copy.of)
        other = next(each for each in honest if each is not original)
        assert named(reviewed([original, other, copy], tmp_path)) == {frozenset((copy.student.id, copy.of))}


@pytest.mark.parametrize(
    ("only", "what", "kinds"),
    [
        ("logbook", "log book", {"careful", "brief", "by the solutions", "quoting"}),
        ("history", "shell history", {"careful", "brief", "quoting", "nearly empty"}),
        ("evidence", "queue ids", set(KINDS)),
    ],
)
def test_one_copied_part_is_enough(only: str, what: str, kinds: set[str], tmp_path: Path) -> None:
    made = a_class(5, 20, 0)
    chance = random.Random(99)
    copies = [a_copy(chance, made[place], f"copy{place}", only) for place, kind in enumerate(KINDS) if kind in kinds]
    rows = reviewed([*made, *copies], tmp_path)
    for copy in copies:
        assert (copy.of, what) in {(found.student, found.what) for found in rows[copy.student.id].alike}
    assert named(rows) == {frozenset((copy.student.id, copy.of)) for copy in copies}


def test_a_configuration_with_remarks_of_ones_own_is_compared_too(tmp_path: Path) -> None:
    made = a_class(6, 20, 0)
    name = "config/vm3/etc/postfix/main.cf"
    lines = made[0].members[name].decode().splitlines()
    for place in range(5):
        lines.insert(40 * place + 7, f"# this is remark {NAMES[place]} of mine")
    made[0].members[name] = "\n".join(lines).encode()
    copy = a_copy(random.Random(1), made[0], "copy1", "config")
    rows = reviewed([*made, copy], tmp_path)
    assert [(each.student, each.what) for each in rows["copy1"].alike] == [(made[0].student.id, "configuration")]


def solutions(made: Made) -> str:
    return "\n".join(f"- `{line}`" for machine in ("host", "vm2", "vm3") for line in solved(made.student, machine))


def with_book(original: Made, text: str) -> Made:
    return Made(original.student, {**original.members, "logbook.md": text.encode()}, original.made)


@pytest.mark.parametrize("by", ["sheet", "hints", "solutions", "handout"])
def test_what_everybody_was_given_counts_nothing(by: str, tmp_path: Path) -> None:
    handout = "We met on Monday in room seven, and this is what the assistant wrote on the board for all of us. " * 2
    steps = LAB.steps.values()
    texts = {
        "sheet": "\n\n".join(QUOTES),
        "hints": "\n\n".join(hint for step in steps for hint in step.hints[:2]),
        "solutions": "",
        "handout": handout + "The mail server looks up the name, then it opens a connection and hands over the letter.",
    }
    first, second = a_class(7, 2, 0)
    pair = [
        with_book(each, f"## INVESTIGATION 1\n### What I did\n{texts[by] or solutions(each)}")
        for each in (first, second)
    ]
    files = [each.saved(tmp_path) for each in pair]
    board = tmp_path / "board.txt"
    board.write_text(texts["handout"])
    assert not [row.alike for row in review(files, [board]) if row.alike]
    assert not [note for row in review(files, [board]) for note in row.notes if "log book" in note]
    if by == "handout":
        assert all(row.alike or row.notes for row in review(files)), "labenv cannot know it"


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text.upper(),
        lambda text: "\n".join(text.split(". ")),
        lambda text: text.replace("e", "e\u200b"),
        lambda text: text.replace(" ", " **", 40).replace(",", " ,"),
        lambda text: text.replace("o", "o\u0301"),
    ],
)
def test_another_look_of_the_same_words_hides_nothing(disguise: object, tmp_path: Path) -> None:
    made = a_class(8, 3, 0)
    copied = disguise(made[0].members["logbook.md"].decode())  # type: ignore[operator]
    copied = copied.replace(made[0].student.id, made[1].student.id)
    rows = reviewed([made[0], with_book(made[1], copied), made[2]], tmp_path)
    assert named(rows) == {frozenset((made[0].student.id, made[1].student.id))}
    assert "log book" in {found.what for found in rows[made[0].student.id].alike} or "same log book" in str(rows)


def test_a_queue_id_that_is_quoted_from_anothers_log_is_named(tmp_path: Path) -> None:
    made = a_class(9, 2, 0)
    log = made[0].members["evidence/vm3.txt"].decode()
    line = next(line for line in log.splitlines() if "status=deferred" in line)
    quoting = with_book(made[1], f"## INVESTIGATION 2\n### What I did\n{line}\n")
    rows = reviewed([made[0], quoting], tmp_path)
    assert [each.what for each in rows[made[1].student.id].alike] == ["queue ids"]


def test_commands_typed_in_the_same_second_are_named(tmp_path: Path) -> None:
    made = a_class(10, 2, 0)
    typed = "".join(f"#{int(each.timestamp()) - 900}\nls\n" for each in [made[0].made] * 1) + "".join(
        f"#{int(made[0].made.timestamp()) - 1000 - place}\nsystemctl restart postfix\n" for place in range(4)
    )
    for each in made:
        each.members["history/vm2/root/.bash_history"] = typed.encode()
    pair = [Made(each.student, each.members, made[0].made) for each in made]
    assert {found.what for row in reviewed(pair, tmp_path).values() for found in row.alike} >= {
        "times in the shell history"
    }


def test_what_is_alike_is_said_in_every_form_and_judges_nobody(tmp_path: Path) -> None:
    made = a_class(11, 10, 0)
    original = made[0]
    copy = a_copy(random.Random(2), original, "copy1", "logbook")
    rows = list(reviewed([*made, copy], tmp_path).values())
    [note] = rows[-1].notes
    found = re.fullmatch(
        rf"looks alike with {original.student.id}: log book \((\d+) of (\d+) own words: “([^”]+)”\).*", note
    )
    assert found, note
    assert 0.65 < int(found[1]) / int(found[2]) < 1
    assert len(found[3]) <= 100
    alike = next(each for each in json.loads(json.dumps(rows[-1].to_dict()))["alike"] if each["what"] == "log book")
    assert alike == {
        "student": original.student.id,
        "file": rows[0].file,
        "what": "log book",
        "shared": int(found[1]),
        "of": int(found[2]),
        "passage": found[3],
    }
    for page in (as_csv(rows), as_html(rows)):
        assert f"looks alike with {original.student.id}: log book" in page
        assert not re.search(r"cheat|plagia|fraud|copied", page, re.IGNORECASE)


def test_the_same_student_twice_does_not_look_alike(tmp_path: Path) -> None:
    made = a_class(12, 1, 0)[0]
    (tmp_path / "again").mkdir()
    for row in review([made.saved(tmp_path), made.saved(tmp_path / "again")]):
        assert len(row.notes) == 1
        assert row.notes[0].startswith("same student as in ")
        assert row.alike == ()


def test_a_class_of_three_hundred_is_compared_in_seconds(tmp_path: Path) -> None:
    made = a_class(13, 200, 100)
    files = [each.saved(tmp_path) for each in made]
    began = time.process_time()
    rows = {row.student: row for row in review(files)}
    took = time.process_time() - began
    copies = {frozenset((each.student.id, each.of)) for each in made if each.of}
    assert copies <= named(rows) <= related(made)
    assert took < 30, "it takes 4 seconds of processor time where this was written"


def test_books_as_large_as_may_be_are_compared_in_bounded_time(tmp_path: Path) -> None:
    chance = random.Random(3)
    words = [f"{a}{b}{c}" for a in NAMES for b in "aeiou" for c in NAMES]
    made = a_class(14, 12, 0)
    texts = [" ".join(chance.choice(words) for _ in range(60_000)) for _ in range(2)]
    huge = [with_book(each, f"## INVESTIGATION 1\n### What I did\n{texts[n % 2]}") for n, each in enumerate(made)]
    files = [each.saved(tmp_path) for each in huge]
    began = time.process_time()
    rows = review(files)
    assert time.process_time() - began < 20
    assert all("same log book" in " ".join(row.notes) for row in rows)


def test_a_students_own_addresses_are_neutral_whatever_private_network_a_lab_has() -> None:
    texts = ("ping 10.{x}.1.10", "172.16.{x}.0/24", "via 10.0.{x}.1", "192.168.{x}.4", "198.18.{x}.2")
    anna, bob = (Student(name, x, "first", "") for name, x in (("anna", 90), ("bob", 7)))
    for text in texts:
        assert (said := neutral(text.format(x=90), anna)) == neutral(text.format(x=7), bob)
        assert "90" not in said
    assert neutral("port 10.90", anna) == "port 10.90"
