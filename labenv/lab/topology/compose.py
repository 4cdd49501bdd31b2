"""Reading Compose files as far as labenv supports them: the files that one includes, variables, mappings with known keys."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labenv import resources
from labenv.errors import UsageError
from labenv.lab.schema import kind
from labenv.text import shown

_TOP = {"name", "include", "services", "networks", "x-labenv"}
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_DEEPEST = 8  # files that include one another


@dataclass(frozen=True)
class Entry:
    """A service or a network of a file as it is written there; `where` names file and key, for error messages."""

    file: Path
    where: str
    tree: Any


@dataclass(frozen=True)
class Tree:
    """The services and the networks of a topology by name: those of its file, and behind them those of the files it includes."""

    services: dict[str, Entry]
    networks: dict[str, Entry]


def read(path: Path) -> Tree:
    """A topology's file and those that it includes.

    Raises UsageError, which names file and key, for what cannot be read or is unknown, and for a name that two files define.
    """
    tree = Tree({}, {})
    for file, top in _files(path, ()):
        for key, into in (("services", tree.services), ("networks", tree.networks)):
            for name, entry in mapping(top.get(key), f"{file}: {key}").items():
                where = f"{file}: {key}.{name}"
                if name in into:
                    raise UsageError(f"{where}: {into[name].file} has that name too. Rename one of the two.")
                into[name] = Entry(file, where, entry)
    return tree


def _files(path: Path, above: tuple[Path, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A file and those that it includes, each with its content."""
    top = mapping(_parsed(path), f"{path}", _TOP)
    mapping(top.get("x-labenv", {}), f"{path}: x-labenv", {"lab"})  # for the reader: a lab names its topology
    yield path, top
    names = top.get("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{path}: include: expected a list of files, such as [outside.yaml].")
    for name in names:
        file = _included(path, name)
        if file in (path, *above) or len(above) == _DEEPEST:
            way = " → ".join(each.name for each in (*above, path, file))
            raise UsageError(f"{path}: include: {name} includes itself: {way}. Remove one of these.")
        yield from _files(file, (*above, path))


def _included(path: Path, name: str) -> Path:
    """The file that another one includes: beside it, or one of those that labs share."""
    if "/" not in name:
        for folder in (path.parent, resources.topologies()):
            if (folder / name).is_file():
                return folder / name
    shared = ", ".join(sorted(file.name for file in resources.topologies().glob("*.yaml")))
    raise UsageError(
        f"{path}: include: there is no file {shown(name)} beside this one, nor in labenv's compose/ ({shared}). "
        f"Write the name of a file in one of the two."
    )


def _parsed(path: Path) -> Any:
    try:
        return resources.read_yaml(path)
    except OSError as error:
        raise UsageError(f"The topology {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is not valid YAML: {' '.join(str(error).split())}. Fix that place and try again."
        ) from error


def mapping(value: Any, where: str, known: set[str] | None = None) -> dict[str, Any]:
    """The value if it is a mapping with text as keys, and none but these if they are given. Raises UsageError."""
    if not isinstance(value, dict):
        raise UsageError(f"{where}: expected a mapping, found {kind(value)}.")
    for key in value:
        if not isinstance(key, str):
            raise UsageError(f"{where}: the key '{key}' is {kind(key)}, not text. Put it in quotes.")
        if known is not None and key not in known:
            raise UsageError(
                f"{where}: labenv does not support the key '{shown(key)}' here. Remove it, or use one of: {', '.join(sorted(known))}."
            )
    return value


def listed(value: Any, where: str) -> list[Any]:
    """The value if it is a list. Raises UsageError."""
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list, found {kind(value)}.")
    return value


def filled(value: Any, values: dict[str, str], where: str) -> Any:
    """The tree with its variables replaced. Raises UsageError for one that `values` does not have."""
    if isinstance(value, dict):
        return {key: filled(inner, values, where) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, values, where) for inner in value]
    if isinstance(value, str) and "$" in value:
        for name in _VARIABLE.findall(value):
            if name not in values:
                raise UsageError(
                    f"{where}: the variable ${{{name}}} is unknown. The variables are: {', '.join(sorted(values))}."
                )
        return _VARIABLE.sub(lambda match: values[match[1]], value)
    return value
