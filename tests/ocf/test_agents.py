"""Agents of the resource-agents package, each through its whole life: really started, monitored, broken, stopped."""

import os
import shutil
from typing import Any

import pytest

from failoverd.agents.ocf.family import OcfFamily
from tests.ocf.exercises import EXERCISES
from tests.ocf.stage import run

INSTALLED = set(OcfFamily().names())

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root"),
    pytest.mark.skipif(not INSTALLED, reason="needs the package resource-agents"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)"),
]


def possible(name: str) -> bool:
    return EXERCISES[name].agent in INSTALLED and not EXERCISES[name].missing


@pytest.fixture(scope="module")
def records() -> dict[str, list[dict[str, Any]]]:
    """All at once: they wait for processes most of the time."""
    return run(tuple(name for name in EXERCISES if possible(name)))


def answers(steps: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(step["what"], step["answer"]) for step in steps]


@pytest.mark.parametrize("name", [name for name in EXERCISES if name != "stateful-kept"])
def test_an_agent_through_its_life(name: str, records: dict[str, list[dict[str, Any]]]) -> None:
    if not possible(name):
        pytest.skip(f"{EXERCISES[name].agent} needs {', '.join(EXERCISES[name].missing) or 'its package'}")
    steps = records[name]
    assert answers(steps) == [
        ("validate", "good"),
        ("probe", "offline"),
        ("online", "done"),
        ("probe", "online"),
        ("probe", EXERCISES[name].fault),
        ("offline", "done"),
        ("probe", "offline"),
        ("offline", "done"),
    ], "\n".join(map(str, steps))
    assert all(not step["detail"] for step in steps if step["answer"] in ("done", "online")), "nothing to say"
    assert steps[4]["answer"] == "offline" or steps[4]["detail"].startswith("monitor: ")


def test_demoted_is_offline_where_the_configuration_says_so(records: dict[str, list[dict[str, Any]]]) -> None:
    assert answers(records["stateful-kept"]) == [
        ("probe", "offline"),
        ("prepare", "done"),
        ("probe", "offline"),
        ("online", "done"),
        ("probe", "online"),
        ("offline", "done"),
        ("probe", "offline"),
        ("online", "done"),
        ("probe", "online"),
        ("probe", "offline"),
        ("offline", "done"),
        ("probe", "offline"),
    ]


def test_a_dozen_agents_and_more_were_tried(records: dict[str, list[dict[str, Any]]]) -> None:
    missing = {name: EXERCISES[name].missing for name in EXERCISES if not possible(name)}
    if missing:
        pytest.skip(f"not all of their programs are installed: {missing}")
    assert len({EXERCISES[name].agent for name in records}) >= 12
