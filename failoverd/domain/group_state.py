"""The state of a group as a whole, and why, from what is true of its components everywhere."""

from collections.abc import Mapping
from dataclasses import dataclass

from failoverd.domain.model import ComponentState, Group, GroupState
from failoverd.domain.placement import Placement, Wanted

IN_MOTION = frozenset({ComponentState.ONLINING, ComponentState.OFFLINING})


@dataclass(frozen=True, slots=True)
class Condition:
    state: GroupState
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    group: Group
    placement: Placement | None
    states: Mapping[str, Mapping[str, ComponentState]]
    """By component, then by node: what is known."""
    blocked: str = ""
    """Why nothing can be done for it; empty where something can."""
    unplaced: str = ""
    """What the choice of its first owner waits for."""
    in_handover: bool = False
    frozen: str = ""
    unmet: str = ""
    """What it lacks of the groups that it requires."""
    remark: str = ""
    """What is to be known of it although it is online."""


def condition(facts: Facts) -> Condition:
    """The worst that applies; every state that is not plain carries a reason."""
    placement = facts.placement
    if facts.blocked:
        return Condition(GroupState.BLOCKED, facts.blocked)
    if placement is None and facts.frozen:
        return Condition(GroupState.FROZEN, facts.frozen)
    if placement is None:
        waits = f": {facts.unplaced}" if facts.unplaced else ""
        return Condition(GroupState.OFFLINE, f"no owner has been chosen yet{waits}")
    if stuck := _in_state(facts, ComponentState.STUCK):
        return Condition(GroupState.FAULTED, f"cannot be taken offline: {stuck}")
    return _by_owner(facts, placement)


def _by_owner(facts: Facts, placement: Placement) -> Condition:
    owned = {name: nodes.get(placement.owner, ComponentState.UNKNOWN) for name, nodes in facts.states.items()}
    faulted = [name for name, state in owned.items() if state is ComponentState.FAULTED]
    left = f"; nothing is done about it: {facts.frozen}" if facts.frozen else ""
    critical = [n for n in faulted if n in facts.group.components and facts.group.components[n].critical]
    if critical and placement.wanted is Wanted.ONLINE and not facts.in_handover:
        return Condition(GroupState.FAULTED, f"faulted on {placement.owner}: {', '.join(critical)}" + left)
    if faulted and placement.wanted is Wanted.ONLINE and not facts.in_handover:
        text = f"not critical, faulted on {placement.owner}: {', '.join(faulted)}"
        return Condition(GroupState.DEGRADED, text + left)
    if facts.frozen:
        return Condition(GroupState.FROZEN, facts.frozen)
    if placement.wanted is Wanted.OFFLINE:
        return _wanted_offline(placement)
    return _wanted_online(facts, placement, owned)


def _wanted_offline(placement: Placement) -> Condition:
    if placement.holders:
        return Condition(GroupState.HANDOVER, f"being taken offline on {', '.join(placement.holders)}")
    return Condition(GroupState.OFFLINE, placement.reason)


def _wanted_online(facts: Facts, placement: Placement, owned: Mapping[str, ComponentState]) -> Condition:
    if all(state is ComponentState.ONLINE for state in owned.values()):
        return Condition(GroupState.ONLINE, facts.remark)
    if facts.unmet and all(state is ComponentState.OFFLINE for state in owned.values()):
        return Condition(GroupState.OFFLINE, f"waits: {facts.unmet}")
    others = placement.others(placement.owner)
    if others and any(state is not ComponentState.OFFLINE for o in others for state in _on(facts, o)):
        return Condition(GroupState.HANDOVER, f"from {', '.join(others)} to {placement.owner}: {placement.reason}")
    if any(state in IN_MOTION for state in owned.values()) or facts.in_handover:
        return Condition(GroupState.ONLINING, placement.reason or f"coming online on {placement.owner}")
    missing = [name for name, state in owned.items() if state is not ComponentState.ONLINE]
    return Condition(GroupState.PARTIAL, f"not online on {placement.owner}: {', '.join(missing)}")


def _on(facts: Facts, node: str) -> list[ComponentState]:
    return [nodes[node] for nodes in facts.states.values() if node in nodes]


def _in_state(facts: Facts, wanted: ComponentState) -> str:
    found = [f"{name} on {node}" for name, ns in facts.states.items() for node, state in ns.items() if state is wanted]
    return ", ".join(found)
