"""Reasons that only one node knows and all of them show: they go with the heartbeats; no decision rests on them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from failoverd.domain.decide import Obstacle
from failoverd.domain.eligibility import Refusal, refusal_text, refusals
from failoverd.domain.report import GroupReport, Mark
from failoverd.runtime.board import Board

if TYPE_CHECKING:  # the node is made of what uses this, so the import would be a cycle
    from failoverd.runtime.node import Node

REASON_CHARS_MAX = 200
REASONS_MAX = 8
"""Components of a group whose reasons a heartbeat carries."""
_NOT_PLAIN = frozenset({Mark.UNKNOWN, Mark.FAULTED, Mark.FAULTED_ABSENT, Mark.STUCK})


def own_reasons(board: Board) -> dict[str, str]:
    """What is not plain on this node, as far as a heartbeat has room for it."""
    marks = board.marks()
    if _NOT_PLAIN.isdisjoint(marks):
        return {}
    worse = [name for name, mark in zip(board.names, marks, strict=True) if mark in _NOT_PLAIN]
    found = {name: board.locals[name].given_up or board.locals[name].reason for name in worse}
    return {name: why[:REASON_CHARS_MAX] for name, why in list(found.items())[:REASONS_MAX] if why}


def own_blocked(node: "Node", group: str) -> str:
    """Why nothing can be done for a group, as this node judges it."""
    blocked = node.blocked.get(group)
    if blocked is None or blocked.obstacle is Obstacle.CANNOT_DRAIN:
        return ""
    return blocked.text[:REASON_CHARS_MAX]


def reasons_there(node: "Node", group: str, where: str) -> Mapping[str, str]:
    """By component: what another node says of those that are not plain there."""
    report = _report(node, group, where)
    return report.reasons if report else {}


def why_blocked(node: "Node", group: str) -> str:
    """As this node judges it, or as the group's owner, who alone knows of its faults, says."""
    blocked = node.blocked.get(group)
    if blocked is not None and blocked.obstacle is not Obstacle.CANNOT_DRAIN:
        return blocked.text
    placement = node.groups[group].board.placement
    if placement is None or placement.owner == node.me or not node.peers.heard(placement.owner):
        return ""
    report = _report(node, group, placement.owner)
    return report.blocked if report and report.generation == placement.generation else ""


def why_remarkable(node: "Node", group: str) -> str:
    """What is to be known of a group although nothing is wrong with it."""
    blocked, placement = node.blocked.get(group), node.groups[group].board.placement
    if blocked is not None and blocked.obstacle is Obstacle.CANNOT_DRAIN:
        return blocked.text
    if placement is not None and node.mirror.holds.draining(placement.owner):
        return f"is still on {placement.owner}, which is being drained"
    return why_unmet(node, group)


def why_unmet(node: "Node", group: str) -> str:
    """What it lacks of the groups that it requires."""
    return node.bonds.why(group) if node.groups[group].board.group.requires else ""


def why_unplaced(node: "Node", group: str) -> str:
    """What keeps a group from being placed for the first time: each node that cannot take it yet, with what it cannot
    find out."""
    if node.groups[group].board.placement is not None:
        return ""
    view = node.view_builder.recent(node.clock.now())
    seen = view.groups[group]
    found = {
        name: refusal_text(view, seen, name, why) + _unknown(node, group, name, why)
        for name, why in refusals(view, seen).items()
    }
    return "; ".join(f"{name} {text}" for name, text in found.items())


def _unknown(node: "Node", group: str, where: str, why: Refusal) -> str:
    if why is not Refusal.NOT_READY:
        return ""
    board = node.groups[group].board
    if where == node.me:
        marks, reasons = dict(zip(board.names, board.marks(), strict=True)), own_reasons(board)
    else:
        said = board.elsewhere.get(where)
        marks, reasons = dict(said.items()) if said else {}, dict(reasons_there(node, group, where))
    names = [name for name, mark in marks.items() if mark == Mark.UNKNOWN][:REASONS_MAX]
    parts = [f"{name}: {reasons[name]}" if name in reasons else name for name in names]
    return f" ({'; '.join(parts)})" if parts else ""


def _report(node: "Node", group: str, where: str) -> GroupReport | None:
    said = node.view_builder.present(where)
    return said.groups.get(group) if said else None
