"""The table of types, and other people's packages in it."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import ValidationError

from failoverd.agents.exec import ExecType
from failoverd.agents.registry import ENTRY_POINTS, agent_types
from tests.unit.agents.support import FakeSpawner, host

GOOD = "tests.unit.agents.test_registry:Fancy"


class Fancy(ExecType):
    name = "fancy"


class Halfway:
    name = "halfway"


def fails() -> None:
    raise ValueError("no licence")


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, ENTRY_POINTS)


def test_own_types() -> None:
    assert set(agent_types(())) >= {"exec", "ip", "process"}
    assert all(name == kind.name for name, kind in agent_types().items())


def test_a_package_adds_a_type() -> None:
    assert isinstance(agent_types([point("fancy", GOOD)])["fancy"], Fancy)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            point("gone", "no_such_package_at_all:Agent"),
            "ModuleNotFoundError: No module named 'no_such_package_at_all'",
        ),
        (point("gone", "tests.unit.agents.test_registry:Missing"), "AttributeError"),
        (point("gone", "tests.unit.agents.test_registry:fails"), "ValueError: no licence"),
        (point("gone", "tests.unit.agents.test_registry:Halfway"), "it has no params, prepares, warnings, build"),
        (point("gone", GOOD), "calls itself 'fancy'"),
    ],
)
def test_a_broken_package_is_named_and_takes_nobody_down(tmp_path: Path, broken: EntryPoint, reason: str) -> None:
    types = agent_types([broken, point("fancy", GOOD)])
    assert set(types) - set(agent_types(())) == {"fancy", "gone"}
    kind = types["gone"]
    with pytest.raises(ValidationError) as caught:
        kind.params.model_validate({"any": "thing"})
    message = caught.value.errors()[0]["msg"]
    assert f"the type 'gone' of the package {broken.value} cannot be used: " in message
    assert reason in message
    with pytest.raises(TypeError):
        kind.build(Fancy.params.model_construct(), host(tmp_path, FakeSpawner()))


def test_nobody_takes_our_names_or_each_others() -> None:
    types = agent_types([point("exec", GOOD), point("fancy", GOOD), point("fancy", GOOD)])
    assert type(types["exec"]) is ExecType
    with pytest.raises(ValidationError, match="another package provides it too"):
        types["fancy"].params.model_validate({})
