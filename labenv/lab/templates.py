"""The texts of a lab as templates: one sandbox for all of them, so that they reach nothing but the values they get.

A sandbox limits neither time nor memory: whoever wrote a lab or a drill has commands run in machines anyway.

Loading jinja2 takes as long as a whole small command, so it is imported with the first text that needs it.
"""

import functools
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labenv import places

if TYPE_CHECKING:
    import jinja2


def text(source: str, **context: Any) -> str:
    """A rendered text. Raises jinja2.TemplateError for an invalid template, or a name that `context` does not have."""
    return _sandbox(None).from_string(source.removesuffix("\n")).render(context)


def file(folder: Path, name: str, **context: Any) -> str:
    """The file `name` of a folder of templates, rendered. Raises jinja2.TemplateError."""
    return _sandbox(folder).get_template(name).render(context)


@functools.cache
def _sandbox(folder: Path | None) -> "jinja2.Environment":
    import jinja2.sandbox  # now, not before: see above

    return jinja2.sandbox.SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folder) if folder else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=_compiled() if folder else None,
    )


def _compiled() -> "jinja2.BytecodeCache | None":
    """The cache of compiled templates: compiling takes twenty times as long as rendering."""
    import jinja2  # as above

    place = places.cache("templates")
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
