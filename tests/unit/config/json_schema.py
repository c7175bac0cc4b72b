"""A validator for the part of JSON Schema (draft 2020-12) that the editors' schema uses; anything else is an error."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

KINDS: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
}
IGNORED = frozenset({"$schema", "$defs", "title", "description", "default", "examples", "then"})


def errors(value: Any, schema: Schema, root: Schema, path: str = "") -> Iterator[str]:
    for keyword, wanted in schema.items():
        if keyword in CHECKS:
            if not CHECKS[keyword](value, wanted):
                yield f"{path or '/'}: {keyword} {wanted!r} does not hold for {value!r}"
        elif keyword == "anyOf":
            if all(any(errors(value, part, root)) for part in wanted):
                yield f"{path or '/'}: nothing of anyOf holds"
        elif keyword not in IGNORED:
            for inner, part, step in applied(keyword, value, schema, root):
                if part is False:
                    yield f"{path}/{step}: unknown"
                elif part is not True:
                    yield from errors(inner, part, root, f"{path}/{step}" if step else path)


def applied(keyword: str, value: Any, schema: Schema, root: Schema) -> list[tuple[Any, Any, str]]:
    """The schemas that a keyword applies, each with the value and the step that leads to it."""
    wanted = schema[keyword]
    known = schema.get("properties", {})
    entries = value.items() if isinstance(value, dict) else ()
    patterns = schema.get("patternProperties", {})
    match keyword:
        case "$ref":
            return [(value, root["$defs"][wanted.removeprefix("#/$defs/")], "")]
        case "allOf":
            return [(value, part, "") for part in wanted]
        case "if":
            return [] if any(errors(value, wanted, root)) else [(value, schema["then"], "")]
        case "items":
            return [(item, wanted, str(at)) for at, item in enumerate(value)] if isinstance(value, list) else []
        case "properties":
            return [(item, known[key], key) for key, item in entries if key in known]
        case "propertyNames":
            return [(key, wanted, key) for key, _ in entries]
        case "patternProperties":
            return [(item, part, key) for key, item in entries for like, part in wanted.items() if re.search(like, key)]
        case "additionalProperties":
            left = [(key, item) for key, item in entries if key not in known]
            return [(item, wanted, key) for key, item in left if not any(re.search(like, key) for like in patterns)]
    raise AssertionError(f"a keyword that this validator does not know: {keyword}")


def is_kind(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, KINDS[kind])


CHECKS: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": is_kind,
    "enum": lambda value, wanted: value in wanted,
    "const": lambda value, wanted: bool(value == wanted),
    "pattern": lambda value, wanted: not isinstance(value, str) or bool(re.search(wanted, value)),
    "minLength": lambda value, wanted: not isinstance(value, str) or len(value) >= wanted,
    "maxLength": lambda value, wanted: not isinstance(value, str) or len(value) <= wanted,
    "minItems": lambda value, wanted: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted: not isinstance(value, list) or len(value) <= wanted,
    "minProperties": lambda value, wanted: not isinstance(value, dict) or len(value) >= wanted,
    "exclusiveMinimum": lambda value, wanted: not isinstance(value, int | float) or value > wanted,
    "minimum": lambda value, wanted: not isinstance(value, int | float) or value >= wanted,
    "maximum": lambda value, wanted: not isinstance(value, int | float) or value <= wanted,
    "required": lambda value, wanted: not isinstance(value, dict) or set(wanted) <= set(value),
}
