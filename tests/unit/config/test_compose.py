"""YAML to a tree: scalars by the core schema of YAML 1.2, places, aliases, bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failoverd.config.compose import DEPTH_MAX, compose
from failoverd.config.fault import Mark
from failoverd.config.tree import Map, locate, plain


def composed(text: str) -> Any:
    tree, faults = compose(text, "f")
    assert not faults
    assert tree is not None
    return plain(tree)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("7", 7),
        ("-7", -7),
        ("0755", "0755"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("2026-01-01", "2026-01-01"),
        ("10.0.0.1", "10.0.0.1"),
        ('"7"', "7"),
        ("'true'", "true"),
        ("!!str 7", "7"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    assert composed(f"key: {text}") == {"key": value}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert composed("{7: a, true: b, no: c, 0.5: d}") == {"7": "a", "true": "b", "no": "c", "0.5": "d"}


def test_merge_keys_give_way_to_what_is_written() -> None:
    text = "x-a: &a {one: 1, two: 2}\nx-b: &b {two: 3, three: 3}\nkey:\n  two: own\n  <<: [*a, *b]\n"
    assert composed(text)["key"] == {"two": "own", "one": 1, "three": 3}


def test_every_key_and_value_knows_its_place() -> None:
    tree, _ = compose("a:\n  b: [x,\n    y]\n", "f")
    assert tree is not None
    place = locate(tree, ("a", "b", 1))
    assert (place.mark, place.path, place.skipped) == (Mark("f", 3, 5), ("a", "b", 1), None)
    assert locate(tree, ("a", "b")).key == Mark("f", 2, 3)
    lost = locate(tree, ("a", "nothing", "b", 7))
    assert (lost.path, lost.skipped, lost.mark) == (("a", "b"), 1, Mark("f", 2, 6))


def test_columns_count_characters_not_bytes() -> None:
    tree, _ = compose("größe: [ä, b]\n", "f")
    assert tree is not None
    assert locate(tree, ("größe", 1)).mark == Mark("f", 1, 12)


def test_depth_is_bounded_through_aliases_too() -> None:
    """Each line is shallow, but written out they nest without end."""
    lines = ["x-0: &x0 [1]"] + [f"x-{n}: &x{n} [[[[[*x{n - 1}]]]]]" for n in range(1, 40)]
    tree, faults = compose("\n".join(lines), "f")
    assert tree is None
    assert [fault.message for fault in faults] == [f"nested too deeply: at most {DEPTH_MAX} levels"]


def test_deep_nesting_is_refused_before_it_hurts() -> None:
    tree, faults = compose("a: " + "[" * 200_000, "f")
    assert tree is None
    assert "nested too deeply" in faults[0].message


def test_countless_faults_end() -> None:
    _, faults = compose("".join("a: 1\n" for _ in range(5000)), "f")
    assert faults[-1].message == "too many faults: the rest is not shown"
    assert len(faults) < 200


@given(st.text(max_size=200))
def test_any_text_gives_a_tree_or_faults(text: str) -> None:
    tree, faults = compose(text, "f")
    assert tree is not None or faults


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**17), 10**17)
        | st.text(st.characters(codec="ascii", categories=("L", "N", "P"))),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=4),
        max_leaves=20,
    )
)
def test_what_is_written_as_json_is_read_as_it_is(value: Any) -> None:
    """JSON is YAML 1.2."""
    assert composed(json.dumps({"key": value})) == {"key": value}


def test_plain_of_an_empty_mapping() -> None:
    assert plain(Map(Mark("f"))) == {}
