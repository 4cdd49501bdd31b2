"""Text that stands where an answer belongs and says nothing: "asdf", "x x x", "TODO", lorem ipsum.

A false accusation is worse than filler that passes, so a text counts as filler only if all of it is: one real word is enough.
"""

import re
import unicodedata

# What people write where they have not written yet, in English and French.
_LATER = frozenset(
    re.findall(
        r"\S+",
        "todo tbd tba tbc fixme wip xxx blah bla foo bar baz foobar asd asdf asdfgh qwerty qwertz azerty placeholder",
    )
)
_PHRASES = re.compile(
    "to (do|come|be done)|coming soon|fill (me )?in|write here|(some|your) text( here)?|text here"
    "|a (faire|completer|remplir)|texte ici"
)
_LOREM = frozenset(
    re.findall(
        r"\S+",
        "lorem ipsum dolor sit amet consectetur consectetuer adipiscing adipisicing elit sed do eiusmod tempor incididunt "
        "ut labore et dolore magna aliqua enim ad minim veniam quis nostrud exercitation ullamco laboris nisi aliquip ex "
        "ea commodo consequat duis aute irure in reprehenderit voluptate velit esse cillum eu fugiat nulla pariatur "
        "excepteur sint occaecat cupidatat non proident sunt culpa qui officia deserunt mollit anim id est laborum",
    )
)
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop", "qsdfghjklm", "wxcvbn")


def is_filler(text: str) -> bool:
    """Whether a text, which may have several lines, says nothing at all. A text without a word is no filler, it is empty."""
    words: list[str] = re.findall(r"[^\W_]+", _unaccented(text.casefold()))
    if not words:
        return False
    if _PHRASES.fullmatch(" ".join(words)) or ("lorem" in words and "ipsum" in words and _LOREM.issuperset(words)):
        return True
    if len(words) > 1 and len(set(words)) == 1 and not words[0].isdigit():
        return True
    if len(set("".join(words))) == 1 and words[0].isalpha():  # "x", "x xx"
        return words[0].isascii()  # one Chinese character may be an answer
    return all(_says_nothing(word) for word in words)


def _unaccented(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def _says_nothing(word: str) -> bool:
    if word in _LATER:
        return True
    if len(word) > 2 and len(set(word)) == 1 and word.isalpha():
        return True
    unit = next(word[:size] for size in range(1, len(word) + 1) if word[:size] * (len(word) // size) == word)
    return len(unit) > 2 and any(unit in row for row in _ROWS)
