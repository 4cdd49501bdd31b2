"""Taking lines out of a machine's logs: what programs of kits that choose their own lines have in common (lines.pl)."""

from pathlib import Path

_CUTS = Path(__file__).with_suffix(".pl").read_text(encoding="utf-8")


def program(chooses: Path) -> str:
    """A program for perl, of the file with its part that chooses lines."""
    return f"{_CUTS}\n{chooses.read_text(encoding='utf-8')}"
