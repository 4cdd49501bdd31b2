"""Whether what stands in a YAML file has the form that a JSON schema describes, and if not, why, in sentences."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_KINDS = {
    dict: "keys with values",
    list: "a list",
    str: "text",
    bool: "yes or no",
    int: "a number",
    type(None): "nothing",
}
_WANTED = {
    "object": "keys with values",
    "array": "a list",
    "string": "text (in quotes)",
    "integer": "a number",
    "boolean": "true or false",
}


def faults(tree: Any, schema: Any) -> Iterator[tuple[list[str | int], str]]:
    """Where the tree departs from the schema, as keys and places on the way down, and what is wrong there.

    The description that the schema gives of what belongs there ends the sentence: it is the way out.
    """
    from jsonschema import Draft202012Validator  # takes a tenth of a second, which no other command has to wait for

    for fault in sorted(Draft202012Validator(schema).iter_errors(tree), key=lambda fault: list(fault.absolute_path)):
        yield list(fault.absolute_path), _sentence(fault, schema)


def _sentence(fault: "ValidationError", schema: Any) -> str:  # a table of what a schema can say
    value: Any = fault.instance
    wanted: Any = fault.validator_value
    passed = _passed(schema, list(fault.absolute_schema_path)[:-1])
    about = _about(passed)
    match fault.validator:
        case "required":
            lacking = next(key for key in wanted if f"'{key}' is" in fault.message)
            around = next(node for node in reversed(passed) if lacking in node.get("properties", {}))
            about = _about(_passed(schema, ["properties", lacking], around))
            said = f"the key '{lacking}' is missing."
        case "additionalProperties":
            known = sorted(passed[-1]["properties"])
            unknown = ", ".join(f"'{key}'" for key in value if key not in known)
            about = f"Remove it, or write one of: {', '.join(known)}."
            said = f"the key {unknown} is unknown here."
        case "type":
            found = next((words for kind, words in _KINDS.items() if isinstance(value, kind)), "a number with a point")
            said = f"here is {found}, where {_WANTED[wanted]} belongs."
        case "minItems" | "maxItems":
            said = f"here are {len(value)}, where {wanted} belong{'s' if wanted == 1 else ''}."
        case "minProperties":
            said = "nothing stands here."
        case "uniqueItems":
            said = "something stands here twice."
        case "enum":
            said = f"'{value}' is not known here."
        case "oneOf":
            said = f"one of these belongs here, and one only: {', '.join(key for part in wanted for key in part['required'])}."
        case "pattern" if not value.strip():
            said = "the text is empty."
        case _:
            said = f"'{value}' does not have the form that belongs here."
    return f"{said} {about}".strip()


def _passed(schema: Any, path: list[Any], start: Any = None) -> list[Any]:
    """The parts of a schema on the way down a path, with what they refer to."""
    nodes = [start or schema]
    for part in [*path, None]:
        while "$ref" in nodes[-1] and part not in nodes[-1]:
            nodes.append(schema["$defs"][nodes[-1]["$ref"].rpartition("/")[2]])
        if part is not None:
            nodes.append(nodes[-1][part])
    return nodes


def _about(nodes: list[Any]) -> str:
    texts = (node["description"] for node in reversed(nodes) if isinstance(node, dict) and "description" in node)
    return next((text for text in texts if isinstance(text, str)), "")
