"""One event as one readable line, for ``failoverd events`` and for the journal's MESSAGE (standard library only)."""

import json
from collections.abc import Mapping
from typing import Any

_HEAD = frozenset({"event", "ts", "level", "cluster", "node", "traceback", "output"})
_LEADING = ("group", "component", "peer")
_VALUE_MAX = 300


def readable(record: Mapping[str, Any]) -> str:
    """``handover.done group=shop source=a target=b makespan_s=1.62``: the event, then its fields."""
    leading = [key for key in _LEADING if key in record]
    rest = [key for key in record if key not in _HEAD and key not in _LEADING]
    pairs = [f"{key}={value_text(record[key])}" for key in (*leading, *rest) if record[key] is not None]
    return " ".join([str(record.get("event", "?")), *pairs])


def value_text(value: Any) -> str:
    """Short, on one line, quoted where it would not be one word otherwise."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if not isinstance(value, str):
        return _cut(json.dumps(value, ensure_ascii=False, default=str))
    plain = value.isprintable() and not any(letter in value for letter in ' "=')
    return _cut(value) if plain and value else _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE_MAX else text[:_VALUE_MAX] + "…"
