"""The JSON Schema says of examples what ``check`` says, as far as a schema can."""

import json
from pathlib import Path
from typing import Any

import pytest

from failoverd.agents.registry import agent_types
from failoverd.config.compose import compose
from failoverd.config.schema import schema
from failoverd.config.tree import plain
from tests.unit.config.json_schema import errors
from tests.unit.config.support import CONFIGS, TYPES

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "configs").rglob("*.yaml"))

SEEN_BY_SCHEMA = [
    "unknown-keys",
    "wrong-types",
    "durations",
    "choices",
    "agent-type",
    "coordinator-type",
    "empty-group",
]


def document(file: Path) -> Any:
    tree, _ = compose(file.read_text(encoding="utf-8"), str(file))
    assert tree is not None
    return plain(tree)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_follow_the_schema(file: Path) -> None:
    whole = schema(agent_types())
    assert list(errors(document(file), whole, whole)) == []


@pytest.mark.parametrize("name", SEEN_BY_SCHEMA)
def test_an_editor_sees_faults_too(name: str) -> None:
    whole = schema(TYPES)
    assert list(errors(document(CONFIGS / "bad" / f"{name}.yaml"), whole, whole))


@pytest.mark.parametrize(
    ("component", "place"),
    [
        ({"type": "lamp"}, "required"),
        ({"type": "lamp", "socket": 7}, "/socket"),
        ({"type": "lamp", "socket": "x", "online": "true"}, "/online: unknown"),
        ({"type": "lamp", "socket": "x", "monitor": "true"}, "/monitor"),
        ({"type": "lamp", "socket": "x", "monitor": {"command": "true"}}, "/monitor/command: unknown"),
        ({"type": "lamp", "socket": "x", "timeout": {"online": 60}}, "/timeout/online"),
        ({"socket": "x"}, "required"),
        ({"type": "exec", "online": "x", "offline": "x", "monitor": {"interval": "3s"}}, "/monitor: nothing of anyOf"),
    ],
)
def test_a_component_is_checked_by_its_type(component: dict[str, Any], place: str) -> None:
    whole = schema(TYPES)
    found = list(errors({"groups": {"shop": {"components": {"it": component}}}}, whole, whole))
    assert found
    assert any(place in error for error in found)


def test_it_is_json_and_says_what_keys_are_for() -> None:
    whole = schema(agent_types())
    assert json.loads(json.dumps(whole)) == whole
    assert whole["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert all("description" in key for key in whole["properties"].values())
    assert whole["$defs"]["component_process"]["properties"]["stop_timeout"]["description"]
    assert whole["$defs"]["HeartbeatKeys"]["properties"]["interval"]["default"] == "100ms"


def test_every_reference_leads_somewhere() -> None:
    whole = schema(agent_types())
    text = json.dumps(whole)
    names = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert names
    assert names <= set(whole["$defs"])
