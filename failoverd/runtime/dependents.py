"""Follows what becomes of the groups that a switch of another one takes along (``requires``, ``where: same_node``)."""

from typing import Any

from failoverd.domain.model import Where
from failoverd.domain.placement import Wanted
from failoverd.domain.requires import dependents
from failoverd.domain.view import View
from failoverd.runtime.handovers import Handover
from failoverd.runtime.node import Node
from failoverd.runtime.shown import why_blocked

POLL_S = 0.05
UNDER_WAY = "running"


async def brought_along(node: Node, name: str, done: Handover) -> dict[str, Any]:
    """By group that is to be beside this one: how its own move ended, once it has. Empty where there is none, and once
    the group itself is on its way again. The caller has the deadline."""
    while done.target is not None and done.state == "done":
        placement = node.groups[name].board.placement if name in node.groups else None
        if placement is None or placement.generation != done.generation:
            break
        found = {each: _ended(node, each, done.target) for each in _beside(node, name)}
        if not any(each["state"] == UNDER_WAY for each in found.values()):
            return found
        await node.clock.sleep_until(node.clock.now() + POLL_S)
    return {}


def _beside(node: Node, name: str) -> list[str]:
    """Directly or not."""
    view = node.view_builder.recent(node.clock.now())
    found: list[str] = []
    waiting = [name]
    while waiting:
        for other in _directly_beside(view, waiting.pop()):
            if other not in found:
                found.append(other)
                waiting.append(other)
    return found


def _directly_beside(view: View, name: str) -> list[str]:
    group = view.groups.get(name)
    if group is None:
        return []
    return [
        other.group.name
        for need, other in dependents(view, group)
        if need.where is Where.SAME_NODE and view.freeze_of(other) is None
    ]


def _ended(node: Node, name: str, target: str) -> dict[str, str]:
    board, current = node.groups[name].board, node.books[name].current
    if blocked := why_blocked(node, name):
        return {"state": "blocked", "reason": blocked}
    placement = board.placement
    if placement is None or placement.wanted is Wanted.OFFLINE:
        return {"state": "offline", "reason": ""}
    if placement.owner != target or current is None or current.running:
        return {"state": UNDER_WAY, "reason": ""}
    return {"state": current.state, "reason": current.failure}
