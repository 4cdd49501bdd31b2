"""A lab with one machine, one step and nothing else: no kit, log book, hand-in, account, drills or history. Each command says so."""

from pathlib import Path

from tests.e2e.conftest import Cli

_LAB = """\
format: 1
id: bare
title: "A note"
topology: topology.yaml
stages:
  - {id: start, title: "Nothing is written"}
  - {id: done, title: "The note is there"}
layers: {notes: "what is written"}
answers:
  - {machine: box, command: "test {{ student.domain }} = $(hostname -d)"}
"""
_TOPOLOGY = """\
services:
  box:
    image: base
    hostname: box.${DOMAIN}
    networks: {lan: {ipv4_address: "${PREFIX}.2"}}
networks:
  lan: {ipam: {config: [{subnet: "${PREFIX}.0/24", gateway: "${PREFIX}.254"}]}}
"""
_STEPS = """\
headings: {a: "The note"}
steps:
  - id: "1"
    heading: a
    machines: [box]
    stage: done
    title: "There is a note"
    hints: ["Nothing is written.", "Look in /root.", "A file is made by writing into it."]
    solution: [{machines: [box], type: "echo hello > /root/note"}]
"""
_CONFTEST = 'from labenv.checks.plugin import machine_fixture\n\nbox = machine_fixture("box")\n'
_CHECK = """\
from labenv.checks.plugin import step


@step("1", machine="box")
def test_note(box, evidence):
    there = box.run("cat /root/note").stdout.strip()
    evidence(there, f"/root/note says {there or 'nothing'}", "something")
"""
_DRILL = """\
title: "The note was removed"
level: 1
layer: notes
machines: [box]
break: "rm /root/note"
fix: "echo hello > /root/note"
symptom: "I cannot find the note."
seen: {machine: box, type: "! test -e /root/note"}
trips: ["1/note"]
survives-reboot: true
hints: ["Something is missing.", "Look in /root.", "Write it."]
explanation: "Without a file there is nothing to read."
"""
WITHOUT = {
    ("submit", "bare.tar.gz"): "Nothing of bare is handed in: it has no handin.yaml",
    ("evidence", "box"): "Nothing of bare is handed in",
    ("logbook",): "bare has no log book",
    ("drill", "start"): "bare has no drills",
    ("client",): "bare has no mail account",
    ("trace",): "bare is not about mail",
    ("history",): "bare has no history",
    ("desktop",): "bare has no desktop",
}


def made(folder: Path) -> Path:
    """The lab, in this folder, and beside it a folder with a drill."""
    files = {"lab.yaml": _LAB, "topology.yaml": _TOPOLOGY, "steps.yaml": _STEPS, "checks/conftest.py": _CONFTEST}
    files |= {"checks/test_note.py": _CHECK, "../drills/gone.yaml": _DRILL}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_lab_needs_nothing_but_a_step(cli: Cli, student: str, tmp_path: Path) -> None:
    lab = made(tmp_path / "bare")
    assert cli("lab", "lint", str(lab)).stdout == "bare: no errors\n"
    cli("lab", "trust", str(lab))
    there = cli("up", student, "--lab", str(lab), "--at", "start")
    assert "waiting until box answer" in there.stderr
    for command, said in WITHOUT.items():
        assert said in cli(*command, "-s", student, rc=2).stderr
    assert cli.json("check", "-s", student, rc=1)["summary"]["failed"] == 1
    cli("solve", "1", "-s", student)
    started = cli("drill", "start", "--from", str(tmp_path / "drills"), "-s", student)
    assert "labenv drill diagnose LAYER (notes)" in started.stderr
    assert "notes (what is written)" in cli("drill", "diagnose", "relay", "-s", student, rc=2).stderr
    cli("drill", "diagnose", "notes", "-s", student)
    cli.inside(student, "box", "echo again > /root/note")
    assert cli.json("drill", "check", "-s", student)["over"]
