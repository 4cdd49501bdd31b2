"""The mutation table covers the lab, and its judgement of results."""

import re

from labenv.lab import labs
from labenv.lab.mutations import faults, variants
from labenv.student import Student

LAB = labs.load("lab4b")
FAULTS, VARIANTS = faults(LAB), variants(LAB)


def checks() -> set[str]:
    """Every check of the lab's modules as step/check, read from their text: only a run of the checks knows their marker."""
    modules = (LAB.folder / "checks").glob("test_*.py")
    pattern = re.compile(r'^@step\("(\w+)".*\)\ndef test_(\w+)', re.MULTILINE)
    return {f"{step}/{name}" for module in modules for step, name in pattern.findall(module.read_text())}


def test_the_table_is_large_enough() -> None:
    assert len(FAULTS) >= 60
    assert len(VARIANTS) >= 30


def test_each_line_has_an_id_of_its_own_and_a_step_and_machines_of_the_lab() -> None:
    lines = [*FAULTS, *VARIANTS]
    assert len({line.id for line in lines}) == len(lines)
    assert {line.step for line in lines} <= set(LAB.steps)
    assert {name for line in lines for name in line.machines} <= {"host", "vm2", "vm3"}


def test_every_check_of_the_wire_is_tripped_by_a_fault() -> None:
    by_person = {step.id for step in LAB.steps.values() if step.is_for_a_person}
    wanted = {name for name in checks() if name.split("/")[0] not in by_person}
    tripped = {name.partition("@")[0] for fault in FAULTS for name in fault.trips if "/" in name}
    assert wanted == tripped


def test_every_step_of_the_wire_is_tripped_by_a_fault() -> None:
    steps = {step.id for step in LAB.steps.values() if not step.is_for_a_person}
    assert {name.split("/")[0] for fault in FAULTS for name in fault.trips} == steps


def test_each_fault_says_what_it_trips_and_each_variant_trips_nothing() -> None:
    assert all(fault.trips and not fault.warns for fault in FAULTS)
    assert not any(variant.trips for variant in VARIANTS)


def test_each_script_is_filled_in_for_a_student() -> None:
    ada = Student("ada7", 7, "ada", "secret")
    for line in (*FAULTS, *VARIANTS):
        assert "{{" not in line.script(ada)
    [placeholder] = [line for line in VARIANTS if line.id == "myorigin-literal"]
    assert "postconf -e 'myorigin = ada7.ops'" in placeholder.script(ada)
