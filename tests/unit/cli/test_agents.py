"""``failoverd agents``: the types that there are, and what each of them takes."""

import json

import pytest
from typer.testing import CliRunner

from failoverd.agents.registry import agent_types
from failoverd.cli.app import app


def agents(*words: str) -> str:
    done = CliRunner().invoke(app, ["agents", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_listed_type_has_its_title() -> None:
    listed = {each["type"]: each["text"] for each in json.loads(agents("--json"))["types"]}
    own = set(agent_types(()))
    assert own <= set(listed)
    assert all(len(listed[name]) > 5 for name in own)
    assert "\n" not in "".join(listed.values())


@pytest.mark.parametrize("name", sorted(agent_types(())))
def test_a_type_says_what_it_takes(name: str) -> None:
    document = json.loads(agents(name, "--json"))
    model = agent_types(())[name].params
    assert [key["name"] for key in document["keys"]] == [
        field.alias or name for name, field in model.model_fields.items()
    ]
    assert {key["name"] for key in document["keys"] if key["required"]} == {
        field.alias or name for name, field in model.model_fields.items() if field.is_required()
    }
    assert not any("value" in key["type"].split() for key in document["keys"]), "each kind has a word"


def test_for_people() -> None:
    text = agents("process")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "process"
    assert "command list or string required The command; it must stay in the foreground." in lines
    assert any(line.startswith("settle duration default 50ms ") for line in lines)
    assert "monitor 10s, prepare 1m, online 1m, offline 1m, clean 30s" in lines


@pytest.mark.parametrize("name", ["proces", "ocf:nobody:nothing"])
def test_one_that_does_not_exist_is_a_usage_error(name: str) -> None:
    done = CliRunner().invoke(app, ["agents", name])
    assert done.exit_code == 2
    assert name.partition(":")[0] in done.stderr
