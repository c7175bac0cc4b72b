"""Whatever is written in a valid configuration's place: a ``Config`` or faults, never an exception."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failoverd.agents.registry import agent_types
from failoverd.config.compose import compose
from failoverd.config.reader import check
from failoverd.config.tree import plain
from tests.unit.config.support import FakeMachine

REFERENCE = Path(__file__).resolve().parents[3] / "configs/reference.yaml"

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**15),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "a", "shop", "store", "3s", "0s", "no", "../..", "\0", "ü" * 300, "x" * 2000, "[::1", "5 per 1s"]
    ),
    st.text(max_size=20),
    st.lists(st.sampled_from(["a", "web", "store", "", 7, None, []]), max_size=3),
    st.dictionaries(
        st.sampled_from(["type", "command", "online", "a", "-"]), st.sampled_from(["exec", 7, None, {}]), max_size=3
    ),
)


def reference() -> Any:
    tree, _ = compose(REFERENCE.read_text(encoding="utf-8"), str(REFERENCE))
    assert tree is not None
    return plain(tree)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in entries:
        yield from places(inner, (*path, step))


VALID = reference()
PLACES = sorted(places(VALID), key=str)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("robust") / "failoverd.yaml"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), ODD, st.booleans()), min_size=1, max_size=3))
def test_any_value_in_any_place(file: Path, changes: list[tuple[tuple[str | int, ...], Any, bool]]) -> None:
    document = copy.deepcopy(VALID)
    for path, value, remove in changes:
        put(document, path, value, remove=remove)
    file.write_text(json.dumps(document), encoding="utf-8")
    report = check(file, agent_types(), machine=FakeMachine())
    assert (report.config is None) == bool(report.faults)
    assert all(fault.file == str(file) and fault.line == 1 and fault.column >= 1 for fault in report.faults)
    assert list(report.faults) == sorted(set(report.faults))


def put(document: Any, path: tuple[str | int, ...], value: Any, *, remove: bool) -> None:
    """Change what is there; where an earlier change has taken the place away, nothing."""
    *way, last = path
    for step in way:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(document, dict):
        document.pop(last, None) if remove else document.update({str(last): value})
    elif isinstance(document, list) and isinstance(last, int) and last < len(document):
        document[last] = value
