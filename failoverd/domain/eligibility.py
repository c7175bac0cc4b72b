"""Which node a group may go to, and why not to the others."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from failoverd.domain.balance import has_room, ranked
from failoverd.domain.model import Where
from failoverd.domain.placement import LeaseState
from failoverd.domain.requires import dependents, unfit
from failoverd.domain.view import GroupView, NodeView, View


class Refusal(StrEnum):
    """Why a node cannot take a group: a code for programs, its text for people (``TEXT``)."""

    NEVER_SEEN = "never_seen"
    WITNESS = "witness"
    FENCED = "fenced"
    LEFT = "left"
    AWAY = "away"
    SILENT = "silent"
    LEASE_OVERDUE = "lease_overdue"
    NOT_READY = "not_ready"
    STOPPING = "stopping"
    FROZEN = "frozen"
    DRAINING = "draining"
    FAULTED = "faulted"
    CONFIG_MISMATCH = "config_mismatch"
    NO_CAPACITY = "no_capacity"
    REQUIREMENT = "requirement"


TEXT: Mapping[Refusal, str] = {
    Refusal.NEVER_SEEN: "has not joined the cluster yet",
    Refusal.WITNESS: "is a witness",
    Refusal.FENCED: "is fenced",
    Refusal.LEFT: "was stopped",
    Refusal.AWAY: "was stopped and left its groups running",
    Refusal.SILENT: "sends no heartbeats",
    Refusal.LEASE_OVERDUE: "has not renewed its lease in time",
    Refusal.NOT_READY: "is still finding out what runs there",
    Refusal.STOPPING: "is stopping",
    Refusal.FROZEN: "is frozen",
    Refusal.DRAINING: "is being drained",
    Refusal.FAULTED: "had a fault in this group",
    Refusal.CONFIG_MISMATCH: "has another configuration of this group",
    Refusal.NO_CAPACITY: "has no capacity left for it",
    Refusal.REQUIREMENT: "is not where a group that it requires allows it to be",
}

HARD = frozenset(Refusal) - {Refusal.FAULTED, Refusal.CONFIG_MISMATCH, Refusal.NO_CAPACITY}
"""What not even an operator's own choice of the node overrides."""

_BY_STATE = {
    None: Refusal.NEVER_SEEN,
    LeaseState.FENCED: Refusal.FENCED,
    LeaseState.LEFT: Refusal.LEFT,
    LeaseState.AWAY: Refusal.AWAY,
}


def refusal(view: View, group: GroupView, name: str) -> Refusal | None:
    """Why ``name`` cannot take ``group`` now; None when it can."""
    node = view.nodes.get(name)
    if node is None:
        return Refusal.NEVER_SEEN
    if node.witness:
        return Refusal.WITNESS
    if node.member in _BY_STATE:
        return _BY_STATE[node.member]
    return _not_now(view, node) or _not_this_group(view, group, node)


def _not_now(view: View, node: NodeView) -> Refusal | None:
    if not node.heard:
        return Refusal.SILENT
    if node.lease_expires_at is not None and node.name != view.me and view.now >= node.lease_expires_at:
        return Refusal.LEASE_OVERDUE
    if node.stopping:
        return Refusal.STOPPING
    if not node.ready:
        return Refusal.NOT_READY
    if node.frozen:
        return Refusal.FROZEN
    return Refusal.DRAINING if node.draining else None


def _not_this_group(view: View, group: GroupView, node: NodeView) -> Refusal | None:
    name = group.group.name
    if name in node.unprobed:
        return Refusal.NOT_READY
    if node.name != view.me and node.config_hashes.get(name) != group.group.config_hash:
        return Refusal.CONFIG_MISMATCH
    if node.name in group.faults:
        return Refusal.FAULTED
    if group.group.requires and unfit(view, group, node.name):
        return Refusal.REQUIREMENT
    return None if has_room(view, group, node) else Refusal.NO_CAPACITY


def refusals(view: View, group: GroupView) -> dict[str, Refusal]:
    """The nodes of the group that cannot take it, each with its reason."""
    found = {name: refusal(view, group, name) for name in group.group.nodes}
    return {name: why for name, why in found.items() if why is not None}


def choose(view: View, group: GroupView, *, without: frozenset[str] = frozenset()) -> str | None:
    """The best eligible node that is not in ``without``: where all the groups that require this one can go with it
    before others, then by the group's own policy."""
    eligible = [name for name in group.group.nodes if name not in without and refusal(view, group, name) is None]
    found = ranked(view, group, eligible)
    if len(found) > 1 and dependents(view, group):
        found.sort(key=lambda name: len(left_behind(view, group, name)))
    return next(iter(found), None)


def left_behind(view: View, group: GroupView, node: str) -> dict[str, str]:
    """The groups to be online that would be left without a place if this one were on ``node``, each with the reason."""
    found: dict[str, str] = {}
    supposed = replace(view, expected={**view.expected, group.group.name: node})
    for need, other in dependents(view, group):
        name, placement = other.group.name, other.placement
        if need.where is Where.SAME_NODE:
            why = refusal(supposed, other, node) if node in other.group.nodes else Refusal.REQUIREMENT
            if why is not None:
                text = (
                    refusal_text(supposed, other, node, why) if node in other.group.nodes else f"is no node of {name}"
                )
                found[name] = f"{node} {text}"
            else:
                found |= left_behind(supposed, other, node)
        elif need.where is Where.OTHER_NODE and placement is not None and placement.owner == node:
            stranded = choose(supposed, other, without=frozenset({node})) is None
            found |= {name: f"{unfit(supposed, other, node)}, and no other node can take {name}"} if stranded else {}
    return found


def refusal_text(view: View, group: GroupView, name: str, why: Refusal) -> str:
    """The text of a refusal, with what is known of it."""
    if why is Refusal.REQUIREMENT:
        return f"is not eligible: {unfit(view, group, name)}"
    detail = f" ({group.faults[name]})" if why is Refusal.FAULTED and group.faults.get(name) else ""
    return TEXT[why] + detail


def explain(view: View, group: GroupView, found: Mapping[str, Refusal]) -> str:
    """The refusals as one line for an operator."""
    parts = [f"{name} {refusal_text(view, group, name, why)}" for name, why in found.items()]
    return "; ".join(parts) or "the group has no other node"
