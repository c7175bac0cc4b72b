"""Fence devices: each node's levels, and what its agents say about the parameters that they are given."""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from failoverd.config.document import FENCE_SECRETS, FenceKeys
from failoverd.config.fault import Mark
from failoverd.config.findings import Findings
from failoverd.config.messages import listed, suggest
from failoverd.config.peek import beside
from failoverd.config.settings import FenceConfirm, FenceDevice, FenceLevels
from failoverd.config.tree import Map, Seq, Tree, locate, mappings

SECRET_FILES = {f"{name}_file": name for name in FENCE_SECRETS}
ALWAYS_GIVEN = frozenset({"action", "nodename"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """What a fence agent says of itself (``action=metadata``)."""

    parameters: frozenset[str]
    required: tuple[frozenset[str], ...]
    """One of each must be given: a parameter and its older names."""
    actions: frozenset[str]
    storage_only: bool = False
    """It cuts a machine off its storage and leaves it running."""


Inspect = Callable[[str], AgentFacts | str]
"""Of an agent's name or path: what it says, or why it cannot be asked on this machine."""


def read_fencing(
    root: Map, findings: Findings, *, here: str | None = None, inspect: Inspect | None = None
) -> dict[str, FenceLevels]:
    """The devices that are well-formed. ``here``: this node, which switches off the others."""
    known = [name for name, _ in mappings(root.get("nodes"))]
    reading = _Reading(findings, inspect)
    found = {}
    for name, entry in mappings(root.get("fencing")):
        if name not in known:
            findings.lacking(entry.key, f"there is no node '{name[:80]}'{suggest(name, known)}")
        if not isinstance(entry.value, Seq) or not entry.value.items:
            findings.fault(entry.value.mark, f"'{name}' must be a list of fence devices")
            continue
        levels = [reading.level(name, item, mine=name == here) for item in entry.value.items]
        found[name] = tuple(level for level in levels if level)
    return found


class _Reading:
    def __init__(self, findings: Findings, inspect: Inspect | None) -> None:
        self._findings = findings
        self._inspect = inspect
        self._said: dict[str, AgentFacts | str] = {}

    def level(self, node: str, tree: Tree, *, mine: bool) -> tuple[FenceDevice, ...]:
        """One device, or a list of them that must all confirm."""
        trees = tree.items if isinstance(tree, Seq) else [tree]
        if not trees:
            self._findings.fault(tree.mark, "a level must have at least one device")
        devices = [self._device(node, each, mine=mine) for each in trees]
        return tuple(device for device in devices if device is not None)

    def _device(self, node: str, written: Tree, *, mine: bool) -> FenceDevice | None:
        tree = self._findings.mapping(node, written)
        keys = self._findings.validate(FenceKeys, tree, within="the device") if tree else None
        if tree is None or keys is None:
            return None
        device = FenceDevice(
            agent=keys.agent,
            params={name: value for name, value in keys.params.items() if name not in SECRET_FILES},
            secret_files={
                SECRET_FILES[name]: beside(locate(tree, ("params", name)).mark, str(value))
                for name, value in keys.params.items()
                if name in SECRET_FILES
            },
            timeout_s=keys.timeout,
            retries=keys.retries,
            delay_s=keys.delay,
            confirm=keys.confirm,
        )
        self._warn_of_secrets(device, tree, mine=mine)
        self._compare(device, tree)
        return device

    # --- secrets ------------------------------------------------------------------------------------------------

    def _warn_of_secrets(self, device: FenceDevice, tree: Map, *, mine: bool) -> None:
        for name in device.params:
            if name in FENCE_SECRETS:
                mark = locate(tree, ("params", name)).key
                self._findings.warn(mark, f"'{name}' stands here in clear: put it into a file and write '{name}_file'")
        for name, path in device.secret_files.items():
            trouble = None if mine else _trouble(path)
            if trouble:
                self._findings.warn(locate(tree, ("params", f"{name}_file")).mark, trouble)

    # --- what the agent says ------------------------------------------------------------------------------------

    def _compare(self, device: FenceDevice, tree: Map) -> None:
        if self._inspect is None:
            return
        if device.agent not in self._said:
            self._said[device.agent] = self._inspect(device.agent)
        facts, mark = self._said[device.agent], tree.value_mark("agent")
        if isinstance(facts, str):
            self._findings.warn(mark, facts)
            return
        for at, message in _faults(device, facts, tree):
            self._findings.fault(at, message)
        if facts.storage_only:
            text = "only cuts a machine off its storage: an address or a process would go on there; use a power device"
            self._findings.warn(mark, f"{device.agent} {text}")
        elif "status" not in facts.actions:
            self._findings.warn(mark, f"{device.agent} cannot tell whether a machine is off: it is no proof of it")


def _trouble(path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"the file {path} does not exist"
    except OSError as error:
        return f"the file {path} cannot be used: {error.strerror or error}"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"the file {path} holds a secret, and others than its owner may read it: chmod 600 {path}"
    return None


def _faults(device: FenceDevice, facts: AgentFacts, tree: Map) -> Iterator[tuple[Mark, str]]:
    written = {f"{name}_file": name for name in device.secret_files} | {name: name for name in device.params}
    for key, name in written.items():
        if name not in facts.parameters and name not in ALWAYS_GIVEN:
            mark = locate(tree, ("params", key)).key
            yield mark, f"{device.agent} has no parameter '{name[:60]}'{suggest(name, sorted(facts.parameters))}"
    given = ALWAYS_GIVEN | set(written.values())
    params = tree.get("params")
    for names in facts.required:
        if given.isdisjoint(names):
            mark = params.mark if params is not None else tree.mark
            yield mark, f"{device.agent} needs the parameter {listed(sorted(names))}"
    if device.confirm is FenceConfirm.STATUS and "status" not in facts.actions:
        yield tree.value_mark("confirm"), f"{device.agent} has no action 'status' that could confirm anything"
    if "off" not in facts.actions:
        yield tree.value_mark("agent"), f"{device.agent} has no action 'off'"
