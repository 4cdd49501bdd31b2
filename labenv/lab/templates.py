"""The texts of a lab as templates: one sandbox for all of them, so that they reach nothing but the values they get, and come to an end.

Loading jinja2 takes as long as a whole small command, so it is imported with the first text that needs it.
"""

import functools
import hashlib
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labenv import places
from labenv.errors import UsageError
from labenv.student import Student

if TYPE_CHECKING:
    import jinja2

    from labenv.lab.sandbox import Sandbox

_LARGEST_FILE = 1_000_000  # bytes; jinja2 takes many seconds over more
_SANDBOX = Path(__file__).with_name("sandbox.py")
_TEXT = "<template>"  # what jinja2 calls a template that is no file


class Unrenderable(UsageError):
    """A template that cannot be rendered: why, in `words`, and on which `line` of it, 0 if that is unknown."""

    def __init__(self, where: str, line: int, error: Exception) -> None:
        """`where` is the file, empty for a text."""
        self.words, self.line = f"{error}", line
        if not isinstance(error, _template_error()):
            self.words = f"{type(error).__name__}: {error}"
        self.words = self.words.rstrip(".")
        place = f"{where}:{line}: " if where and line else f"{where}: " if where else ""
        super().__init__(f"{place}this template cannot be rendered: {self.words}.")


def text(source: str, **context: Any) -> str:
    """A rendered text. Raises Unrenderable for an invalid template, a name that `context` does not have, or one that does not end."""
    sandbox = _sandbox()
    try:
        return sandbox.rendered(sandbox.from_string(source.removesuffix("\n")), context)
    except Exception as error:  # an operation in the text can raise anything
        raise Unrenderable("", _line(error, _TEXT), error) from error


def for_student(source: str, student: Student, **more: Any) -> str:
    """A text that uses the student, their domain and network, and what else is given, rendered. Raises Unrenderable as `text` does."""
    return text(source, student=student, domain=student.domain, network=student.prefix, **more)


def file(folder: Path, name: str, *others: Path, **context: Any) -> str:
    """The file `name` of a folder of templates, rendered; it may include those of `others`. Raises Unrenderable as `text` does."""
    sandbox = _sandbox(folder, *others)
    try:
        with suppress(OSError):  # jinja2 says what is wrong with one that is not there
            if (size := (folder / name).stat().st_size) > _LARGEST_FILE:
                raise ValueError(f"it has {size} bytes, and a template may have {_LARGEST_FILE}")
        return sandbox.rendered(sandbox.get_template(name), context)
    except Exception as error:  # as above
        raise Unrenderable(str(folder / name), _line(error, str(folder / name)), error) from error


def _template_error() -> type[Exception]:
    import jinja2  # as above

    return jinja2.TemplateError


def _line(error: Exception, file: str) -> int:
    """The line of a template where an error came up."""
    if isinstance(line := getattr(error, "lineno", None), int):
        return line
    return next(
        (frame.lineno or 0 for frame in reversed(traceback.extract_tb(error.__traceback__)) if frame.filename == file),
        0,
    )


@functools.cache
def _sandbox(*folders: Path) -> "Sandbox":
    import jinja2  # now, not before: see above

    from labenv.lab.sandbox import Sandbox  # as above

    return Sandbox(
        loader=jinja2.FileSystemLoader(folders) if folders else None, bytecode_cache=_compiled() if folders else None
    )


def kept_as(file: Path = _SANDBOX) -> str:
    """The name of the cache. What is compiled depends on the sandbox: of its filters, for one, whether they are given a context."""
    return f"templates-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def _compiled() -> "jinja2.BytecodeCache | None":
    """The cache of compiled templates: compiling takes twenty times as long as rendering."""
    import jinja2  # as above

    place = places.cache(kept_as())
    if not place:
        return None

    class Compiled(jinja2.FileSystemBytecodeCache):
        def load_bytecode(self, bucket: "jinja2.bccache.Bucket") -> None:
            try:
                super().load_bytecode(bucket)
            except Exception:  # unpickling a damaged file can raise anything: compile it again
                bucket.reset()

        def dump_bytecode(self, bucket: "jinja2.bccache.Bucket") -> None:
            with suppress(OSError):  # a full disk
                super().dump_bytecode(bucket)

    return Compiled(str(place))
