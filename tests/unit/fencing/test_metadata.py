"""What fence agents say of themselves."""

import shutil
from pathlib import Path

import pytest

from failoverd.config.fencing import AgentFacts
from failoverd.fencing.metadata import facts_of, inspect
from tests.fence_agent import METADATA, install

ACTIONS = "<actions><action name='off'/></actions>"


def test_a_parameter_and_its_older_name_are_one() -> None:
    facts = facts_of(METADATA.encode())
    assert facts.required == (frozenset({"action"}), frozenset({"plug", "port"}), frozenset({"root"}))
    assert {"plug", "port", "password"} <= facts.parameters
    assert facts.actions == {"on", "off", "status", "monitor", "metadata"}
    assert not facts.storage_only


def test_an_agent_that_is_switched_on_again_by_the_node_itself_only_cuts_off_storage() -> None:
    text = "<resource-agent><actions><action name='on' automatic='1'/><action name='off'/></actions></resource-agent>"
    assert facts_of(text.encode()).storage_only


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not xml",
        "<other/>",
        "<resource-agent/>",
        f"<!DOCTYPE x [<!ENTITY e 'e'>]><resource-agent>{ACTIONS}</resource-agent>",
        f"<resource-agent>{' ' * (1 << 20)}{ACTIONS}</resource-agent>",
    ],
)
def test_what_is_no_metadata_is_refused(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        facts_of(text.encode())


def test_an_agent_that_is_not_here_is_told() -> None:
    assert inspect("fence_nowhere") == (
        "the fence agent fence_nowhere is not on this machine (Debian's package: fence-agents)"
    )


@pytest.mark.processes
def test_an_agent_is_asked_on_its_standard_input(tmp_path: Path) -> None:
    facts = inspect(str(install(tmp_path)))
    assert isinstance(facts, AgentFacts)
    assert "mood" in facts.parameters


@pytest.mark.processes
@pytest.mark.parametrize("script", ["echo nonsense", "exit 1", "head -c 3000000 /dev/zero"])
def test_an_agent_that_says_nothing_of_use_is_told(tmp_path: Path, script: str) -> None:
    agent = tmp_path / "fence_bad"
    agent.write_text(f"#!/bin/sh\n{script}\n")
    agent.chmod(0o700)
    found = inspect(str(agent))
    assert isinstance(found, str)
    assert found.startswith(f"{agent} does not say what parameters it has: ")


@pytest.mark.processes
@pytest.mark.parametrize("agent", ["fence_ipmilan", "fence_virsh", "fence_scsi", "fence_heuristics_ping"])
def test_the_agents_of_the_distribution_are_understood(agent: str) -> None:
    if shutil.which(agent, path="/usr/sbin:/usr/bin") is None:
        pytest.skip(f"{agent} is not installed (Debian's package: fence-agents)")
    facts = inspect(agent)
    assert isinstance(facts, AgentFacts), facts
    assert "off" in facts.actions
    assert facts.storage_only == (agent == "fence_scsi")
    assert ("status" in facts.actions) == (agent != "fence_heuristics_ping")
    if agent == "fence_virsh":
        assert frozenset({"ip", "ipaddr"}) in facts.required
        assert frozenset({"username", "login"}) in facts.required
