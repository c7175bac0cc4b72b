"""Makes any value fit for a JSON line, bounded in size and depth, whatever it is."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

STRING_MAX = 8_192
"""Characters of one string; an agent's output is bounded before it gets here, a traceback may not be."""
ITEMS_MAX = 1_000
DEPTH_MAX = 6
INTEGER_MAX = 2**63
"""What readers of JSON take for granted; Python itself refuses to print integers of thousands of digits."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def safe(value: Any) -> Json:
    """``value`` as JSON's types. Never raises."""
    try:
        return _convert(value, 0)
    except Exception as error:  # noqa: BLE001 (foreign __str__, __iter__, properties may raise anything)
        return f"<{type(value).__name__}, unprintable: {type(error).__name__}>"


def _convert(value: Any, depth: int) -> Json:
    kind = type(value)
    if kind is str:
        return _cut(value)
    if value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    if kind is int:
        return value if abs(value) < INTEGER_MAX else _cut(hex(value))
    if kind is float:
        return value if math.isfinite(value) else str(value)
    return _convert_other(value, depth)


def _convert_other(value: Any, depth: int) -> Json:
    if isinstance(value, Enum):
        return _convert(value.value, depth + 1) if depth < DEPTH_MAX else "…"
    if isinstance(value, str):
        return _cut(str.__str__(value))
    if isinstance(value, (bytes, bytearray)):
        return _cut(bytes(value[:STRING_MAX]).decode("utf-8", "backslashreplace"))
    if depth >= DEPTH_MAX:
        return "…"
    if isinstance(value, Mapping):
        return _pairs(((_text(key), item) for key, item in value.items()), depth)
    if is_dataclass(value) and not isinstance(value, type):
        return _pairs(((each.name, getattr(value, each.name, None)) for each in fields(value)), depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_convert(item, depth + 1) for item, _ in zip(value, range(ITEMS_MAX), strict=False)]
    return _text(value)


def _pairs(pairs: Iterable[tuple[str, Any]], depth: int) -> dict[str, Json]:
    return {key: _convert(item, depth + 1) for (key, item), _ in zip(pairs, range(ITEMS_MAX), strict=False)}


def _text(value: Any) -> str:
    text = str(value)
    if isinstance(value, BaseException):
        text = f"{type(value).__name__}: {text}" if text else type(value).__name__
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= STRING_MAX else text[:STRING_MAX] + "…"
