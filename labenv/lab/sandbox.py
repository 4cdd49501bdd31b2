"""The sandbox in which the texts of labs are rendered: jinja2's, which reaches nothing but the values it gets, with bounds.

jinja2's own limits neither time nor memory. Here a text may run so many rounds of loops and so many calls, and make values and
a result of such a size; more is a mistake, which would otherwise keep a command busy for ever.
"""

import functools
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
_WORK = 50_000_000  # characters and entries of all values that one text makes
_GROWING = {
    "replace",
    "join",
    "expandtabs",
    "translate",
}  # methods of a text whose result can be far longer than what they get
_USELESS = {
    "pprint",
    "urlize",
    "xmlattr",
    "sum",
    "wordwrap",
}  # filters of no use here that take very long over a large value
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
        self.filters |= {"bounded_rounds": self._rounds, "bounded_value": self._sized, "format": self._format}
        self.filters = {name: self._weighed(work) for name, work in self.filters.items() if name not in _USELESS}
        self.filters |= {"join": self._weighed(self._join), "replace": self._weighed(self._replace)}
        del self.globals["lipsum"]

    def rendered(self, template: jinja2.Template, context: dict[str, Any]) -> str:
        """The result of a template. Raises jinja2.TemplateError, and whatever an operation in the text raises."""
        self._spent.count = self._spent.work = 0
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
        called, given = args[1], [*args[2:], *named.values()]
        for value in given:
            if (
                isinstance(value, int)
                and value > _BITS
                and called is not range
                and getattr(called, "__name__", "") != "safe_range"
            ):
                raise jinja2.exceptions.SecurityError(f"{value} is too large here")
        called = getattr(called, "__wrapped__", called)  # jinja2 wraps `format`
        whose = getattr(called, "__self__", None)
        if isinstance(whose, str) and called.__name__ in _GROWING:
            self._grown(len(whose), *given)
        if isinstance(whose, str) and called.__name__ in ("format", "format_map"):
            _narrow(whose)
        self._sized(given)
        return self._sized(super().call(*args, **named))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Do what an operator does, unless the result would be too large."""
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(times, int) and hasattr(many, "__len__") and self._size(many) * times > _LARGEST:
                    raise jinja2.exceptions.SecurityError(f"`*` makes more than {_LARGEST} characters or entries")
        if operator == "**" and isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _BITS:
            raise jinja2.exceptions.SecurityError("`**` makes a number that is too large")
        if operator == "%" and isinstance(left, str):
            _narrow(left)
        return self._sized(super().call_binop(context, operator, left, right))

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

    def _weighed(self, work: Any) -> Any:
        """A filter whose results count."""

        @functools.wraps(work)  # with the marks that say what jinja2 gives it
        def weighed(*args: Any, **named: Any) -> Any:
            self._sized([value for value in args if isinstance(value, (str, list, tuple, dict))])
            return self._sized(work(*args, **named))

        return weighed

    def _join(self, values: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
        if attribute is not None:
            values = (self.getitem(value, attribute) for value in values)
        said: list[str] = []
        for value in self._rounds(values):
            said.append(str(self._sized(value)))
            self._grown(1, d, said[-1])
        self._sized(said)
        return d.join(said)

    def _replace(self, text: str, old: str, new: str, count: int = -1) -> str:
        self._grown(len(str(text)) if old == "" else str(text).count(old), new)
        return str(text).replace(old, new, count)

    def _grown(self, times: int, *values: Any) -> None:
        """Refuse what would be as long as the largest value so many times."""
        if max(times, 1) * max([self._size(value) for value in values], default=0) > _LARGEST:
            raise jinja2.exceptions.SecurityError(f"a text becomes longer than {_LARGEST} characters")

    def _sized(self, value: Any) -> Any:
        """A value, unless it is too large, or so much work has been done already."""
        if isinstance(value, int) and value.bit_length() > _BITS:
            raise jinja2.exceptions.SecurityError("a value is too large")
        if (size := self._size(value)) > _LARGEST:
            raise jinja2.exceptions.SecurityError("a value is too large")
        self._spent.work = getattr(self._spent, "work", 0) + size
        if self._spent.work > _WORK:
            raise jinja2.exceptions.SecurityError(f"its values have more than {_WORK} characters together")
        return value

    def _size(self, value: Any) -> int:
        """The characters and entries of a value and of all that is in it: a list of one list many times is as long as it is written."""
        known: dict[int, int] = {}

        def size(value: Any, depth: int) -> int:
            if isinstance(value, (str, bytes)):
                return len(value)
            if not isinstance(value, (list, tuple, dict)):
                return 1
            if depth > 50:
                raise jinja2.exceptions.SecurityError("lists are too deep")
            if id(value) not in known:
                inner = [*value, *value.values()] if isinstance(value, dict) else value
                known[id(value)] = len(value) + sum(size(one, depth + 1) for one in inner)
            return known[id(value)]

        return size(value, 0)

    @staticmethod
    def _format(text: str, *args: Any, **named: Any) -> str:
        _narrow(text)
        return str(text) % (named or args)


def _filtered(node: Any, name: str) -> jinja2.nodes.Filter:
    return jinja2.nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _narrow(text: str) -> None:
    if _WIDTH.search(text):
        raise jinja2.exceptions.SecurityError("a field of this width is too large")
