"""What a fence agent says of itself: ``action=metadata`` on its standard input gives XML (FenceAgentAPI)."""

import subprocess
from xml.etree import ElementTree as ET

from failoverd.config.fencing import AgentFacts
from failoverd.fencing.asking import ask_agent
from failoverd.fencing.device import program_of

TIMEOUT_S = 10.0
OUTPUT_BYTES_MAX = 1 << 20


def inspect(agent: str) -> AgentFacts | str:
    """The facts, or why there are none. Starts the agent and waits for it: not for an event loop."""
    program = program_of(agent)
    if program is None:
        return f"the fence agent {agent} is not on this machine (Debian's package: fence-agents)"
    try:
        _, text = ask_agent(program, "action=metadata\n", TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{agent} does not say what parameters it has: {error}"
    try:
        return facts_of(text)
    except (ET.ParseError, ValueError) as error:
        return f"{agent} does not say what parameters it has: {error}"


def facts_of(text: bytes) -> AgentFacts:
    """Raises ``ParseError`` or ``ValueError`` for what is no metadata of a fence agent."""
    if not text.strip() or len(text) > OUTPUT_BYTES_MAX:
        raise ValueError(f"its metadata has {len(text)} bytes")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ValueError("its metadata defines entities")  # which could be made to expand without end
    root = ET.fromstring(text)  # noqa: S314 (a program that runs as root anyway; what could expand was refused)
    parameters = [each for each in root.iterfind("./parameters/parameter") if each.get("name")]
    actions = list(root.iterfind("./actions/action"))
    if root.tag != "resource-agent" or not actions:
        raise ValueError("this is not the metadata of a fence agent")
    newer = {str(each.get("obsoletes")): str(each.get("name")) for each in parameters if each.get("obsoletes")}
    required: dict[str, set[str]] = {}
    for each in parameters:
        name = str(each.get("name"))
        if each.get("required") == "1":
            required.setdefault(newer.get(name, name), set()).add(name)
    return AgentFacts(
        parameters=frozenset(str(each.get("name")) for each in parameters),
        required=tuple(frozenset({name, *names}) for name, names in sorted(required.items())),
        actions=frozenset(str(each.get("name")) for each in actions),
        storage_only=any(each.get("name") == "on" and each.get("automatic") == "1" for each in actions),
    )
