"""What the files of Postfix and Dovecot set, read as text: for files that no program reads any more, such as those handed in."""

import re
from collections.abc import Iterable


def main_cf(text: str) -> dict[str, str]:
    """main.cf as Postfix reads it (postconf(5)): an indented line continues the one before, and the last value counts."""
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    logical = re.sub(r"\n\s+", " ", "\n".join(lines)).splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in logical)}


def expanded(value: str, **parameters: str) -> str:
    """A value in small letters, with these parameters expanded (`$name`, `${name}`, `$(name)`)."""
    for used, meant in parameters.items():
        value = re.sub(rf"\$(?:{used}\b|\{{{used}\}}|\({used}\))", meant.replace("\\", r"\\"), value)
    return value.casefold()


def is_elsewhere(value: str) -> bool:
    """Whether a value comes from a table, a file or another parameter, which is not read here."""
    return bool(re.search(r"[$:]|(^|[\s,])/", value))


def dovecot(texts: Iterable[str], name: str) -> set[str]:
    """The values that Dovecot's files set a parameter to."""
    pattern = re.compile(rf"^[^\S\n]*{name}[^\S\n]*=[^\S\n]*(.*)$", re.MULTILINE)
    return {value.partition("#")[0].strip() for text in texts for value in pattern.findall(text)}
