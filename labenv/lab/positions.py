"""Where the keys and values of a YAML file stand in it: lines and columns, which count from 1."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labenv import resources

Place = Sequence[str | int]  # keys and indexes on the way down


class Positions:
    """The positions in a YAML file, which must be one. A key may have an old name: `renamed` has the new one of each."""

    def __init__(self, path: Path, renamed: Mapping[str, str] | None = None) -> None:
        import yaml  # only who says a position needs it

        self._root: Any = yaml.compose(resources.content(path).decode(), yaml.CSafeLoader)
        self._renamed = renamed or {}

    def of(self, place: Place, text_line: int = 0) -> tuple[int, int]:
        """The line and the column of the value at that place, or of the nearest around it; for a key, those of the key.

        With `text_line`, those of that line in the text that is there.
        """
        import yaml  # as above

        node, mark = self._root, self._root and self._root.start_mark
        for part in place:
            if isinstance(node, yaml.MappingNode):
                names = {part, *(old for old, new in self._renamed.items() if new == part)}
                pair = next(((key, value) for key, value in node.value if key.value in names), None)
                if pair is None:
                    break
                mark, node = pair[0].start_mark, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
            else:
                break
        if not mark:
            return 1, 1
        if text_line and isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            return node.start_mark.line + 1 + text_line, 1
        return mark.line + 1, mark.column + 1

    def twice(self) -> Iterator[tuple[str, int, int]]:
        """Each key that stands in its mapping a second time, and its line and column: YAML takes the last one, and says nothing."""
        import yaml  # as above

        seen: set[int] = set()
        nodes = [self._root]
        while nodes:
            node = nodes.pop()
            if not isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) or id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                nodes += node.value
                continue
            keys: set[str] = set()
            for key, value in node.value:
                nodes.append(value)
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys and key.value != "<<":
                        yield key.value, key.start_mark.line + 1, key.start_mark.column + 1
                    keys.add(key.value)


def fault(path: Path) -> tuple[int, int, str] | None:
    """The line, the column and the reason why a file is not YAML; None if it is, or cannot be read."""
    import yaml  # as above

    try:
        yaml.compose(resources.content(path).decode(), yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        said = ", ".join(filter(None, (error.context, error.problem)))
        return (mark.line + 1, mark.column + 1, said) if mark else (1, 1, said)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return None
