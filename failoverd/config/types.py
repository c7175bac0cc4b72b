"""The annotated types of which the models of the file are made; agents' parameter models use them too.

Each dumps (``model_dump(mode="json")``) to what it can be read back from.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from failoverd.config.durations import PATTERN, format_duration, parse_duration


def _duration(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a duration: a number and ms, s, m or h (as in 500ms, 3s, 10m, 1h)")  # noqa: TRY004 (pydantic wants ValueError)
    return parse_duration(str(value))


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["500ms", "3s", "10m", "1h"]})
_DURATION_DUMP = PlainSerializer(format_duration, return_type=str, when_used="json")

Duration = Annotated[float, BeforeValidator(_duration), _DURATION_DUMP, _DURATION_SCHEMA]
"""Seconds; in the file ``500ms``, ``3s``, ``10m``, ``1h``. Zero is allowed (``0s``)."""

PositiveDuration = Annotated[float, Field(gt=0), BeforeValidator(_duration), _DURATION_DUMP, _DURATION_SCHEMA]


Count = Annotated[int, Field(ge=1, le=100_000)]


@dataclass(frozen=True, slots=True)
class Budget:
    """So many in so long."""

    count: int
    window_s: float


_BUDGET = re.compile(r"(?P<count>[0-9]{1,6}) +per +(?P<window>\S+)")


def _budget(value: Any) -> Budget:
    if isinstance(value, Budget):
        return value
    match = _BUDGET.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be a number 'per' a duration (as in 5 per 1h), not {str(value)[:40]!r}")
    window_s = parse_duration(match["window"])
    if window_s <= 0:
        raise ValueError(f"the duration must be above 0, not {match['window']}")
    return Budget(int(match["count"]), window_s)


PerDuration = Annotated[
    Budget,
    BeforeValidator(_budget),
    WithJsonSchema(
        {"type": "string", "pattern": r"^[0-9]+ +per +[0-9]+(\.[0-9]+)?(ms|s|m|h)$", "examples": ["5 per 1h"]}
    ),
]


def _command(value: Any) -> list[str] | str:
    words: list[str]
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("must not be empty: give a list (no shell) or a string (run by /bin/sh -c)")
        words = [value]
    elif isinstance(value, list) and value:
        words = value
    else:
        raise ValueError(
            "must be a command: a list such as [run-job, start] (no shell), or a string (run by /bin/sh -c)"
        )
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"every word of a command must be text: put {word!r} in quotes")  # noqa: TRY004 (pydantic)
        if "\0" in word:
            raise ValueError("a command must not contain a NUL character")
    if not words[0].strip():
        raise ValueError("the first word of a command, its program, must not be empty")
    return words if isinstance(value, list) else value


Command = Annotated[
    list[str] | str,
    BeforeValidator(_command),
    WithJsonSchema(
        {
            "description": "A list (no shell) or a string (run by /bin/sh -c)",
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {"type": "string", "minLength": 1},
            ],
        }
    ),
]


class Keys(BaseModel):
    """Base of every model of a mapping in the file: unknown keys are refused, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)
