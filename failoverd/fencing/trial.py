"""Whether the configured fence devices can be asked from this machine: each agent's ``metadata`` and ``status``, which
change nothing (FenceAgentAPI). ``off`` is never sent. Starts processes and waits for them: not for an event loop."""

import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from failoverd.config.settings import FenceDevice, FenceLevels
from failoverd.fencing.asking import ask_agent
from failoverd.fencing.device import HIDDEN, STATUS_OFF, SecretUnusable, given, program_of, read_secret
from failoverd.fencing.metadata import inspect

AT_ONCE = 8
"""Devices that are asked at the same time."""
OUTPUT_CHARS_MAX = 200
HARMLESS = ("status", "monitor")
"""What is asked, the first that an agent has. ``status`` also tells that the machine is one the device knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One device of one level."""

    node: str
    level: int
    """From 1."""
    agent: str
    works: bool
    action: str
    """What it was asked in the end: ``metadata, status`` or ``monitor``."""
    answer: str
    """Or why there was none."""
    duration_s: float


def try_all(levels: Mapping[str, FenceLevels]) -> list[Tried]:
    """Each device once, several at a time, each within its own ``timeout``; in the order of the configuration."""
    todo = [
        (node, number, device)
        for node, each in levels.items()
        for number, level in enumerate(each, 1)
        for device in level
    ]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(lambda one: _tried(*one), todo))


def _tried(node: str, level: int, device: FenceDevice) -> Tried:
    began = time.monotonic()
    works, action, answer = _ask(node, device)
    took = round(time.monotonic() - began, 3)
    agent = Path(device.agent).name
    return Tried(node=node, level=level, agent=agent, works=works, action=action, answer=answer, duration_s=took)


def _ask(node: str, device: FenceDevice) -> tuple[bool, str, str]:
    """Whether it works, what it was asked, what it said."""
    facts = inspect(device.agent)
    if isinstance(facts, str):
        return False, "metadata", facts
    action = next((each for each in HARMLESS if each in facts.actions), None)
    if action is None:
        return False, "metadata", f"has neither {' nor '.join(HARMLESS)}: whether it works cannot be tried"
    try:
        secrets = {name: read_secret(path) for name, path in device.secret_files.items()}
    except SecretUnusable as error:
        return False, action, str(error)
    program = program_of(device.agent)
    if program is None:
        return False, action, "is not on this machine any more"
    try:
        status, said = ask_agent(program, given(node, device, secrets, action), device.timeout_s, errors=True)
    except subprocess.TimeoutExpired:
        return False, action, f"no answer within {device.timeout_s:g}s (its timeout)"
    except OSError as error:
        return False, action, str(error.strerror or error)
    return _judged(action, status, _hidden(said.decode("utf-8", "replace"), secrets))


def _judged(action: str, status: int, output: str) -> tuple[bool, str, str]:
    if action == "status" and status in {0, STATUS_OFF}:
        return True, action, "the machine is on" if status == 0 else "the machine is off"
    if status == 0:
        return True, action, "the device answers"
    how = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return False, action, f"{how}: {lines[-1][:OUTPUT_CHARS_MAX]}" if lines else how


def _hidden(output: str, secrets: Mapping[str, str]) -> str:
    for secret in secrets.values():
        output = output.replace(secret, HIDDEN)
    return output
