"""Durations as people write them: ``500ms``, ``3s``, ``10m``, ``1h``. In the program they are seconds (float)."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PATTERN = r"^[0-9]+(\.[0-9]+)?(ms|s|m|h)$"
LONGEST_S = 10 * 365 * 24 * 3600.0
"""Longer ones are slips of the keyboard, and would lose precision in sums."""


def parse_duration(text: str) -> float:
    """Seconds. Raises ``ValueError`` with a message for the administrator."""
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"a duration needs a unit: write {text}s, or use ms, m or h (as in 500ms, 3s, 10m, 1h)")
    if not re.fullmatch(PATTERN, text):
        raise ValueError(
            f"{text[:40]!r} is not a duration: write a number and ms, s, m or h (as in 500ms, 3s, 10m, 1h)"
        )
    number = text.rstrip("hms")
    seconds = float(number) * _UNITS[text[len(number) :]]
    if seconds > LONGEST_S:
        raise ValueError(f"{text[:40]} is longer than 10 years")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest way to write it that ``parse_duration`` reads back."""
    for unit in ("h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    if 0 < seconds < 1:
        return f"{_decimal(seconds * 1000)}ms"
    return f"{_decimal(seconds)}s"


def _decimal(value: float) -> str:
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return text or "0"
