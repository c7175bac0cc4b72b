"""Whatever is put into an event becomes JSON, bounded, and never an exception."""

import json
from dataclasses import dataclass
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.log.values import DEPTH_MAX, ITEMS_MAX, STRING_MAX, safe


class Colour(Enum):
    RED = 1


class Word(StrEnum):
    ONE = "one"


@dataclass
class Point:
    x: int
    where: Path


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


class HostileList(list[int]):
    def __iter__(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Word.ONE, "one"),
        (Colour.RED, 1),
        (Path("/a/b"), "/a/b"),
        (b"\xffab", "\\xffab"),
        (float("inf"), "inf"),
        (Point(1, Path("/x")), {"x": 1, "where": "/x"}),
        ({1: {2}}, {"1": [2]}),
        ((1, [2.5, None]), [1, [2.5, None]]),
        (ValueError("bad"), "ValueError: bad"),
        (KeyError(), "KeyError"),
        (Hostile(), "<Hostile, unprintable: RuntimeError>"),
        (HostileList(), "<HostileList, unprintable: RuntimeError>"),
        (2**70, hex(2**70)),
    ],
)
def test_known_kinds(value: Any, expected: Any) -> None:
    assert safe(value) == expected


def test_bounds() -> None:
    assert len(str(safe("x" * 1_000_000))) == STRING_MAX + 1
    assert len(list(safe(list(range(100_000))))) == ITEMS_MAX  # type: ignore[arg-type]  # a list it is
    loop: list[Any] = []
    loop.append(loop)
    assert json.dumps(safe(loop)).count("[") == DEPTH_MAX
    json.dumps(safe(10**10_000))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    )
)
def test_anything_becomes_strict_json(value: Any) -> None:
    json.dumps(safe(value), allow_nan=False)
