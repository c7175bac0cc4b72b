"""The example configurations are valid, and the reference leaves no key out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from failoverd.agents.registry import agent_types
from failoverd.config import document
from failoverd.config.peek import run_dir
from failoverd.config.reader import check
from failoverd.config.source import read
from failoverd.config.tree import Map, Seq, Tree
from tests.unit.config.support import FakeMachine

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
WHOLE = [
    "two-nodes/a.yaml",
    "two-nodes/b.yaml",
    "reference.yaml",
    "etcd.yaml",
    "managed-etcd.yaml",
    "postgresql/failoverd.yaml",
    "nginx/failoverd.yaml",
    "mariadb/failoverd.yaml",
    "redis/failoverd.yaml",
]
PARTS = ["two-nodes/cluster.yaml", "two-nodes/groups.d/shop.yaml"]


def test_every_example_is_tested() -> None:
    assert {str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml")} == {*WHOLE, *PARTS}


@pytest.mark.parametrize("name", WHOLE)
def test_example_is_valid(name: str) -> None:
    report = check(CONFIGS / name, agent_types(), machine=FakeMachine())
    assert report.faults == ()
    honest = (
        "does not exist: 'failoverd keygen",
        "/etc/failoverd/ipmi does not exist",
        "not yet acted on",
        "is not found in PATH",
        "user",
        "root",
        "the watchdog /dev/watchdog",
        "systemd does not run",
        "is no block device on this machine",
        "/etc/failoverd/redis/role.sh does not exist",
    )
    assert not [warning for warning in report.warnings if not any(part in warning.message for part in honest)]


def test_two_nodes_mean_the_same_groups() -> None:
    a, b = (check(CONFIGS / f"two-nodes/{node}.yaml", agent_types(), machine=FakeMachine()).config for node in "ab")
    assert a is not None
    assert b is not None
    assert a.groups == b.groups
    assert a.nodes == b.nodes
    assert (a.node, b.node) == ("a", "b")
    assert a.run_dir != b.run_dir
    assert a.coordinator == b.coordinator
    assert run_dir(CONFIGS / "two-nodes/b.yaml") == b.run_dir


def keys_of(tree: Tree) -> Iterator[str]:
    if isinstance(tree, Map):
        for key, entry in tree.entries.items():
            yield key
            yield from keys_of(entry.value)
    elif isinstance(tree, Seq):
        for item in tree.items:
            yield from keys_of(item)


def fields_of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in models_in(field.annotation):
            yield from fields_of(inner)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def test_the_reference_shows_every_key() -> None:
    shown = {
        key
        for name in ("reference.yaml", "etcd.yaml", "managed-etcd.yaml")
        for key in keys_of(read(CONFIGS / name).root)
    }
    shown.add("include")  # taken out when files are put together; see the next test
    models = [model for model in vars(document).values() if isinstance(model, type) and issubclass(model, BaseModel)]
    models += [agent.params for agent in agent_types().values()]
    wanted = {key for model in models for key in fields_of(model)}
    wanted |= {"nodes", "coordinator", "heartbeat", "lease", "fencing", "groups", "include", "components"}
    assert wanted - shown == set()


def test_the_reference_shows_include() -> None:
    assert "\ninclude: " in (CONFIGS / "reference.yaml").read_text(encoding="utf-8")
