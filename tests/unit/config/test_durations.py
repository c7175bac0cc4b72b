"""Durations: written, read and written again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("3s", 3.0), ("10m", 600.0), ("1h", 3600.0), ("1.5s", 1.5), ("0s", 0.0), ("0.25ms", 0.00025)],
)
def test_parse(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "s", "ms", "3 s", "3sec", "1d", "-1s", "+1s", "1e3s", ".5s", "5.s", "1h30m", "٣s", "3s\n"]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="500ms, 3s, 10m, 1h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3", "1.5", "-2", "0"])
def test_bare_number_is_told_how_to_be_written(text: str) -> None:
    with pytest.raises(ValueError, match=f"write {text}s, or use ms, m or h"):
        parse_duration(text)


def test_absurdly_long_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 10 years"):
        parse_duration("999999999999999999999h")


@given(st.integers(min_value=0, max_value=10**11).map(lambda millis: millis / 1000))
def test_what_is_written_is_read_back(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"), [(3600.0, "1h"), (90.0, "90s"), (600.0, "10m"), (0.5, "500ms"), (1.5, "1.5s"), (0.0, "0s")]
)
def test_format_is_the_shortest_way(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
