"""`labenv lab lint` on labs that are broken in one place each, and on the labs that labenv ships."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from labenv import resources
from labenv.cli.app import app
from labenv.errors import UsageError
from labenv.lab import labs, lint, marks, model, new, translation

Tree = dict[str, Any]
Break = Callable[[Tree], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped lab, to be broken."""
    made = tmp_path / "mylab"
    shutil.copytree(resources.labs() / "lab4b", made, ignore=shutil.ignore_patterns("__pycache__"))
    return made


def change(folder: Path, file: str, how: Break) -> list[str]:
    """The problems that lint reports after a change to the tree in a file, without their positions."""
    tree = model.parsed(folder / file)
    how(tree)
    (folder / file).write_text(yaml.dump(tree, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False))
    return said(folder)


def said(folder: Path) -> list[str]:
    """The problems of a lab, without their positions; each has one."""
    found = lint.lint(folder)
    assert all(finding.line and finding.column for finding in found), found
    return [str(replace(finding, line=0, column=0)) for finding in found]


def step(tree: Tree, name: str) -> Tree:
    entry: Tree = next(entry for entry in tree["steps"] if entry["id"] == name)
    return entry


def without(name: str, key: str) -> Break:
    return lambda tree: step(tree, name).pop(key)


def setting(name: str, key: str, value: Any) -> Break:
    return lambda tree: step(tree, name).update({key: value})


def typing(name: str, text: str) -> Break:
    return setting(name, "solution", [{"machines": ["vm2"], "type": text}])


@pytest.mark.parametrize("name", labs.names())
def test_nothing_is_wrong_with_the_labs_that_are_shipped(name: str) -> None:
    assert [str(finding) for finding in lint.lint(resources.labs() / name)] == []


STEPS: list[tuple[str, Break, str]] = [
    ("no hints", without("17", "hints"), "steps.yaml: step 17: the key 'hints' is missing. Three sentences:"),
    (
        "two hints",
        lambda t: step(t, "17")["hints"].pop(),
        "steps.yaml: step 17: hints: expected at least 3 entries, found 2.",
    ),
    (
        "empty hint",
        setting("17", "hints", ["a", " ", "c"]),
        "step 17: hints number 2: the text is empty. Three sentences",
    ),
    ("no solution", without("17", "solution"), "step 17: the key 'solution' is missing. What root types"),
    ("empty solution", setting("17", "solution", []), "step 17: solution: expected at least 1 entry, found 0."),
    ("blank commands", typing("17", "{# nothing #}"), "step 17: its solution types nothing on vm2."),
    ("no title", without("17", "title"), "step 17: the key 'title' is missing."),
    ("no machines", setting("17", "machines", []), "step 17: machines: expected at least 1 entry, found 0."),
    (
        "number for text",
        setting("17", "number", 2),
        "step 17: number: expected text in quotes, found a number.",
    ),
    ("text for a list", setting("17", "needs", "0"), "step 17: needs: expected a list, found text."),
    (
        "unknown key",
        setting("17", "hint", "x"),
        "step 17: the key 'hint' is unknown here. Remove it, or use one of: attempts, by,",
    ),
    ("a switch for a key", setting("17", "solution", [{True: ["vm2"], "type": "x"}]), "step 17: solution number 1: "),
    ("unknown kind", setting("17", "by", "robot"), "step 17: by: 'robot' is unknown here. \"person\" for what"),
    ("twice the same need", setting("17", "needs", ["0", "0"]), "step 17: needs: the same entry is there twice."),
    (
        "odd id",
        lambda t: step(t, "17").update(id="step 17"),
        "step step 17: id: 'step 17' is not valid here. The number",
    ),
    ("repeated id", lambda t: t["steps"].append(step(t, "17")), "step 17: 2 steps have this id. Give each its own."),
    (
        "unknown heading",
        setting("17", "heading", "relais"),
        "step 17: the heading 'relais' is unknown. The headings are: client",
    ),
    (
        "unknown stage",
        setting("17", "stage", "relais"),
        "step 17: the stage 'relais' is unknown. The stages are: domain,",
    ),
    (
        "unknown machine",
        setting("17", "machines", ["vm9"]),
        "step 17: the machine 'vm9' is unknown. The machines are: host,",
    ),
    (
        "solution on an unknown machine",
        setting("17", "solution", [{"machines": ["vm9"], "type": "true"}]),
        "step 17: the machine 'vm9' is unknown. The machines are: host, outside, vm1, vm2, vm3.",
    ),
    ("unknown need", setting("17", "needs", ["170"]), "step 17: the step '170' is unknown."),
    (
        "need of a later stage",
        setting("17", "needs", ["22"]),
        "step 17: it needs step 22, which passes only from stage lda on.",
    ),
    ("need of itself", setting("17", "needs", ["17"]), "step 17: it waits for itself, through 17."),
    (
        "needs in a circle",
        lambda t: (setting("9", "needs", ["11"])(t), setting("11", "needs", ["9"])(t)),
        "step 9: it waits for itself, through 9, 11. Remove one of these needs.",
    ),
    ("undefined name", typing("17", "echo {{ studnet.id }}"), "step 17: its solution cannot be rendered: 'studnet' is"),
    ("broken template", typing("17", "echo {{ student.id"), "step 17: its solution cannot be rendered: unexpected end"),
    (
        "a template that breaks",
        typing("17", "echo {{ 1 / 0 }}"),
        "step 17: its solution cannot be rendered: ZeroDivisionError: division by zero.",
    ),
    (
        "a template that reaches out",
        typing("17", "echo {{ student.__class__.__mro__ }}"),
        "step 17: its solution cannot be rendered: access to attribute '__class__' of 'Student' object is unsafe.",
    ),
    (
        "the answer in a hint",
        setting("18", "hints", ["a", "b", "Try systemctl restart postfix."]),
        "step 18: hint 3 gives the answer away: systemctl restart postfix. Describe it in words.",
    ),
    (
        "a step without a check",
        lambda t: t["steps"].append({**step(t, "18"), "id": "99"}),
        'step 99: it has no check. Write one in checks/: a test marked @step("99", machine=…).',
    ),
    ("no headings", lambda t: t.update(headings={}), "the heading 'overview' is unknown. The headings are: none."),
]


@pytest.mark.parametrize(("how", "sentence"), [case[1:] for case in STEPS], ids=[case[0] for case in STEPS])
def test_steps_that_lack_something_are_refused(folder: Path, how: Break, sentence: str) -> None:
    said = change(folder, "steps.yaml", how)
    assert any(sentence in line for line in said), said


def file(tree: Tree, **values: Any) -> None:
    tree["files"]["vm2"].append({"path": "/etc/x", **values})


LAB: list[tuple[str, Break, str]] = [
    ("unknown template", lambda t: file(t, template="none.j2"), "lab.yaml: the template 'none.j2' is unknown."),
    ("neither template nor link", file, "expected exactly one of these keys: template, link."),
    ("unknown stage", lambda t: file(t, link="/etc/y", since="relais"), "lab.yaml: the stage 'relais' is unknown."),
    ("unknown end", lambda t: file(t, link="/etc/y", until="relais"), "lab.yaml: the stage 'relais' is unknown."),
    ("odd mode", lambda t: file(t, link="/etc/y", mode="rw"), "mode: 'rw' is not valid here."),
    ("files of an unknown machine", lambda t: t["files"].update(vm9=[]), "lab.yaml: the machine 'vm9' is unknown."),
    (
        "answer of an unknown machine",
        lambda t: t["answers"].append({"machine": "vm9", "command": "true"}),
        "machine 'vm9' is",
    ),
    (
        "two ways to answer",
        lambda t: t["answers"][1].update(tls=True),
        "answers number 2: expected exactly one of these keys: banner, dns, http, tls, command.",
    ),
    (
        "no way to answer",
        lambda t: t["answers"][1].pop("banner"),
        "answers number 2: expected exactly one of these keys:",
    ),
    (
        "a banner without a port",
        lambda t: t["answers"][1].pop("port"),
        "answers number 2: the key 'port' is missing, which 'banner' needs. The port",
    ),
    ("kits as text", lambda t: t.update(kits="mail"), "lab.yaml: kits: expected a list, found text."),
    (
        "another format",
        lambda t: t.update(format=2),
        "lab.yaml: format: '2' is unknown here. The format of a lab's files: 1.",
    ),
    ("port as text", lambda t: t["answers"][0].update(port="25"), "port: expected a whole number, found text."),
    ("stage twice", lambda t: t["stages"].append(t["stages"][0]), "lab.yaml: 2 stages are called 'lab4a'."),
    ("no topology", lambda t: t.pop("topology"), "lab.yaml: the key 'topology' is missing. A Compose file in"),
    ("unknown topology", lambda t: t.update(topology="none.yaml"), "lab.yaml: The topology"),
    ("steps left in lab.yaml", lambda t: t.update(steps=[]), "lab.yaml: the key 'steps' is unknown here."),
]


@pytest.mark.parametrize(("how", "sentence"), [case[1:] for case in LAB], ids=[case[0] for case in LAB])
def test_a_lab_that_does_not_hang_together_is_refused(folder: Path, how: Break, sentence: str) -> None:
    said = change(folder, "lab.yaml", how)
    assert any(sentence in line for line in said), said


@pytest.mark.parametrize("name", ["lab.yaml", "steps.yaml"])
def test_what_is_no_yaml_is_refused_with_the_place(folder: Path, name: str) -> None:
    (folder / name).write_text("a: [1,\nb: }")
    [found] = map(str, lint.lint(folder))
    assert found.startswith(f"{name}:2:4: this is not valid YAML: ")


@pytest.mark.parametrize("text", ["", "- 1\n", "steps:\n- 17\n- a: 1\nheadings: 3\n"])
def test_a_file_of_another_kind_is_refused(folder: Path, text: str) -> None:
    (folder / "steps.yaml").write_text(text)
    assert {finding.file for finding in lint.lint(folder)} == {"steps.yaml"}


def test_before_there_are_any_steps_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    folder = new.write("mylab", tmp_path / "mylab")
    (folder / "steps.yaml").write_text("headings: {}\nsteps: []\n")
    assert next(line.partition(" The ")[0] for line in said(folder) if "test_lab" in line) == (
        "checks/test_lab.py: test_answers is bound to step 1, which is unknown."
    )
    (folder / "checks/test_lab.py").unlink()
    (folder / "mutations.yaml").unlink()
    shutil.rmtree(folder / "drills")
    assert lint.lint(folder) == []


def test_a_lab_without_steps_is_refused(folder: Path) -> None:
    (folder / "steps.yaml").unlink()
    [found] = map(str, lint.lint(folder))
    assert "steps.yaml cannot be read: No such file" in found


def test_a_folder_that_is_no_lab_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no lab\.yaml, so it is not a lab\. The labs are: lab3, lab4a, lab4b"):
        lint.lint(tmp_path)


CHECKS = [
    ('@step("99", machine="vm3")\ndef test_x(): ...\n', "test_x is bound to step 99, which is unknown."),
    ('@step("17", machine=("vm2", "vm9"))\ndef test_x(): ...\n', "the machine 'vm9' is unknown."),
    ('WHERE = ("vm9",)\n@step("17", machine=WHERE)\ndef test_x(): ...\n', "the machine 'vm9' is unknown."),
    ("def test_x(:\n", "checks/test_more.py: is not valid Python: invalid syntax. Fix that place."),
    ("def test_x(): ...\n", 'test_x is bound to no step. Write above it: @step("ID", machine=…).'),
]


@pytest.mark.parametrize(("text", "sentence"), CHECKS)
def test_checks_bound_to_what_is_not_there_are_refused(folder: Path, text: str, sentence: str) -> None:
    (folder / "checks" / "test_more.py").write_text(text)
    found = said(folder)
    assert any(line.startswith("checks/test_more.py: ") and sentence in line for line in found), found


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("search {{ studnet.domain }}\n", 1, "'studnet' is undefined."),
        ("a\n{% if %}\n", 2, "Expected an expression, got 'end of statement block'."),
        ("a\n\n{% for i in range(10**9) %}{% endfor %}\n", 3, "OverflowError: Range too big."),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused_once(folder: Path, text: str, line: int, words: str) -> None:
    (folder / "templates" / "resolv.conf.j2").write_text(text)
    [found] = map(str, lint.lint(folder))
    place = f"templates/resolv.conf.j2:{line}:1: host at stage lab4a: this template cannot be rendered: "
    assert found.startswith(place + words)


PLACES: list[tuple[str, str, str, str, str]] = [
    ("steps.yaml", "    title: Lab 4a is complete on vm2 and vm3\n", "", "20:5", "the key 'title' is missing."),
    (
        "steps.yaml",
        "    machines: [vm2, vm3]\n",
        "    machines: [vm2, vm9]\n",
        "22:21",
        "the machine 'vm9' is unknown.",
    ),
    (
        "steps.yaml",
        "    stage: lab4a\n",
        "    stage: lab4a\n    nedes: []\n",
        "24:5",
        "the key 'nedes' is unknown here.",
    ),
    (
        "steps.yaml",
        "    stage: lab4a\n",
        "    stage: lab4a\n    stage: done\n",
        "24:5",
        "the key 'stage' is here a second time.",
    ),
    (
        "topology.yaml",
        "    image: mail\n",
        "    image: mail\n    image: base\n",
        "38:5",
        "the key 'image' is here a second time.",
    ),
    (
        "steps.yaml",
        "          ss -ltn\n",
        "          {{ x }}\n",
        "40:1",
        "its solution cannot be rendered: 'x' is undefined.",
    ),
    ("lab.yaml", "    - *hosts\n", "    - {path: /x, template: none.j2}\n", "", "the template 'none.j2' is unknown."),
]


@pytest.mark.parametrize(("file", "old", "new", "place", "sentence"), PLACES)
def test_a_problem_has_a_line_and_a_column(
    folder: Path, file: str, old: str, new: str, place: str, sentence: str
) -> None:
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    found = [str(finding) for finding in lint.lint(folder)]
    wanted = place or f"{text[: text.index(old)].count(chr(10)) + 1}:18"
    assert any(line.startswith(f"{file}:{wanted}: ") and sentence in line for line in found), found


def test_references_that_repeat_without_end_are_refused(folder: Path) -> None:
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    for text in ("\n".join(["a0: &a0 [1]", *levels]), "a: &a [*a]"):
        (folder / "steps.yaml").write_text(text)
        [found] = said(folder)
        assert found.startswith("steps.yaml: its references repeat so much that it has more than 200000 entries.")


def test_a_stage_without_a_step_is_refused(folder: Path) -> None:
    found = change(folder, "lab.yaml", lambda tree: tree["stages"].insert(2, {"id": "nowhere", "title": "Nowhere"}))
    assert found[0].startswith("lab.yaml: no step leads to the stage 'nowhere', so nobody can reach it.")


def test_unknown_images_and_kits_are_refused(folder: Path) -> None:
    found = change(folder, "lab.yaml", lambda t: (t["images"]["vm3"][0].update(image="none"), t.update(kits=["post"])))
    assert [line.partition(" The ")[0] for line in found] == [
        "lab.yaml: the image 'none' is unknown.",
        "lab.yaml: the kit 'post' is unknown.",
    ]


def test_a_lab_whose_name_another_has_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(labs.FOLDERS, str(folder))
    [found] = said(folder)
    assert found.startswith("lab.yaml: labenv's own lab 'lab4b' is used, not ")


def test_mutations_are_looked_at_where_there_are_some(folder: Path) -> None:
    said = change(folder, "mutations.yaml", lambda tree: tree["faults"][0].pop("trips"))
    assert said == [
        "mutations.yaml: faults number 1: the key 'trips' is missing. "
        "The checks that must fail, and no others: step/check, or step/check@machine."
    ]
    shutil.copy(resources.labs() / "lab4b" / "mutations.yaml", folder)
    said = change(
        folder, "mutations.yaml", lambda t: t["faults"][0].update(step="99", machines=["vm9"], id=t["faults"][1]["id"])
    )
    assert [line.partition(" The ")[0] for line in said] == [
        f"mutations.yaml: 2 mutations are called '{model.parsed(folder / 'mutations.yaml')['faults'][1]['id']}'. Give each its own name.",
        "mutations.yaml: the step '99' is unknown.",
        "mutations.yaml: the machine 'vm9' is unknown.",
    ]
    (folder / "mutations.yaml").unlink()
    assert lint.lint(folder) == []


def test_checks_and_templates_of_mutations_are_looked_at(folder: Path) -> None:
    path = folder / "mutations.yaml"
    text = path.read_text()
    path.write_text(
        """faults:
  - id: one
    title: One
    step: "17"
    machines: [vm2]
    do: |
      true
      echo {{ nonsense }}
    trips: [17/savd, 17/vm2_has_a_relay_host, "17"]
    says: ["{{ studnet }}", "{{ domain }}"]
variants: []
"""
    )
    assert [str(finding).partition(" It can ")[0] for finding in lint.lint(folder)] == [
        "mutations.yaml:8:1: this template cannot be rendered: 'nonsense' is undefined.",
        "mutations.yaml:10:12: this template cannot be rendered: 'studnet' is undefined.",
        "mutations.yaml:9:13: the check '17/savd' is unknown. The checks are: "
        + ", ".join(sorted(f"17/{name}" for name in marks.checks(folder)["17"]))
        + ".",
    ]
    path.write_text(text)
    assert lint.lint(folder) == []


def test_what_is_handed_in_is_looked_at_where_something_is(folder: Path) -> None:
    assert change(folder, "handin.yaml", lambda tree: tree["evidence"][0].pop("command")) == [
        "handin.yaml: evidence number 1: the key 'command' is missing. The command that root runs for it."
    ]
    shutil.copy(resources.labs() / "lab4b" / "handin.yaml", folder)
    ids = {"what": "ids", "logged": "no group", "quoted": "("}
    replay = {"files": {"vm8": ["/etc/hosts"]}}
    said = change(
        folder, "handin.yaml", lambda tree: tree.update(step="99", machines=["vm9"], ids=[ids], replay=replay)
    )
    assert sorted(line.partition(" The ")[0] for line in said) == [
        "handin.yaml: the machine 'vm8' is unknown.",
        "handin.yaml: the machine 'vm9' is unknown.",
        "handin.yaml: the step '99' is unknown.",
        "handin.yaml: this expression has 0 groups (…), and needs 1: (?:…) groups without counting.",
        "handin.yaml: this is no regular expression: missing ), unterminated subpattern at position 0. Fix it.",
    ]
    (folder / "handin.yaml").unlink()
    assert lint.lint(folder) == []


def test_templates_in_lab_yaml_itself_are_tried(folder: Path) -> None:
    said = change(folder, "lab.yaml", lambda tree: tree["answers"][0].update(dns="{{ studnt.domain }}"))
    assert said == [
        "lab.yaml: this template cannot be rendered: 'studnt' is undefined. It can use student and network."
    ]


@pytest.mark.parametrize("schema", lint.schemas().values(), ids=list(lint.schemas()))
def test_the_schemas_are_schemas(schema: Tree) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", labs.names())
def test_every_file_with_a_schema_tells_the_editor(name: str) -> None:
    for schema in lint.schemas():
        file, _, part = schema.partition(".")
        paths = [resources.labs() / name / f"{file}.yaml"]
        for path in translation.files(paths[0]).values() if part else paths:
            if file == "rubric" and not path.exists():  # nobody needs to write one
                continue
            assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema=../{schema}.schema.json"


def test_the_command_prints_findings_and_ends_with_2(folder: Path) -> None:
    change(folder, "steps.yaml", without("17", "hints"))
    done = CliRunner().invoke(app, ["lab", "lint", str(folder)])
    assert done.exit_code == 2
    assert re.match(r"mylab: steps\.yaml:\d+:\d+: step 17: the key 'hints' is missing\. ", done.stdout)
    document = json.loads(CliRunner().invoke(app, ["lab", "lint", str(folder), "--json"]).stdout)
    [entry] = document["labs"]
    assert (entry["lab"], entry["findings"][0]["file"], entry["findings"][0]["step"]) == ("mylab", "steps.yaml", "17")


def test_the_command_looks_at_all_labs_by_default() -> None:
    done = CliRunner().invoke(app, ["lab", "lint"])
    assert (done.exit_code, done.stdout) == (0, "".join(f"{name}: no errors\n" for name in labs.names()))


def test_the_command_prints_the_schemas() -> None:
    assert json.loads(CliRunner().invoke(app, ["lab", "schema"]).stdout) == lint.schemas()
    assert json.loads(CliRunner().invoke(app, ["lab", "schema", "steps"]).stdout) == lint.schemas()["steps"]
    assert isinstance(CliRunner().invoke(app, ["lab", "schema", "none"]).exception, UsageError)


def test_the_command_lists_the_labs() -> None:
    assert "lab4b: " in CliRunner().invoke(app, ["lab", "list"]).stdout
    [first, *_] = json.loads(CliRunner().invoke(app, ["lab", "list", "--json"]).stdout)["labs"]
    assert (first["id"], first["steps"], first["stages"][0]["id"]) == ("lab3", 37, "lab2b")


def test_a_step_on_a_machine_that_comes_later_is_found_and_so_is_a_stage_that_is_not_there(folder: Path) -> None:
    def vm3_since(stage: str) -> Break:
        return lambda tree: tree["services"]["vm3"].update({"x-labenv": {"since": stage}})

    found = change(folder, "topology.yaml", vm3_since("relay"))
    assert any(said.startswith("steps.yaml: step") and "vm3 exists only from stage relay on" in said for said in found)
    shutil.move(folder / "topology.yaml", folder / "another.yaml")
    change(folder, "lab.yaml", lambda tree: tree.update(topology="another.yaml"))
    [said] = change(folder, "another.yaml", vm3_since("mars"))
    assert "another.yaml: services.vm3.x-labenv.since: lab4b has no stage 'mars'" in said


@pytest.mark.parametrize("file", ["steps.yaml", "mutations.yaml", "handin.yaml"])
def test_what_is_no_file_is_not_waited_for(folder: Path, file: str) -> None:
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (folder / file).unlink()
        make(folder / file)
        assert "it is not a regular file" in "".join(said(folder))


@pytest.mark.parametrize("path", ["/etc/../../x", "/", "/etc//x", "/a\nb", "/..", "etc/x"])
def test_a_path_that_leads_out_of_the_machine(folder: Path, path: str) -> None:
    """`render` would write it outside its folder."""
    found = change(folder, "lab.yaml", lambda tree: tree["files"]["vm2"][0].update(path=path))
    assert any("Its absolute path, without '..'" in one for one in found), found


def test_a_path_that_leads_out_of_the_machine_once_it_is_rendered(folder: Path) -> None:
    found = change(folder, "lab.yaml", lambda tree: tree["files"]["vm2"][0].update(path="/{{ '../' * 9 }}x"))
    assert any("expected an absolute path without '..' for vm2" in one for one in found), found


def test_a_mutation_that_cannot_be_rendered(folder: Path) -> None:
    def endless(tree: Tree) -> None:
        tree["faults"][0]["do"] = "{% for i in range(10**9) %}{% endfor %}"

    [found] = change(folder, "mutations.yaml", endless)
    assert "cannot be rendered: OverflowError: Range too big" in found
