"""Marks at the commands in labenv's sentences that a student at the gate does not have.

The sentences of labenv and of its labs are written for those who have all of it. Here a star stands behind a command that is not in the
menu, and a note says once what the star means: that fits every sentence, in every language.
"""

import re

from labenv.gate.commands import COMMANDS, NOT_HERE, OWN, SAME, is_offered

STAR = "*"
NOTE = f"{STAR} This is not in your menu. Ask your teacher."

_NAMES = "|".join(sorted({*COMMANDS, *NOT_HERE, *OWN, *SAME} - {"?"}))
# Up to where the sentence goes on: each word may end in a sign of it.
_COMMAND = re.compile(rf"\blabenv ((?:{_NAMES})\b(?:[ ][^\s`'\",;:()]*[^\s`'\",;:().])*)['`\"]?")


def marked(text: str) -> str:
    """The text with a star behind each command that is not in the menu."""
    return _COMMAND.sub(lambda found: found[0] if is_offered(found[1].split()) else f"{found[0]}{STAR}", text)


def noted(text: str) -> str:
    """The same, with the note if there is a star."""
    made = marked(text)
    return made if made == text else f"{made}\n{NOTE}"
