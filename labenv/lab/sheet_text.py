"""The sheet that a lab follows, as its authors published it (labs/<name>/sheet.yaml): a link, and its text if the licence allows that."""

import re
from dataclasses import dataclass
from pathlib import Path

from labenv.errors import UsageError
from labenv.lab.model import Lab, parsed

FILE = "sheet.yaml"
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # what a site's generator reads, before the text


@dataclass(frozen=True)
class Sheet:
    """Where a sheet is published, and, if labenv may show it, the file with its text, whose work that is, and under which licence."""

    link: str
    file: Path | None = None
    author: str = ""
    licence: str = ""
    licence_link: str = ""

    @property
    def text(self) -> str:
        """The text in Markdown; "" if labenv has none. Raises UsageError if the file cannot be read."""
        if self.file is None:
            return ""
        try:
            return _FRONT.sub("", self.file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.file} cannot be read: {error}. See what is wrong: labenv lab lint") from error


def of(lab: Lab) -> Sheet | None:
    """The sheet of a lab; None if its author says nothing of one. Raises UsageError for an invalid file."""
    path = lab.folder / FILE
    if not path.exists():
        return None
    tree = parsed(path)
    try:
        return Sheet(
            link=tree["link"],
            file=lab.folder / Path(tree["text"]).name if "text" in tree else None,
            author=tree.get("author", ""),
            licence=tree.get("licence", ""),
            licence_link=tree.get("licence-link", ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} is not a valid file of a lab ({error!r}). See what is wrong: labenv lab lint"
        ) from error
