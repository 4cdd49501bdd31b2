"""Whether the content of a YAML file matches a JSON schema, and if not, why, in sentences."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_KINDS = {
    dict: "a mapping",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number with a decimal point",
    type(None): "nothing",
}
_WANTED = {
    "object": "a mapping",
    "array": "a list",
    "string": "text in quotes",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def faults(tree: Any, schema: Any) -> Iterator[tuple[list[str | int], str, list[str | int]]]:
    """Where the tree does not match the schema, as keys and indexes on the way down, what is wrong there, and the place of that.

    The sentence ends with the schema's description of the expected value: that is the way out.
    """
    from jsonschema import Draft202012Validator  # takes a tenth of a second, for which no other command should wait

    found = (inner for fault in Draft202012Validator(schema).iter_errors(tree) for inner in _inner(fault))
    for fault in sorted(found, key=lambda fault: list(fault.absolute_path)):
        place = list(fault.absolute_path)
        yield place, _sentence(fault, schema), [*place, *_unknown_keys(fault)[:1]]


def kind(value: Any) -> str:
    """What a value in a YAML file is, in words: "a mapping", "a list", "text"."""
    return next((words for type_, words in _KINDS.items() if isinstance(value, type_)), type(value).__name__)


def _inner(fault: "ValidationError") -> "list[ValidationError]":
    """What is wrong with a value that may be of several types, as the one that it is; otherwise the fault itself."""
    if not _is_between_types(fault):
        return [fault]
    return [inner for inner in fault.context if inner.validator != "type" or inner.relative_path] or [fault]


def _is_between_types(fault: "ValidationError") -> bool:
    parts: Any = fault.validator_value
    return fault.validator == "oneOf" and all("type" in part for part in parts)


def _unknown_keys(fault: "ValidationError") -> list[str]:
    """The keys of a mapping that its schema does not know, if that is what is wrong."""
    if fault.validator != "additionalProperties":
        return []
    value: Any = fault.instance
    schema: Any = fault.schema
    return [key for key in value if key not in schema["properties"]]


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
        case "dependentRequired":
            key, lacking = next(
                (k, one) for k, them in wanted.items() if k in value for one in them if one not in value
            )
            about = _about(_passed(schema, ["properties", lacking], passed[-1]))
            said = f"the key '{lacking}' is missing, which '{key}' needs."
        case "additionalProperties":
            known = sorted(passed[-1]["properties"])
            unknown = ", ".join(f"'{key}'" for key in _unknown_keys(fault))
            about = f"Remove it, or use one of: {', '.join(known)}."
            said = f"the key {unknown} is unknown here."
        case "type":
            said = f"expected {_WANTED[wanted]}, found {kind(value)}."
        case "minItems" | "maxItems":
            bound = "at least" if fault.validator == "minItems" else "at most"
            said = f"expected {bound} {wanted} {'entry' if wanted == 1 else 'entries'}, found {len(value)}."
        case "minProperties":
            said = "the mapping is empty."
        case "uniqueItems":
            said = "the same entry is there twice."
        case "enum":
            said = f"'{value}' is unknown here."
        case "oneOf" if _is_between_types(fault):
            said = f"expected {' or '.join(_WANTED[part['type']] for part in wanted)}, found {kind(value)}."
        case "oneOf":
            keys = ", ".join(key for part in wanted for key in part["required"])
            said = f"expected exactly one of these keys: {keys}."
        case "pattern" if not value.strip():
            said = "the text is empty."
        case _:
            said = f"'{value}' is not valid here."
    return f"{said} {about}".strip()


def _passed(schema: Any, path: list[Any], start: Any = None) -> list[Any]:
    """The parts of a schema along a path, with what they refer to."""
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
