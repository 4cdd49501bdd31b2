"""The tools of the page: patches, the files of the desktop's page, what a command says."""

import asyncio
import sys

import pytest

from labenv.environments.history import patch
from labenv.errors import EngineError
from labenv.web import book, relay
from labenv.web.commands import printed

PATCH = """\
diff --git vm2/etc/a vm2/etc/a
index 1..2 100644
--- vm2/etc/a
+++ vm2/etc/a
@@ -1,3 +1,3 @@ place
 same
--- removed, though it looks like a head
+++ added, though it looks like a head
\\ No newline at end of file
diff --git vm2/etc/b vm2/etc/b
new file mode 100644
"""


def test_each_line_of_a_patch_has_its_kind_also_one_that_looks_like_a_head() -> None:
    kinds = [kind for kind, _ in patch.lines(PATCH)]
    assert kinds == [*["file"] * 4, "place", "same", "removed", "added", "same", "file", "file"]
    assert "\n".join(line for _, line in patch.lines(PATCH)) == PATCH.rstrip("\n")


@pytest.mark.parametrize("path", ["/", "/screen.js", "/core/rfb.js", "/vendor/pako/lib/zlib/inflate.js", "/screen.css"])
def test_the_files_of_the_desktops_page_are_passed_on(path: str) -> None:
    assert relay.FILE.fullmatch(path)


@pytest.mark.parametrize(
    "path",
    ["", "/core/", "//x.js", "/../x.js", "/a/../x.js", "/x.html", "/x.js/", "/x.js?y", "/x.js\n", "/é.js", "/.js/x"],
)
def test_nothing_else_is(path: str) -> None:
    assert not relay.FILE.fullmatch(path)


def test_a_command_tells_how_far_it_is_and_its_last_line_is_the_error() -> None:
    heard: list[str] = []
    script = "import sys; print('one', file=sys.stderr); print('\\x1b[2Jtwo', file=sys.stderr); print('{\"a\": 1}')"
    assert asyncio.run(printed([sys.executable, "-c", script], hear=heard.append)) == {"a": 1}
    assert heard == ["one", "\\x1b[2Jtwo"]
    failing = "import sys; print('x', file=sys.stderr); sys.exit('labenv: It is wrong.')"
    with pytest.raises(EngineError, match=r"^It is wrong\.$"):
        asyncio.run(printed([sys.executable, "-c", failing]))


def test_the_headings_of_a_log_book_are_those_outside_of_code() -> None:
    text = "# Log book\n\n## One\ntext\n```\n# no heading\n```\n### Two \n#no\n"
    assert list(book.headings(text)) == [(1, "Log book"), (3, "One"), (8, "Two")]
