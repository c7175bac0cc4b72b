"""When to look at each of many things at the same interval: spread evenly over it, whoever comes and goes."""

from collections.abc import Iterator
from itertools import count
from math import floor

_GOLDEN = 0.6180339887498949
"""Each multiple's fraction falls into the largest gap that those before it have left (Knuth, TAOCP 3, 6.4)."""


def phases() -> Iterator[float]:
    """One for each component of a node, 0 to 1: its place within the interval."""
    return (number * _GOLDEN % 1.0 for number in count(1))


def next_turn(now: float, interval_s: float, phase: float) -> float:
    """The first time after ``now`` (seconds of a monotonic clock) that is at this phase of the interval."""
    turns = floor(now / interval_s - phase) + 1
    at = (turns + phase) * interval_s
    return at if at > now else at + interval_s
