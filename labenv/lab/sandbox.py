"""The sandbox in which the texts of labs are rendered: jinja2's, which reaches nothing but the values it gets, with bounds.

jinja2's own limits neither time nor memory. Here a text may run so many rounds of loops and so many calls, and make values and
a result of such a size; more is a mistake, which would otherwise keep a command busy for ever.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import jinja2
import jinja2.nodes
import jinja2.sandbox

_MOST = 200_000  # rounds of loops and calls in one text
_LARGEST = 2_000_000  # characters or entries of a value, and of the result
_BITS = 20_000  # of a number
_WIDTH = re.compile(r"\d{6,}|\*")  # of a field that `%` fills


class Sandbox(jinja2.sandbox.SandboxedEnvironment):
    """jinja2's sandbox with bounds. Raises jinja2.exceptions.SecurityError where a text exceeds one."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            **settings,
        )
        self._spent = threading.local()
        self.filters |= {
            name: self._narrow(self.filters[name]) for name in ("center", "indent", "batch", "slice", "wordwrap")
        }
        self.filters |= {"bounded_rounds": self._rounds, "bounded_value": _sized, "format": self._format}

    def rendered(self, template: jinja2.Template, context: dict[str, Any]) -> str:
        """The result of a template. Raises jinja2.TemplateError, and whatever an operation in the text raises."""
        self._spent.count = 0
        said, size = [], 0
        for part in template.generate(context):
            said.append(part)
            size += len(part)
            if size > _LARGEST:
                raise jinja2.exceptions.SecurityError(f"the result has more than {_LARGEST} characters")
        return "".join(said)

    def call(self, *args: Any, **named: Any) -> Any:
        """Count the call, and do it as jinja2's sandbox does: a macro can call itself."""
        self._count()
        return super().call(*args, **named)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Do what an operator does, unless the result would be too large."""
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if hasattr(many, "__len__") and isinstance(times, int) and len(many) * times > _LARGEST:
                    raise jinja2.exceptions.SecurityError(f"`*` makes more than {_LARGEST} characters or entries")
        if operator == "**" and isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _BITS:
            raise jinja2.exceptions.SecurityError("`**` makes a number that is too large")
        if operator == "%" and isinstance(left, str):
            _narrow(left)
        return _sized(super().call_binop(context, operator, left, right))

    def _parse(self, source: str, name: str | None, filename: str | None) -> jinja2.nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in [*tree.find_all(jinja2.nodes.For)]:
            loop.iter = _filtered(loop.iter, "bounded_rounds")
        for node in [*tree.find_all(jinja2.nodes.Assign)]:
            node.node = _filtered(node.node, "bounded_value")
        return tree

    def _count(self) -> None:
        self._spent.count = getattr(self._spent, "count", 0) + 1
        if self._spent.count > _MOST:
            raise jinja2.exceptions.SecurityError(f"it takes more than {_MOST} rounds of loops and calls")

    def _rounds(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self._count()
            yield value

    @staticmethod
    def _narrow(work: Any) -> Any:
        """A filter that takes no huge number."""

        def narrow(*args: Any, **named: Any) -> Any:
            for value in (*args, *named.values()):
                if isinstance(value, int) and value > _BITS:
                    raise jinja2.exceptions.SecurityError(f"{value} is too large here")
            return work(*args, **named)

        if hasattr(work, "jinja_pass_arg"):  # it takes the environment first
            narrow.jinja_pass_arg = work.jinja_pass_arg  # type: ignore[attr-defined]
        return narrow

    @staticmethod
    def _format(text: str, *args: Any, **named: Any) -> str:
        _narrow(text)
        return str(text) % (named or args)


def _filtered(node: Any, name: str) -> jinja2.nodes.Filter:
    return jinja2.nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _narrow(text: str) -> None:
    if _WIDTH.search(text):
        raise jinja2.exceptions.SecurityError("a field of this width is too large")


def _sized(value: Any) -> Any:
    """A value, unless it is too large."""
    if (isinstance(value, int) and value.bit_length() > _BITS) or (
        isinstance(value, (str, bytes, list, tuple)) and len(value) > _LARGEST
    ):
        raise jinja2.exceptions.SecurityError("a value is too large")
    return value
