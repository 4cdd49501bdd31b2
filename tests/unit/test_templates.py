"""Templates of a lab: they come to an end, whatever their author wrote, and say where they fail."""

import time
from pathlib import Path

import pytest

from labenv.lab import templates
from labenv.student import Student

WHO = Student("asmith15", 5, "anna", "abcd2345")

ENDLESS = {
    "a large range": "{% for i in range(10**9) %}{% endfor %}",
    "a loop in a loop": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "a recursive loop": "{% for i in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}",
    "a long text": "{{ 'x' * 10**10 }}",
    "a text that doubles": "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "a sum that doubles": "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "a large number": "{{ 9**(9**9) }}",
    "a number that squares": "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "a wide field": "{{ 'x'|center(10**9) }}",
    "a wide number": "{{ '%1000000000d'|format(1) }}{{ '%1000000000d' % 1 }}",
    "a text in a long list": "{{ (['x' * 1000000] * 1000)|join }}",
    "a long separator": "{{ (['x'] * 1000000)|join('x' * 1000000) }}",
    "a replaced text": "{{ ('x' * 1000000)|replace('x', 'y' * 1000) }}",
    "a replaced text, by its method": "{{ ('x' * 1000000).replace('x', 'y' * 1000) }}",
    "a wide text, by its method": "{{ 'x'.ljust(10**9) }}",
    "a wide number, by its method": "{{ '{:>1000000000}'.format(1) }}",
    "a list in a list": "{{ [[[1] * 999] * 999] * 999 }}",
    "many large texts": "{% for i in range(90000) %}{% set a = 'x' * 1900000 %}{% endfor %}",
    "many padded texts": "{{ range(100000)|map('string')|map('center', 20000)|join }}",
    "words without an end": "{{ lipsum(n=100000) }}",
    "a long result": "{% for i in range(90000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=list(ENDLESS))
def test_a_template_that_does_not_end_is_refused(source: str) -> None:
    start = time.monotonic()
    with pytest.raises(templates.Unrenderable):
        templates.text(source)
    assert time.monotonic() - start < 5


def test_a_template_has_room_for_what_labs_do() -> None:
    source = (
        "{% for n in range(3) %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% else %}none{% endfor %}"
    )
    assert templates.text(source) == "1/3,2/3,3/3"
    assert templates.text("{% for a, b in {'x': 1}.items() if b %}{{ a }}{% endfor %}") == "x"
    assert templates.text("{{ 'x'|indent(2, true) }}{{ '%-3s'|format('y') }}{{ 'z' * 2 }}{{ 2 + 3 }}") == "  xy  zz5"
    assert templates.text("{% set a = student.id ~ '!' %}{{ a }}", student=WHO) == "asmith15!"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("x" * 1_500_000)
    with pytest.raises(templates.Unrenderable, match="it has 1500000 bytes, and a template may have 1000000"):
        templates.file(tmp_path, "x.j2")


def test_a_failure_says_where(tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("a\n{{ nothing }}\n")
    (tmp_path / "y.j2").write_text("a\nb\n{% if %}\n")
    for name, line in (("x.j2", 2), ("y.j2", 3)):
        with pytest.raises(templates.Unrenderable) as caught:
            templates.file(tmp_path, name)
        assert caught.value.line == line
        assert str(caught.value).startswith(f"{tmp_path / name}:{line}: this template cannot be rendered: ")
    with pytest.raises(templates.Unrenderable) as caught:
        templates.text("a\n\n{{ 1 / 0 }}")
    assert (caught.value.line, caught.value.words) == (3, "ZeroDivisionError: division by zero")
