"""A submission that was changed with its manifest made to match still contradicts itself, and the row says where."""

import gzip
import json
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labenv.classroom.handins.review import review
from tests.unit.made_submissions import LAB, entry, manifest, members, saved, tarred
from tests.unit.test_handin_logbook import filled

MADE = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
HINTS = '{"time": "%s", "step": "17", "level": 1}\n'
PERSONS = [step.id for step in LAB.steps.values() if step.is_for_a_person]


def iso(**before: float) -> str:
    return (MADE - timedelta(**before)).isoformat()


def submission(told: dict[str, Any] | None = None, **changed: bytes) -> dict[str, bytes]:
    """The members of a submission of this version: its check results tell `told`, members are `changed`."""
    contents = members(book=filled())
    report = json.loads(contents["check.json"]) | {"time": iso(seconds=20), "hints": 1} | (told or {})
    contents["check.json"] = json.dumps(report).encode()
    contents["hints.jsonl"] = (HINTS % iso(hours=2)).encode()
    return contents | {name.replace("__", "/").replace("_json", ".json"): data for name, data in changed.items()}


def notes(folder: Path, contents: dict[str, bytes], **about: Any) -> tuple[str, ...]:
    told: dict[str, Any] = {"time": MADE.isoformat(), "began": iso(days=4), "hints": 1} | about
    return review([saved(folder / "a.tar.gz", contents=contents, **told)])[0].notes


def results(change: Any) -> dict[str, Any]:
    found = json.loads(members()["check.json"])["results"]
    for result in found:
        change(result)
    return {"results": found}


def evidence(date: str = "", log: str = "") -> bytes:
    text = members()["evidence/vm2.txt"].decode()
    return (f"## Date\n# date\n{date}\n\n" * bool(date) + text + f"\n## Mail log\n{log}\n").encode()


def test_a_submission_of_this_version_contradicts_nothing(tmp_path: Path) -> None:
    date = f"{MADE - timedelta(seconds=5):%a %b %e %H:%M:%S} UTC {MADE:%Y}"
    log = f"{MADE - timedelta(seconds=9):%b %e %H:%M:%S} vm2 postfix/qmgr[27]: AB12C778500: removed"
    contents = submission() | {"evidence/vm2.txt": evidence(date, log)}
    assert notes(tmp_path, contents) == ()


def test_results_that_all_pass_include_those_that_no_check_gives(tmp_path: Path) -> None:
    told = results(lambda result: result.update(status="pass"))
    [note] = notes(tmp_path, submission(told))
    assert note == f"check.json says that 17 steps pass that only a person can judge: {', '.join(PERSONS)}"


@pytest.mark.parametrize("check", ["person", "mail_is_read", ""])
def test_one_such_pass_is_enough(tmp_path: Path, check: str) -> None:
    told = results(lambda result: result.update(status="pass", check=check) if result["step"] == "44" else None)
    assert notes(tmp_path, submission(told)) == ("check.json says that 1 step passes that only a person can judge: 44",)


def test_a_check_of_what_a_person_did_may_pass(tmp_path: Path) -> None:
    real = {"7": "investigation_1", "51": "exploration_questions", "48": "backup_on_host", "36": "account_was_used"}
    told = results(lambda r: r.update(status="pass", check=real[r["step"]]) if r["step"] in real else None)
    assert notes(tmp_path, submission(told)) == ()


def test_a_pass_for_a_log_book_that_is_empty(tmp_path: Path) -> None:
    told = results(lambda r: r.update(status="pass", check="investigation_2") if r["step"] == "27" else None)
    contents = submission(told) | {"logbook.md": members()["logbook.md"]}
    assert notes(tmp_path, contents) == (
        "check.json says that step 27 passes, but INVESTIGATION 2 of the log book is not filled in",
    )


def test_a_pass_with_the_reason_why_it_could_not_be_checked(tmp_path: Path) -> None:
    told = results(lambda r: r.update(evidence="waits for step 9: Mail from vm2") if r["step"] == "10" else None)
    [note] = notes(tmp_path, submission(told))
    assert note.endswith("1 step passes, but gives the reason why they could not be checked: 10")


@pytest.mark.parametrize(
    ("hints", "about", "told", "said"),
    [
        (b"", {}, {}, ["manifest.json says that 1 were", "check.json says that 1 were"]),
        (b"", {"hints": 0}, {}, ["check.json says that 1 were"]),
        (None, {"hints": 3}, {"hints": 3}, ["manifest.json says that 3 were", "check.json says that 3 were"]),
        (None, {"hints": "\x1b[2J"}, {}, ["manifest.json says that \\x1b[2J were"]),
    ],
)
def test_hints_that_were_taken_out(
    tmp_path: Path, hints: bytes | None, about: dict[str, Any], told: dict[str, Any], said: list[str]
) -> None:
    contents = submission(told)
    if hints is not None:
        contents["hints.jsonl"] = hints
    found = notes(tmp_path, contents, **about)
    assert len(found) == len(said)
    assert all(words in note for note, words in zip(found, said, strict=True))


def test_a_manifest_made_again_without_the_number_of_hints(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.tar.gz", contents=submission(), time=MADE.isoformat())
    assert review([file])[0].notes == ("manifest.json does not say how many hints were asked for, check.json does",)


def test_a_later_submission_with_fewer_hints_than_an_earlier_one(tmp_path: Path) -> None:
    earlier = saved(tmp_path / "a.tar.gz", contents=submission(), time=MADE.isoformat(), hints=1)
    contents = submission({"hints": 0, "time": (MADE + timedelta(days=1)).isoformat()}) | {"hints.jsonl": b""}
    time = (MADE + timedelta(days=1)).isoformat()
    later = saved(tmp_path / "b.tar.gz", contents=contents, time=time, hints=0)
    first, second = review([earlier, later])
    assert first.notes == (f"same student as in {later}",)
    assert second.notes == (f"same student as in {earlier}", f"1 hints in {earlier} are not in this later one")


LATER = MADE + timedelta(days=2)
TIMES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, bytes], str]] = {
    "future": ({"time": (MADE + timedelta(days=9)).isoformat()}, {"time": iso(days=-9)}, {}, "is in the future"),
    "no time": ({"time": "yesterday"}, {}, {}, "the manifest's time is not a time"),
    "no zone": ({"time": "2026-11-22T10:00:00"}, {}, {}, "the manifest's time is not a time"),
    "checked later": ({}, {"time": iso(days=-1)}, {}, "the checks ran at"),
    "checked long before": ({}, {"time": iso(days=1)}, {}, "the checks ran at"),
    "checked at no time": ({}, {"time": 7}, {}, "the checks ran at no possible time"),
    "before it began": ({"began": iso(days=-1)}, {}, {}, "the environment began at"),
    "hint later": ({}, {}, {"hints.jsonl": (HINTS % iso(days=-1)).encode()}, "a hint was asked for at"),
    "hint in 1980": ({}, {}, {"hints.jsonl": (HINTS % "1980-01-01T00:00:00+00:00").encode()}, "at no possible time"),
    "hints in disorder": (
        {"hints": 2},
        {"hints": 2},
        {"hints.jsonl": (HINTS % iso(hours=2) + HINTS % iso(hours=5)).encode()},
        "not in the order of their times",
    ),
    "evidence": (
        {},
        {},
        {"evidence/vm2.txt": evidence(f"{LATER:%a %b %e %H:%M:%S} UTC {LATER:%Y}")},
        "the evidence of vm2 is of",
    ),
    "evidence of no day": ({}, {}, {"evidence/vm2.txt": evidence("Mon Feb 30 10:00:00 UTC 2026")}, "no possible time"),
    "log": (
        {},
        {},
        {"evidence/vm2.txt": evidence(log=f"{LATER:%b %e %H:%M:%S} vm2 postfix/qmgr[27]: AB12C778500: removed")},
        "a log of vm2 has a line at",
    ),
    "firewall": (
        {},
        {},
        {
            "config/vm2/etc/sysconfig/iptables": f"# Generated by iptables-save v1.8.9 on {LATER:%a %b %e %H:%M:%S %Y}\n".encode()
        },
        "the firewall of vm2 was saved at",
    ),
    "typed": (
        {},
        {},
        {"history/vm2/root/.bash_history": f"#{int(LATER.timestamp())}\nls\n".encode()},
        "history/vm2/root/.bash_history has a line of",
    ),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_that_cannot_all_be_true(tmp_path: Path, case: str) -> None:
    about, told, changed, said = TIMES[case]
    found = notes(tmp_path, submission(told) | changed, **about)
    assert len(found) == 1, found
    assert said in found[0]


def test_a_manifest_that_was_dated_back_stands_against_everything_else(tmp_path: Path) -> None:
    date = f"{MADE:%a %b %e %H:%M:%S} UTC {MADE:%Y}"
    log = f"{MADE:%b %e %H:%M:%S} vm2 postfix/qmgr[27]: AB12C778500: removed"
    contents = submission() | {"evidence/vm2.txt": evidence(date, log)}
    found = notes(tmp_path, contents, time=iso(days=5))
    assert [note.split(" of ")[0].split(" at ")[0] for note in found] == [
        "the checks ran",
        "the environment began",
        "a hint was asked for",
        "the evidence",
        "a log",
    ]


def test_members_that_are_dated_otherwise_than_the_manifest(tmp_path: Path) -> None:
    contents = submission()
    about = {"manifest.json": manifest("asmith15", contents, time=MADE.isoformat(), hints=1)}
    dated: list[tuple[tarfile.TarInfo, bytes]] = []
    for name, content in (about | contents).items():
        info = entry(name, content)
        info.mtime = MADE.timestamp() + 86_400 * (name == "check.json")
        dated.append((info, content))
    file = tmp_path / "a.tar.gz"
    file.write_bytes(gzip.compress(tarred(dated)))
    [note] = review([file])[0].notes
    assert note.startswith("1 members are dated ")


@pytest.mark.parametrize(("zone", "hours"), [("CET", 1), ("EDT", -4), ("+13", 13)])
def test_a_machine_in_another_time_zone_contradicts_nothing(tmp_path: Path, zone: str, hours: int) -> None:
    here = MADE + timedelta(hours=hours)
    date = f"{here:%a %b %e %H:%M:%S} {zone.replace('+', 'X')} {here:%Y}"
    log = f"{here:%b %e %H:%M:%S} vm2 postfix/qmgr[27]: AB12C778500: removed"
    assert notes(tmp_path, submission() | {"evidence/vm2.txt": evidence(date, log)}) == ()


def test_a_log_that_begins_in_the_year_before_contradicts_nothing(tmp_path: Path) -> None:
    log = "\n".join(
        f"{MADE - timedelta(days=days):%b %e %H:%M:%S} vm2 postfix/qmgr[27]: AB12C778500: removed"
        for days in range(0, 250, 10)
    )
    assert notes(tmp_path, submission() | {"evidence/vm2.txt": evidence(log=log)}) == ()


def test_the_domain_of_another_in_a_configuration(tmp_path: Path) -> None:
    contents = members("bjones3")
    contents["config/host/etc/resolv.conf"] = b""
    contents["config/vm2/etc/postfix/main.cf"] += b"# relayhost = vm3.asmith15.ops\n"
    files = [saved(tmp_path / "a.tar.gz"), saved(tmp_path / "b.tar.gz", "bjones3", contents)]
    first, second = review(files)
    assert first.notes == ()
    assert second.notes == ("the configuration names asmith15.ops, the domain of asmith15",)


ANYTHING = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.lists(st.integers(), max_size=2),
    st.datetimes().map(lambda moment: moment.isoformat() + "+00:00"),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-22T10:00:00+99:00"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANYTHING, ANYTHING, ANYTHING, st.text(max_size=30), st.integers(0, 10**12), ANYTHING)
def test_no_time_and_no_number_breaks_the_reader(
    tmp_path: Path, began: Any, checked: Any, hints: Any, date: str, stamp: int, first: Any
) -> None:
    log = f"Feb 31 25:61:61 vm2 x: {date}\n{date} vm2 postfix/smtpd[1]: "
    contents = submission({"time": checked, "hints": hints}) | {
        "evidence/vm2.txt": evidence(date, log),
        "history/vm2/root/.bash_history": f"#{stamp}\n{date}\n".encode(errors="replace"),
        "hints.jsonl": (HINTS % began).encode(errors="replace"),
    }
    time = checked if isinstance(checked, str) and len(checked) <= 100 else MADE.isoformat()
    [row] = review([saved(tmp_path / "a.tar.gz", contents=contents, time=time, began=began, hints=hints, first=first)])
    assert row.student == "asmith15"
    json.dumps(row.to_dict())
