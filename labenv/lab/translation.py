"""A lab's texts in other languages: beside a file with texts, such as steps.yaml, lies steps.fr.yaml, with texts only.

Each entry of a translation names the original that it was made from by a digest (`of`). When the original has changed since, the
original is shown, as gettext does with what it calls fuzzy: a text in one's own language that is wrong helps nobody. The files are
not gettext's, because a translator of a lab needs the texts of a step together, and in the form in which its author wrote them.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

# The texts of a step and of a drill that can be translated.
STEP = ("title", "how", "hints", "note")
DRILL = ("title", "symptom", "hints", "explanation")

_UNTRANSLATED = ("C", "POSIX")
# Where a list of languages ends: the originals are in English, of whichever country.
_ENDS = ("en", *_UNTRANSLATED)
# A locale's name, as setlocale(3) describes it: language, territory, codeset, modifier.
_LOCALE = re.compile(r"([a-z]{2,3})(_[A-Z]{2})?(?:\.[\w-]+)?(@[a-z]+)?")


def wanted(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The languages that a user wants to read, best first, as far as they come before the original's.

    The rule is that of GNU gettext (its manual, "Locale Environment Variables" and "The LANGUAGE variable"): the locale is that
    of LC_ALL, LC_MESSAGES or LANG; the list in LANGUAGE takes precedence, except in the locale C; `fr_CA` includes `fr`. No such
    locale has to be installed, and LANGUAGE counts too where none of the others is set.
    """
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if locale in _UNTRANSLATED:
        return ()
    found: list[str] = []
    for name in (environ.get("LANGUAGE") or locale).split(":"):
        language, territory, modifier = match.groups("") if (match := _LOCALE.fullmatch(name)) else (name, "", "")
        if language in _ENDS:
            break
        if match:
            found += ["".join(parts) for parts in itertools.product([language], _less(territory), _less(modifier))]
    return tuple(dict.fromkeys(found))


def _less(part: str) -> list[str]:
    """A part of a locale's name, then nothing in its place."""
    return [part, ""] if part else [""]


def files(original: Path) -> dict[str, Path]:
    """The translations beside a file, by the part of their name that says the language."""
    found = original.parent.glob(f"{original.stem}.*.yaml")
    return {path.stem.removeprefix(f"{original.stem}."): path for path in sorted(found)}


def chosen(original: Path, languages: Sequence[str]) -> list[Path]:
    """The translations of a file into these languages that are there. The last one takes precedence: it is the best."""
    paths = (original.with_suffix(f".{language}.yaml") for language in reversed(languages))
    return [path for path in paths if path.is_file()]


def is_language(name: str) -> bool:
    """Whether a translation with this name in its file's name can be chosen."""
    match = _LOCALE.fullmatch(name)
    return bool(match and match[1] not in _ENDS) and "." not in name


def no_language(name: str, stem: str) -> str:
    """What is wrong with a name that is not of a language."""
    return f"'{name}' is not a language to translate into. Name it as in LANG: {stem}.fr.yaml or {stem}.fr_CA.yaml."


def digest(original: Mapping[str, Any], keys: Collection[str]) -> str:
    """What stands for the texts of an entry in its translation."""
    texts = json.dumps({key: original[key] for key in keys if key in original}, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(texts.encode()).hexdigest()[:8]


def translated(
    original: Mapping[str, Any], spoken: dict[str, Any], texts: Mapping[str, Any], keys: Collection[str]
) -> dict[str, Any]:
    """`spoken`, an entry, with the texts of a translation, unless the original has changed since; what is not translated stays."""
    if texts["of"] != digest(original, keys):
        return spoken
    return spoken | {key: texts[key] for key in keys if key in original and key in texts}


def steps(original: Mapping[str, Any], spoken: Mapping[str, Any], texts: Mapping[str, Any]) -> dict[str, Any]:
    """`spoken`, the tree of steps.yaml, with the texts of a translation. Raises KeyError and the like for an invalid one."""
    by_id = {entry["id"]: entry for entry in texts["steps"]}
    entries = [
        translated(source, entry, by_id[entry["id"]], STEP) if entry["id"] in by_id else entry
        for source, entry in zip(original["steps"], spoken["steps"], strict=True)
    ]
    return {"headings": spoken["headings"] | texts.get("headings", {}), "steps": entries}


def complete(found: Mapping[str, Path]) -> dict[str, Path]:
    """Those of the translations of a file that should have all texts: `fr_CA` need not, where `fr` has them."""
    return {name: path for name, path in found.items() if not set(wanted({"LANG": name})[1:]) & found.keys()}


def missing(original: Mapping[str, Any], texts: Mapping[str, Any] | None, keys: Collection[str]) -> list[str]:
    """Which texts of an entry its translation lacks, in sentences."""
    if texts is None:
        return [f'not translated yet. Its entry begins with of: "{digest(original, keys)}"']
    return [f"'{key}' is not translated yet." for key in keys if key in original and key not in texts]


def changed(original: Mapping[str, Any], texts: Mapping[str, Any] | None, keys: Collection[str]) -> list[str]:
    """Whether the translation of an entry is of older texts, as a sentence."""
    now = digest(original, keys)
    if texts is None or texts["of"] == now:
        return []
    return [f'the original has changed, and is shown. When the translation fits it again, write of: "{now}"']
